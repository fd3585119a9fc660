package sources

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

// File is one YAML file of a tree, or what a unit renders.
type File struct {
	Name    string
	Sum     [sha256.Size]byte
	Nodes   []manifest.Node
	Objects []Object
	// misread are comments that are meant as markers and are none.
	Misread []manifest.Misread
	// err explains why the file cannot be read.
	Err error
	// manifest says that it may hold a Kubernetes object.
	Manifest bool
	// sops says that some of it is encrypted.
	SOPS bool
}

// Read reads one file of a tree.
func Read(fsys fs.FS, name string) *File {
	data, err := manifest.ReadFile(fsys, name)
	if err != nil {
		return &File{Name: name, Err: err}
	}
	return Parse(name, data)
}

// Parse reads the text of a file.
func Parse(name string, data []byte) *File {
	s := &File{Name: name, Sum: sha256.Sum256(data), Manifest: bytes.Contains(data, []byte("apiVersion"))}
	s.Nodes, s.Err = manifest.Nodes(name, data)
	if s.SOPS = errors.Is(s.Err, manifest.ErrSOPS); s.SOPS {
		s.Nodes, s.Err = manifest.PlainNodes(name, data)
	}
	if s.Err == nil && interesting(data) {
		s.Objects, s.Err = objectsOf(name, data)
	}
	if s.Err == nil {
		s.Nodes = append(s.Nodes, manifest.Expressed(name, data)...)
	}
	markers := 0
	for _, n := range s.Nodes {
		if n.Policy != "" && manifest.Fits(n) {
			markers++
		}
	}
	// Few files have one that is misread: they are read again.
	n := 0
	for _, key := range []string{"$image", "$Image", `{"imagepolicy`} {
		n += bytes.Count(data, []byte(key))
	}
	if s.Err == nil && n > 0 && (n > markers || topList.Match(data)) {
		s.Misread, s.Err = manifest.MisreadMarkers(data)
	}
	return s
}

// topList finds an item of a list that is all of a document.
var topList = regexp.MustCompile(`(?m)^- `)

// interesting says quickly whether a file may hold objects that the gate looks into.
func interesting(data []byte) bool {
	return bytes.Contains(data, []byte("toolkit.fluxcd.io")) || bytes.Contains(data, []byte("ConfigMap"))
}

// objectsOf reads the objects that the gate looks into: Flux's, ConfigMaps, and those in which Flux replaces nothing.
func objectsOf(name string, data []byte) ([]Object, error) {
	var out []Object
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
func appendObjects(out []Object, file string, root *yaml.Node) []Object {
	if items := ValueOf(root, "items"); items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content {
			out = appendObjects(out, file, item)
		}
		return out
	}
	meta := ValueOf(root, "metadata")
	o := Object{
		APIVersion: TextOf(root, "apiVersion"), Kind: TextOf(root, "kind"),
		Namespace: TextOf(meta, "namespace"), Name: TextOf(meta, "name"), File: file, Line: root.Line, Root: root, Text: root,
	}
	for _, in := range []string{"annotations", "labels"} {
		o.Literal = o.Literal || TextOf(ValueOf(meta, in), "kustomize.toolkit.fluxcd.io/substitute") == "disabled"
	}
	if o.Name == "" || !(wanted(o.Group()) || o.APIVersion == "v1" && o.Kind == "ConfigMap" || o.Literal) {
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

// Same reports whether a file still holds what was read of it.
func (s *File) Same(data []byte) bool { return s.Sum == sha256.Sum256(data) }

// Templated finds what a controller makes an image of later, and no YAML tool can: << inputs.tag >>, {{ .tag }}.
var Templated = regexp.MustCompile(`<<|\{\{|\[\[`)
