package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Tree is the files of a repository, from its root.
type Tree struct {
	// FS reads them. It knows no way out of the tree, and tells a symbolic link by its mode.
	FS fs.FS
	// Tracked says of a file or folder that Git knows it, so that a .gitignore does not hide it; nil where no .gitignore
	// counts.
	Tracked func(name string) bool
	// LeftOut says of a file or folder that a sparse checkout leaves it out, or some of it; nil where nothing is left out.
	LeftOut func(name string) bool
}

// OpenFolder opens a folder of this machine as a tree that nothing leads out of.
func OpenFolder(dir string) (fs.FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder %s: %w", dir, err)
	}
	return root.FS(), nil
}

// The bounds of a tree.
const (
	maxFiles = 200_000
	maxDeep  = 200
)

// Listing is what a tree holds, by kind and sorted.
type Listing struct {
	// yaml are manifests, charts the folders of Helm charts.
	YAML, Charts []string
	// problems are links and submodules.
	Problems []manifest.Problem
}

type lister struct {
	tree  Tree
	skip  func(string) bool
	out   Listing
	files int
}

// List walks a tree. skip leaves paths out.
func List(tree Tree, skip func(string) bool) (Listing, error) {
	l := &lister{tree: tree, skip: skip}
	if err := l.folder(".", nil, nil, 0); err != nil {
		return Listing{}, err
	}
	slices.Sort(l.out.YAML)
	return l.out, nil
}

func (l *lister) folder(dir string, parts []string, ignores []gitignore.Pattern, depth int) error {
	if depth > maxDeep {
		return fmt.Errorf("list %s: folders are nested more than %d deep", dir, maxDeep)
	}
	entries, err := fs.ReadDir(l.tree.FS, dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	ignores = slices.Concat(ignores, l.ignoresIn(dir, parts, entries))
	chart := slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() == "Chart.yaml" && e.Type().IsRegular()
	})
	if chart {
		l.out.Charts = append(l.out.Charts, dir)
	}
	matcher := gitignore.NewMatcher(ignores)
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		inChart := chart && (entry.Name() == "templates" || entry.Name() == "charts")
		if inChart || manifest.Ignored(entry.Name()) || l.skip(name) {
			continue
		}
		below := append(slices.Clone(parts), entry.Name())
		if len(ignores) > 0 && matcher.Match(below, entry.IsDir()) && !l.tree.Tracked(name) {
			continue
		}
		if err := l.entry(entry, name, below, ignores, depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) entry(entry fs.DirEntry, name string, parts []string, ignores []gitignore.Pattern, depth int) error {
	mode := entry.Type()
	switch {
	case mode.IsDir():
		if _, err := fs.Lstat(l.tree.FS, path.Join(name, ".git")); err == nil {
			l.problem(name, "is a repository of its own, such as a submodule, which is not looked into")
			return nil
		}
		return l.folder(name, parts, ignores, depth+1)
	case mode&fs.ModeSymlink != 0 && (IsYAML(name) || path.Ext(name) == ""):
		l.problem(name, "is a symbolic link, which neither Flux nor the gate follows: put the file itself there")
	case mode&fs.ModeIrregular != 0:
		l.problem(name, "is in a submodule, which is not looked into")
	case mode.IsRegular() && IsYAML(name):
		if l.files++; l.files > maxFiles {
			return fmt.Errorf("list %s: more than %d YAML files: give a PATH", path.Dir(name), maxFiles)
		}
		l.out.YAML = append(l.out.YAML, name)
	}
	return nil
}

func (l *lister) problem(name, why string) {
	l.out.Problems = append(l.out.Problems, manifest.Problem{File: name, Why: why})
}

// ignoresIn reads a folder's .gitignore.
func (l *lister) ignoresIn(dir string, parts []string, entries []fs.DirEntry) []gitignore.Pattern {
	has := func(e fs.DirEntry) bool { return e.Name() == ".gitignore" && e.Type().IsRegular() }
	if l.tree.Tracked == nil || !slices.ContainsFunc(entries, has) {
		return nil
	}
	data, err := ReadFile(l.tree.FS, path.Join(dir, ".gitignore"), 1<<20)
	if err != nil {
		return nil
	}
	return manifest.IgnorePatterns(data, parts)
}

// IsYAML reports whether a file holds YAML, by its name.
func IsYAML(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml" || path.Base(name) == "Kustomization"
}

// ReadFile reads a file of at most max bytes.
func ReadFile(fsys fs.FS, name string, max int64) ([]byte, error) {
	info, err := fs.Lstat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: it is no plain file", name)
	}
	if info.Size() > max {
		return nil, fmt.Errorf("read %s: %w: %d bytes, at most %d are read", name, manifest.ErrTooLarge, info.Size(), max)
	}
	return fs.ReadFile(fsys, name)
}

// statFS remembers what a path is and what is in small files: the same folders are walked over and the same bases read
// again and again.
type statFS struct {
	fs.FS
	mu    sync.Mutex
	known map[string]statResult
	texts map[string][]byte
	// left is how much of files may still be remembered, in bytes.
	left int
}

// The bounds of what is remembered of files.
const (
	maxRemembered     = 4 << 20
	maxRememberedFile = 16 << 10
)

// Remembering gives a tree that remembers what was read of it.
func Remembering(fsys fs.FS) fs.FS {
	return &statFS{FS: fsys, known: map[string]statResult{}, texts: map[string][]byte{}, left: maxRemembered}
}

type statResult struct {
	info fs.FileInfo
	err  error
}

// Lstat describes a path without following links.
func (s *statFS) Lstat(name string) (fs.FileInfo, error) {
	s.mu.Lock()
	r, ok := s.known[name]
	s.mu.Unlock()
	if ok {
		return r.info, r.err
	}
	info, err := fs.Lstat(s.FS, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) < maxFiles {
		s.known[name] = statResult{info, err}
	}
	return info, err
}

// ReadLink is never asked: no link is followed.
func (s *statFS) ReadLink(name string) (string, error) {
	return "", &fs.PathError{Op: "readlink", Path: name, Err: errLink}
}

// ReadDir lists a folder.
func (s *statFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(s.FS, name) }

// ReadFile reads a file. Nobody may write to what it gives.
func (s *statFS) ReadFile(name string) ([]byte, error) {
	s.mu.Lock()
	data, ok := s.texts[name]
	s.mu.Unlock()
	if ok {
		return data, nil
	}
	data, err := fs.ReadFile(s.FS, name)
	if err != nil || len(data) > maxRememberedFile {
		return data, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.texts[name]; !ok && len(data) <= s.left {
		// Without room behind it, so that appending to it copies.
		data = slices.Clip(slices.Clone(data))
		s.texts[name] = data
		s.left -= len(data)
	}
	return data, nil
}

var errLink = errors.New("links are not followed")
