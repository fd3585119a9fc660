package fluxstub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/kio/kioutil"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// markerKey is the only key of a marker that counts.
const markerKey = "$imagepolicy"

// kustomizeLock is held around everything of kustomize and kyaml, whose OpenAPI
// schema is a variable of the package.
var kustomizeLock sync.Mutex

// Change of one marked node.
type Change struct{ OldValue, NewValue, Setter string }

// Changes are those of one run, as a commit message's template sees them.
type Changes struct {
	// FileChanges by file, in the order of the nodes.
	FileChanges map[string][]Change
}

// Changes lists all changes, by file and then in the order of the nodes.
func (c Changes) Changes() []Change {
	var all []Change
	for _, file := range c.files() {
		all = append(all, c.FileChanges[file]...)
	}
	return all
}

func (c Changes) files() []string {
	var files []string
	for file := range c.FileChanges {
		files = append(files, file)
	}
	slices.Sort(files)
	return files
}

// applySetters writes the values of setters (by the name in a marker) into the
// YAML files below a folder, as image automation does: a file in which a value
// changed is written again as a whole, and one that does not parse is left alone.
func applySetters(dir string, setters map[string]string) (Changes, error) {
	kustomizeLock.Lock()
	defer kustomizeLock.Unlock()
	changes := Changes{FileChanges: map[string][]Change{}}
	var changed []*yaml.RNode
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !isYAML(path) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte(`"`+markerKey+`"`)) {
			return err
		}
		file, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		nodes, err := (&kio.ByteReader{
			Reader:            bytes.NewReader(text),
			SetAnnotations:    map[string]string{kioutil.PathAnnotation: file},
			PreserveSeqIndent: true,
		}).Read()
		if err != nil {
			return nil //nolint:nilerr // as Flux's setter: left alone, without a word
		}
		for _, node := range nodes {
			set(node.YNode(), setters, func(c Change) { changes.FileChanges[file] = append(changes.FileChanges[file], c) })
		}
		if len(changes.FileChanges[file]) > 0 {
			changed = append(changed, nodes...)
		}
		return nil
	})
	if err != nil {
		return Changes{}, fmt.Errorf("read the files to update: %w", err)
	}
	if len(changed) > 0 {
		err = kio.LocalPackageWriter{PackagePath: dir}.Write(changed)
	}
	if err != nil {
		return Changes{}, fmt.Errorf("write the updated files: %w", err)
	}
	return changes, nil
}

func isYAML(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yaml" || ext == ".yml" || filepath.Base(path) == "Kustomization"
}

// set visits every scalar value of a document.
func set(node *yaml.Node, setters map[string]string, changed func(Change)) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(node.Content); i += 2 {
			set(node.Content[i], setters, changed)
		}
	case yaml.DocumentNode, yaml.SequenceNode:
		for _, child := range node.Content {
			set(child, setters, changed)
		}
	case yaml.ScalarNode:
		name := marker(node)
		value, ok := setters[name]
		if !ok {
			return
		}
		old := node.Value
		node.Value = value
		yaml.FormatNonStringStyle(node, *spec.StringProperty())
		if old != value {
			changed(Change{OldValue: old, NewValue: value, Setter: name})
		}
	}
}

// marker is the setter that a scalar's comment names. The whole comment must be
// a JSON object of strings; only the first comment that there is counts.
func marker(node *yaml.Node) string {
	comment := node.LineComment
	if comment == "" {
		comment = node.HeadComment
	}
	fields := map[string]string{}
	if json.Unmarshal([]byte(strings.TrimLeft(comment, "#")), &fields) != nil {
		return ""
	}
	return fields[markerKey]
}

// policySetters are the setters of one policy and what it selected.
func policySetters(policy, name, tag, digest string) map[string]string {
	image := name + ":" + tag
	if digest != "" {
		image += "@" + digest
	}
	return map[string]string{policy: image, policy + ":tag": tag, policy + ":name": name, policy + ":digest": digest}
}
