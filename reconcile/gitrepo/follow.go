package gitrepo

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// follower walks the first parents of a commit and says where files change. It looks at raw tree entries only, and
// leaves folders alone that did not change: a walk over thousands of commits reads little more than the trees on the
// way.
type follower struct {
	h     *history
	at    *commit
	files []*followed
	root  *folder
}

// followed is one file on the walk.
type followed struct {
	// path at the commit that the follower is at; a file may have had another one.
	path string
	// blob at that commit; zero where there is no such file.
	blob plumbing.Hash
	// newer is the blob at the commit that the follower came from.
	newer plumbing.Hash
}

// folder is a folder on the way to followed files.
type folder struct {
	tree    plumbing.Hash
	folders map[string]*folder
	files   map[string][]int
}

// follow starts at a commit.
func (h *history) follow(ctx context.Context, from plumbing.Hash, paths []string) (*follower, error) {
	c, err := h.at(ctx, from)
	if err != nil {
		return nil, err
	}
	f := &follower{h: h, at: c}
	for _, p := range paths {
		f.files = append(f.files, &followed{path: p})
	}
	f.plant()
	_, err = f.visit(f.root, c.tree, nil)
	return f, err
}

// plant builds the folders anew.
func (f *follower) plant() {
	f.root = newFolder()
	for i, file := range f.files {
		at := f.root
		dir, name := path.Split(file.path)
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

// add follows one more file, and gives its index.
func (f *follower) add(name string) (int, error) {
	if i := slices.IndexFunc(f.files, func(file *followed) bool { return file.path == name }); i >= 0 {
		return i, nil
	}
	file := &followed{path: name}
	f.files = append(f.files, file)
	if f.at != nil {
		e, err := f.h.entryAt(f.at.tree, name)
		if err != nil {
			return 0, err
		}
		if e.regular() {
			file.blob = e.hash
		}
		f.plant()
		if _, err = f.visit(f.root, f.at.tree, nil); err != nil {
			return 0, err
		}
	}
	file.newer = file.blob
	return len(f.files) - 1, nil
}

// back goes to the first parent, and gives the files that are different there, by index. It gives a nil commit before
// the root.
func (f *follower) back(ctx context.Context) (*commit, []int, error) {
	for _, file := range f.files {
		file.newer = file.blob
	}
	c, err := f.h.before(ctx, f.at)
	if err != nil {
		return nil, nil, err
	}
	if f.at = c; c == nil {
		return nil, nil, nil
	}
	changed, err := f.visit(f.root, c.tree, nil)
	return c, changed, err
}

// visit compares a folder with its tree at another commit, and adds the files that changed.
func (f *follower) visit(d *folder, tree plumbing.Hash, changed []int) ([]int, error) {
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
		if !ok || !e.regular() {
			e.hash = plumbing.ZeroHash
		}
		for _, i := range list {
			if f.files[i].blob != e.hash {
				f.files[i].blob = e.hash
				changed = append(changed, i)
			}
		}
	}
	for name, sub := range d.folders {
		e, ok := find(raw, name)
		if !ok || e.mode != filemode.Dir {
			e.hash = plumbing.ZeroHash
		}
		var err error
		if changed, err = f.visit(sub, e.hash, changed); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// entryAt finds a path in a tree; the zero entry where there is none.
func (o *objects) entryAt(tree plumbing.Hash, name string) (entry, error) {
	e := entry{mode: filemode.Dir, hash: tree}
	for part := range strings.SplitSeq(name, "/") {
		if e.mode != filemode.Dir {
			return entry{}, nil
		}
		raw, err := o.tree(e.hash)
		if err != nil {
			return entry{}, fmt.Errorf("look up %s: %w", name, err)
		}
		next, ok := find(raw, part)
		if !ok {
			return entry{}, nil
		}
		e = next
	}
	return e, nil
}
