package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"path"
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

// back goes to the first parent, and gives the files that are different there, by index. It gives a nil commit before
// the root.
func (f *follower) back(ctx context.Context) (*commit, []int, error) {
	c, err := f.h.before(ctx, f.at)
	if c == nil || err != nil {
		return nil, nil, err
	}
	changed, err := f.visit(f.root, c.tree, nil)
	if err != nil {
		return nil, nil, err
	}
	after := f.at
	f.at = c
	for _, i := range changed {
		if !f.files[i].blob.IsZero() {
			continue
		}
		if err := f.rename(after, i); err != nil {
			return nil, nil, err
		}
	}
	return c, changed, nil
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

// maxMoved is how many changes of a commit are looked at to follow the way of a file through it.
const maxMoved = 200

// rename looks for the file under its earlier name: what vanished in the commit that brought it, with the same content
// or the same name in another folder.
func (f *follower) rename(after *commit, i int) error {
	now, err := f.h.entryAt(after.tree, f.files[i].path)
	if err != nil || now.hash.IsZero() {
		return err
	}
	changes, err := f.h.diff(f.at.tree, after.tree, maxMoved)
	if err != nil && !errors.Is(err, errManyChanges) {
		return err
	}
	best := earlier(changes, f.files[i].path, now.hash)
	if best == nil {
		return nil
	}
	f.files[i].path, f.files[i].blob = best.path, best.before.hash
	f.plant()
	_, err = f.visit(f.root, f.at.tree, nil)
	return err
}

// earlier picks from what vanished in a commit what a new file was before: one of the same content, else one of the
// same name whose path ends most alike.
func earlier(changes []change, file string, content plumbing.Hash) *change {
	var best *change
	rank := func(c *change) int {
		if c.before.hash == content {
			return 1<<20 + common(file, c.path)
		}
		return common(file, c.path)
	}
	for k := range changes {
		c := &changes[k]
		if !c.after.hash.IsZero() || !c.before.regular() {
			continue
		}
		if c.before.hash != content && path.Base(c.path) != path.Base(file) {
			continue
		}
		if best == nil || rank(c) > rank(best) {
			best = c
		}
	}
	return best
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
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
