package sources

import (
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// applied is a tree without what its .sourceignore files leave out: to Flux that is not there.
type applied struct {
	fs.FS
	ignore *manifest.SourceIgnore
	mu     sync.Mutex
	// empty are folders that a pattern leaves out, and whether that is all of them.
	empty map[string]bool
}

// Applied gives the tree as source-controller packs it.
func Applied(fsys fs.FS) fs.FS {
	read := func(name string) ([]byte, error) {
		data, err := ReadFile(fsys, name, 1<<20)
		if err != nil {
			return nil, nil //nolint:nilerr // What cannot be read leaves nothing out.
		}
		return data, nil
	}
	return &applied{FS: fsys, ignore: manifest.NewSourceIgnore(read), empty: map[string]bool{}}
}

// leavesOut reports whether a path is left out.
func (a *applied) leavesOut(name string, dir bool) bool {
	if name == "." || !fs.ValidPath(name) {
		return false
	}
	out, err := a.ignore.LeavesOut(name, dir)
	return err == nil && out && (!dir || a.isEmpty(name))
}

// isEmpty reports whether nothing is left of a folder that a pattern leaves out.
func (a *applied) isEmpty(dir string) bool {
	a.mu.Lock()
	known, ok := a.empty[dir]
	a.mu.Unlock()
	if ok {
		return known
	}
	entries, err := fs.ReadDir(a.FS, dir)
	empty := err != nil || !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return (e.IsDir() || e.Type().IsRegular()) && !a.leavesOut(path.Join(dir, e.Name()), e.IsDir())
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.empty[dir] = empty
	return empty
}

// Lstat describes a path without following links.
func (a *applied) Lstat(name string) (fs.FileInfo, error) {
	info, err := fs.Lstat(a.FS, name)
	if err == nil && a.leavesOut(name, info.IsDir()) {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	return info, err
}

// ReadLink is never asked: no link is followed.
func (a *applied) ReadLink(name string) (string, error) {
	return "", &fs.PathError{Op: "readlink", Path: name, Err: errLink}
}

// ReadDir lists a folder.
func (a *applied) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(a.FS, name)
	if err == nil {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
			return a.leavesOut(path.Join(name, e.Name()), e.IsDir())
		})
	}
	return entries, err
}

// ReadFile reads a file.
func (a *applied) ReadFile(name string) ([]byte, error) {
	if a.leavesOut(name, false) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return fs.ReadFile(a.FS, name)
}
