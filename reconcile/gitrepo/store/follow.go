package store

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// Follower walks the first parents of a commit and reports where files change. It looks at raw tree entries only, and
// leaves folders alone that did not change: a walk over thousands of commits reads little more than the trees on the
// way.
type Follower struct {
	h *History
	// At is the commit that it is at; nil before the root.
	At *Commit
	// Files are those that it follows.
	Files []*Followed
	root  *folder
}

// Followed is one file on the walk.
type Followed struct {
	// Path at the commit that the follower is at; a file may have had another one.
	Path string
	// Blob at that commit; zero where there is no such file.
	Blob plumbing.Hash
	// Newer is the blob at the commit that the follower came from.
	Newer plumbing.Hash
}

// folder is a folder on the way to followed files.
type folder struct {
	tree    plumbing.Hash
	folders map[string]*folder
	files   map[string][]int
}

// Follow starts at a commit.
func (h *History) Follow(ctx context.Context, from plumbing.Hash, paths []string) (*Follower, error) {
	c, err := h.At(ctx, from)
	if err != nil {
		return nil, err
	}
	f := &Follower{h: h, At: c}
	for _, p := range paths {
		f.Files = append(f.Files, &Followed{Path: p})
	}
	f.plant()
	_, err = f.visit(f.root, c.Tree, nil)
	return f, err
}

// plant builds the folders anew.
func (f *Follower) plant() {
	f.root = newFolder()
	for i, file := range f.Files {
		at := f.root
		dir, name := path.Split(file.Path)
		for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
			if part == "" {
				continue
			}
			if at.folders[part] == nil {
				at.folders[part] = newFolder()
			}
			at = at.folders[part]
		}
		at.files[name] = append(at.files[name], i)
	}
}

func newFolder() *folder { return &folder{folders: map[string]*folder{}, files: map[string][]int{}} }

// Add follows one more file, and gives its index.
func (f *Follower) Add(name string) (int, error) {
	if i := slices.IndexFunc(f.Files, func(file *Followed) bool { return file.Path == name }); i >= 0 {
		return i, nil
	}
	file := &Followed{Path: name}
	f.Files = append(f.Files, file)
	if f.At != nil {
		e, err := f.h.EntryAt(f.At.Tree, name)
		if err != nil {
			return 0, err
		}
		if e.Regular() {
			file.Blob = e.Hash
		}
		f.plant()
		if _, err = f.visit(f.root, f.At.Tree, nil); err != nil {
			return 0, err
		}
	}
	file.Newer = file.Blob
	return len(f.Files) - 1, nil
}

// Back goes to the first parent, and gives the files that are different there, by index. It gives a nil commit before
// the root.
func (f *Follower) Back(ctx context.Context) (*Commit, []int, error) {
	for _, file := range f.Files {
		file.Newer = file.Blob
	}
	c, err := f.h.Before(ctx, f.At)
	if err != nil {
		return nil, nil, err
	}
	if f.At = c; c == nil {
		return nil, nil, nil
	}
	changed, err := f.visit(f.root, c.Tree, nil)
	return c, changed, err
}

// Rename goes on with a file under another path, which it had at the commit that the follower is at.
func (f *Follower) Rename(i int, path string) error {
	*f.Files[i] = Followed{Path: path}
	f.plant()
	_, err := f.visit(f.root, f.At.Tree, nil)
	return err
}

// visit compares a folder with its tree at another commit, and adds the files that changed.
func (f *Follower) visit(d *folder, tree plumbing.Hash, changed []int) ([]int, error) {
	if d.tree == tree {
		return changed, nil
	}
	d.tree = tree
	var raw []byte
	if !tree.IsZero() {
		var err error
		if raw, err = f.h.tree(tree); err != nil {
			return nil, err
		}
	}
	for name, list := range d.files {
		e, ok := find(raw, name)
		if !ok || !e.Regular() {
			e.Hash = plumbing.ZeroHash
		}
		for _, i := range list {
			if f.Files[i].Blob != e.Hash {
				f.Files[i].Blob = e.Hash
				changed = append(changed, i)
			}
		}
	}
	for name, sub := range d.folders {
		e, ok := find(raw, name)
		if !ok || e.Mode != filemode.Dir {
			e.Hash = plumbing.ZeroHash
		}
		var err error
		if changed, err = f.visit(sub, e.Hash, changed); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// EntryAt finds a path in a tree; the zero entry if absent.
func (o *Objects) EntryAt(tree plumbing.Hash, name string) (Entry, error) {
	e := Entry{Mode: filemode.Dir, Hash: tree}
	for part := range strings.SplitSeq(name, "/") {
		if e.Mode != filemode.Dir {
			return Entry{}, nil
		}
		raw, err := o.tree(e.Hash)
		if err != nil {
			return Entry{}, fmt.Errorf("look up %s: %w", name, err)
		}
		next, ok := find(raw, part)
		if !ok {
			return Entry{}, nil
		}
		e = next
	}
	return e, nil
}
