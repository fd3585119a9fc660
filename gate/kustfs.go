package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// top is where kustomize sees the tree.
const top = "/repository"

// kustFS shows a tree to kustomize: read-only, without links, and nothing beside it. What kustomize asked for is noted.
type kustFS struct {
	tree fs.FS
	// over are files that are not in the tree, by path in it: the kustomization file that Flux makes.
	over map[string][]byte
	// seen are the paths in the tree that were looked at.
	seen map[string]bool
	// clones allows kustomize to read the remote bases that it cloned.
	clones bool
}

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

// clone says whether a path is in a folder that kustomize cloned a remote base into.
func (k *kustFS) clone(name string) bool {
	rel, err := filepath.Rel(os.TempDir(), name)
	return k.clones && err == nil && strings.HasPrefix(rel, "kustomize-")
}

// mode is what a path is; a link anywhere on the way is an error.
func (k *kustFS) mode(rel string) (fs.FileMode, error) {
	if _, ok := k.over[rel]; ok {
		return 0, nil
	}
	at := "."
	for part := range strings.SplitSeq(rel, "/") {
		at = path.Join(at, part)
		info, err := fs.Lstat(k.tree, at)
		if err != nil {
			return 0, err
		}
		if mode := info.Mode(); !mode.IsDir() && !mode.IsRegular() || at == rel {
			if !mode.IsDir() && !mode.IsRegular() {
				return 0, fmt.Errorf("%s is a link, which is not followed", at)
			}
			return mode, nil
		}
	}
	return fs.ModeDir, nil
}

func (k *kustFS) ReadFile(name string) ([]byte, error) {
	rel, ok := k.in(name)
	switch {
	case k.clone(name):
		return os.ReadFile(name)
	case !ok:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	if data, ok := k.over[rel]; ok {
		return data, nil
	}
	if _, err := k.mode(rel); err != nil {
		return nil, err
	}
	return readFile(k.tree, rel, manifest.MaxFileSize)
}

func (k *kustFS) IsDir(name string) bool {
	if k.clone(name) {
		info, err := os.Stat(name)
		return err == nil && info.IsDir()
	}
	rel, ok := k.in(name)
	if !ok {
		return false
	}
	mode, err := k.mode(rel)
	return err == nil && mode.IsDir()
}

func (k *kustFS) Exists(name string) bool {
	if k.clone(name) {
		_, err := os.Stat(name)
		return err == nil
	}
	rel, ok := k.in(name)
	if !ok {
		return false
	}
	_, err := k.mode(rel)
	return err == nil
}

// CleanedAbs splits a path into folder and file, as kustomize wants it of a file system without links.
func (k *kustFS) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	if k.clone(name) {
		return filesys.MakeFsOnDisk().CleanedAbs(name)
	}
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

// RemoveAll removes what kustomize itself cloned, and nothing of the tree.
func (k *kustFS) RemoveAll(name string) error {
	if k.clone(name) {
		return os.RemoveAll(name)
	}
	return errReadOnly
}
