package render

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// top is where kustomize sees the tree.
const top = "/repository"

// kustFS shows a tree to kustomize: read-only, without links, and nothing beside it. What kustomize asked for is noted.
type kustFS struct {
	tree *layers
	// seen are the paths in the tree that were looked at.
	seen map[string]bool
	// judged are the kustomization files of which it was asked what they would fetch, and stranger is one that kustomize
	// read beside them.
	judged   map[string]bool
	stranger string
}

// ErrUnjudged means that kustomize reads a kustomization that was not followed: its keys are in other letters, given
// twice or merged, which kustomize takes all the same.
var ErrUnjudged = errors.New("kustomize reads a kustomization that Backstop does not follow: name it once, under " +
	"resources, components, generators, transformers or validators, in small letters")

var _ filesys.FileSystem = (*kustFS)(nil)

var errReadOnly = errors.New("the tree is read-only")

// in gives the path in the tree; ok is false for one that is beside it.
func (k *kustFS) in(name string) (string, bool) {
	name = path.Clean("/" + filepath.ToSlash(name))
	if name == top {
		return ".", true
	}
	rel, ok := strings.CutPrefix(name, top+"/")
	if ok {
		k.seen[rel] = true
	}
	return rel, ok
}

func (k *kustFS) ReadFile(name string) ([]byte, error) {
	rel, ok := k.in(name)
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	if _, err := k.tree.mode(rel); err != nil {
		return nil, err
	}
	if slices.Contains(manifest.Kustomizations, path.Base(rel)) && !k.judged[rel] && !k.tree.isOver(rel) {
		k.stranger = rel
		return nil, ErrUnjudged
	}
	return manifest.ReadFile(k.tree, rel)
}

func (k *kustFS) IsDir(name string) bool {
	rel, ok := k.in(name)
	if !ok {
		return false
	}
	mode, err := k.tree.mode(rel)
	return err == nil && mode.IsDir()
}

func (k *kustFS) Exists(name string) bool {
	rel, ok := k.in(name)
	if !ok {
		return false
	}
	_, err := k.tree.mode(rel)
	return err == nil
}

// CleanedAbs splits a path into folder and file, as kustomize wants it of a file system without links.
func (k *kustFS) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	abs := path.Clean("/" + filepath.ToSlash(name))
	switch {
	case k.IsDir(abs):
		return filesys.ConfirmedDir(abs), "", nil
	case k.Exists(abs):
		return filesys.ConfirmedDir(path.Dir(abs)), path.Base(abs), nil
	}
	return "", "", fmt.Errorf("%s: %w", strings.TrimPrefix(abs, top+"/"), fs.ErrNotExist)
}

func (k *kustFS) Open(name string) (filesys.File, error) {
	return nil, fmt.Errorf("open %s: %w", name, errReadOnly)
}

func (k *kustFS) ReadDir(name string) ([]string, error) {
	rel, ok := k.in(name)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	entries, err := fs.ReadDir(k.tree, rel)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (k *kustFS) Glob(pattern string) ([]string, error) {
	return nil, fmt.Errorf("list %s: patterns are not supported", pattern)
}

func (k *kustFS) Walk(name string, _ filepath.WalkFunc) error {
	return fmt.Errorf("walk %s: not supported", name)
}

func (k *kustFS) Create(string) (filesys.File, error) { return nil, errReadOnly }
func (k *kustFS) Mkdir(string) error                  { return errReadOnly }
func (k *kustFS) MkdirAll(string) error               { return errReadOnly }
func (k *kustFS) WriteFile(string, []byte) error      { return errReadOnly }

func (k *kustFS) RemoveAll(string) error { return errReadOnly }
