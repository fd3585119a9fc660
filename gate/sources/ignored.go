package sources

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// sourceIgnore is the file by which source-controller leaves files out of what Flux gets of a repository.
const sourceIgnore = ".sourceignore"

// applied is a tree without what its .sourceignore files leave out: to Flux that is not there.
type applied struct {
	fs.FS
	mu sync.Mutex
	// patterns that count in a folder, those of the folders above included.
	patterns map[string][]gitignore.Pattern
	// out are folders that are left out.
	out map[string]bool
}

// Applied gives the tree as source-controller packs it. What is left out by the spec.ignore of a GitRepository stays:
// several of them may read one repository.
func Applied(fsys fs.FS) fs.FS {
	return &applied{FS: fsys, patterns: map[string][]gitignore.Pattern{}, out: map[string]bool{}}
}

// leavesOut reports whether a path, or a folder on the way to it, is left out.
func (a *applied) leavesOut(name string, dir bool) bool {
	if name == "." || !fs.ValidPath(name) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leaves(name, dir)
}

func (a *applied) leaves(name string, dir bool) bool {
	if known, ok := a.out[name]; ok && dir {
		return known
	}
	above := path.Dir(name)
	out := above != "." && a.leaves(above, true)
	if !out {
		if patterns := a.in(above); len(patterns) > 0 {
			out = gitignore.NewMatcher(patterns).Match(strings.Split(name, "/"), dir)
		}
	}
	if dir {
		a.out[name] = out
	}
	return out
}

// in lists the patterns that count for what is in a folder.
func (a *applied) in(dir string) []gitignore.Pattern {
	if known, ok := a.patterns[dir]; ok {
		return known
	}
	var patterns []gitignore.Pattern
	var parts []string
	if dir != "." {
		patterns, parts = a.in(path.Dir(dir)), strings.Split(dir, "/")
	}
	if data, err := ReadFile(a.FS, path.Join(dir, sourceIgnore), 1<<20); err == nil {
		patterns = slices.Concat(patterns, patternsOf(data, parts))
	}
	a.patterns[dir] = patterns
	return patterns
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
