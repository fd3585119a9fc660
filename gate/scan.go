package gate

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"

	"go.yaml.in/yaml/v3"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// source is one YAML file of a tree, or what a unit renders.
type source struct {
	name    string
	sum     [sha256.Size]byte
	nodes   []manifest.Node
	objects []object
	// misread are comments that are meant as markers and are none.
	misread []manifest.Misread
	// err says why the file cannot be read.
	err error
	// manifest says that it may hold a Kubernetes object.
	manifest bool
	// sops says that some of it is encrypted.
	sops bool
}

// read reads one file of a tree.
func read(fsys fs.FS, name string) *source {
	data, err := manifest.ReadFile(fsys, name)
	if err != nil {
		return &source{name: name, err: err}
	}
	return parse(name, data)
}

// parse reads the text of a file.
func parse(name string, data []byte) *source {
	s := &source{name: name, sum: sha256.Sum256(data), manifest: bytes.Contains(data, []byte("apiVersion"))}
	s.nodes, s.err = manifest.Nodes(name, data)
	if s.sops = errors.Is(s.err, manifest.ErrSOPS); s.sops {
		s.nodes, s.err = manifest.PlainNodes(name, data)
	}
	if s.err == nil && interesting(data) {
		s.objects, s.err = objectsOf(name, data)
	}
	markers := 0
	for _, n := range s.nodes {
		if n.Policy != "" {
			markers++
		}
	}
	// Few files have one that is misread: they are read again.
	n := bytes.Count(data, []byte("$image")) + bytes.Count(data, []byte("$Image"))
	if s.err == nil && n > 0 && (n > markers || topList.Match(data)) {
		s.misread, s.err = manifest.MisreadMarkers(data)
	}
	return s
}

// topList finds an item of a list that is all of a document.
var topList = regexp.MustCompile(`(?m)^- `)

// interesting says quickly whether a file may hold objects that the gate looks into.
func interesting(data []byte) bool {
	return bytes.Contains(data, []byte("toolkit.fluxcd.io")) || bytes.Contains(data, []byte("ConfigMap"))
}

// objectsOf reads the objects that the gate looks into: Flux's, and ConfigMaps.
func objectsOf(name string, data []byte) ([]object, error) {
	var out []object
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if len(doc.Content) == 1 {
			out = appendObjects(out, name, doc.Content[0])
		}
	}
}

// appendObjects adds an object, or the items of a List.
func appendObjects(out []object, file string, root *yaml.Node) []object {
	if items := valueOf(root, "items"); items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content {
			out = appendObjects(out, file, item)
		}
		return out
	}
	meta := valueOf(root, "metadata")
	o := object{
		apiVersion: textOf(root, "apiVersion"), kind: textOf(root, "kind"),
		namespace: textOf(meta, "namespace"), name: textOf(meta, "name"), file: file, line: root.Line, root: root,
	}
	if o.name == "" || !(wanted(o.group()) || o.apiVersion == "v1" && o.kind == "ConfigMap") {
		return out
	}
	return append(out, o)
}

func wanted(group string) bool {
	switch group {
	case "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io", "image.toolkit.fluxcd.io", "source.toolkit.fluxcd.io":
		return true
	}
	return false
}

// same says whether a file still holds what was read of it.
func (s *source) same(data []byte) bool { return s.sum == sha256.Sum256(data) }

// templated finds what a controller makes an image of later, and no YAML tool can: << inputs.tag >>, {{ .tag }}.
var templated = regexp.MustCompile(`<<|\{\{|\[\[`)
