package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"regexp"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// Where what Git says now is rendered, a revert that puts one plain image in the place of another leaves what is
// rendered too: nothing that kustomize does depends on which tag it is. So it is not rendered again for each of
// hundreds.
//
//	replicas: 2, image: reg/app:v2 ──► replicas: 2, image: reg/app:v1      alike
//	newTag: v2 ──► newTag: 1.10                                            another type: rendered

// plainImage is a reference of an image, or a part of one, which no tool reads as anything else.
var plainImage = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@-]*$`)

// dividers are what replacements of kustomize divide a value by.
var dividers = regexp.MustCompile(`[/:@.-]`)

// reads is what makes kustomize depend on a value: replacements and variables read it, a patch may test it, and a
// validator or transformer may do anything.
var reads = regexp.MustCompile(`(?i)replacement|\bvars\b|validators|transformers|generators|op["']?\s*:\s*["']?test`)

// plainly reports whether nothing that a folder is rendered from depends on what an image is called.
func plainly(tree fs.FS, dir string) bool {
	files, err := render.NewTree(tree).Folder(dir).Files()
	if err != nil {
		return false
	}
	for _, name := range files.Paths {
		data, err := manifest.ReadFile(tree, name)
		if err != nil || reads.Match(data) {
			return false
		}
	}
	return true
}

// alike reports whether a plan only puts plain images in the places of others.
func alike(p *gitrepo.Plan) bool {
	before := map[string][]byte{}
	for _, f := range p.Reverted {
		before[f.Path] = f.Before
	}
	for _, f := range p.Held {
		if before[f.Path] == nil {
			before[f.Path] = f.Before
		}
	}
	for name, after := range p.After() {
		a, err := documents(before[name])
		b, err2 := documents(after)
		if err != nil || err2 != nil || !sameShape(a, b) {
			return false
		}
	}
	return true
}

// documents are the documents of a file.
func documents(data []byte) ([]any, error) {
	var out []any
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var v any
		switch err := decoder.Decode(&v); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		}
		out = append(out, v)
	}
}

// sameShape reports whether two values differ in plain images alone.
func sameShape(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, value := range a {
			other, there := b[key]
			if !there || !sameShape(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameShape(a[i], b[i]) {
				return false
			}
		}
		return true
	case string:
		b, ok := b.(string)
		return ok && (a == b || plainImage.MatchString(a) && plainImage.MatchString(b) &&
			len(dividers.FindAllString(a, -1)) == len(dividers.FindAllString(b, -1)))
	}
	return a == b
}
