package store

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// Change is a path that differs between two trees. The zero entry means that the path is absent.
type Change struct {
	// Path is the whole path.
	Path string
	// Before and after are what stands there.
	Before, After Entry
}

// ErrManyChanges means that trees differ in more paths than were asked for.
var ErrManyChanges = errors.New("too many files differ")

// maxVisits bounds the folders that a comparison looks into: a small tree can name the same folder a billion times.
const maxVisits = 100_000

// Diff lists the files that differ between two trees. With more than max of them it gives errManyChanges and those that
// it found.
func (o *Objects) Diff(before, after plumbing.Hash, max int) ([]Change, error) {
	d := &differ{objects: o, max: max}
	err := d.trees("", before, after)
	return d.out, err
}

type differ struct {
	objects *Objects
	max     int
	visits  int
	out     []Change
}

func (d *differ) trees(dir string, before, after plumbing.Hash) error {
	if before == after {
		return nil
	}
	if d.visits++; d.visits > maxVisits {
		return ErrManyChanges
	}
	was, err := d.objects.Entries(before)
	if err != nil {
		return fmt.Errorf("compare %q: %w", dir, err)
	}
	is, err := d.objects.Entries(after)
	if err != nil {
		return fmt.Errorf("compare %q: %w", dir, err)
	}
	for _, n := range was.Names {
		if err := d.entry(dir+n, was.ByName[n], is.ByName[n]); err != nil {
			return err
		}
	}
	for _, n := range is.Names {
		if _, known := was.ByName[n]; known {
			continue
		}
		if err := d.entry(dir+n, Entry{}, is.ByName[n]); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) entry(path string, before, after Entry) error {
	// A folder that became a file, or the other way, is both.
	var was, is plumbing.Hash
	if before.Mode == filemode.Dir {
		was, before = before.Hash, Entry{}
	}
	if after.Mode == filemode.Dir {
		is, after = after.Hash, Entry{}
	}
	if err := d.trees(path+"/", was, is); err != nil {
		return err
	}
	if before == after {
		return nil
	}
	if len(d.out) >= d.max {
		return ErrManyChanges
	}
	d.out = append(d.out, Change{Path: path, Before: before, After: after})
	return nil
}

// Listing is a tree by name, and in its order.
type Listing struct {
	// Names are in the tree's order, each once.
	Names []string
	// ByName are the entries.
	ByName map[string]Entry
}

// Entries lists a tree without the names that lead elsewhere; the zero hash is an empty one.
func (o *Objects) Entries(tree plumbing.Hash) (Listing, error) {
	l := Listing{ByName: map[string]Entry{}}
	if tree.IsZero() {
		return l, nil
	}
	raw, err := o.tree(tree)
	if err != nil {
		return l, err
	}
	for {
		name, e, rest, ok := nextEntry(raw)
		if !ok {
			return l, nil
		}
		raw = rest
		if !safeName(string(name)) {
			continue
		}
		if _, twice := l.ByName[string(name)]; !twice {
			l.Names = append(l.Names, string(name))
			l.ByName[string(name)] = e
		}
	}
}
