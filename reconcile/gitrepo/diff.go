package gitrepo

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// change is a path that differs between two trees. The zero entry is none.
type change struct {
	path          string
	before, after entry
}

// errManyChanges says that trees differ in more paths than were asked for.
var errManyChanges = errors.New("too many files differ")

// maxVisits bounds the folders that a comparison looks into: a small tree can name the same folder a billion times.
const maxVisits = 100_000

// diff lists the files that differ between two trees. With more than max of them it gives errManyChanges and those that
// it found.
func (o *objects) diff(before, after plumbing.Hash, max int) ([]change, error) {
	d := &differ{objects: o, max: max}
	err := d.trees("", before, after)
	return d.out, err
}

type differ struct {
	objects *objects
	max     int
	visits  int
	out     []change
}

func (d *differ) trees(dir string, before, after plumbing.Hash) error {
	if before == after {
		return nil
	}
	if d.visits++; d.visits > maxVisits {
		return errManyChanges
	}
	was, err := d.objects.entries(before)
	if err != nil {
		return fmt.Errorf("compare %q: %w", dir, err)
	}
	is, err := d.objects.entries(after)
	if err != nil {
		return fmt.Errorf("compare %q: %w", dir, err)
	}
	for _, n := range was.names {
		if err := d.entry(dir+n, was.byName[n], is.byName[n]); err != nil {
			return err
		}
	}
	for _, n := range is.names {
		if _, known := was.byName[n]; known {
			continue
		}
		if err := d.entry(dir+n, entry{}, is.byName[n]); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) entry(path string, before, after entry) error {
	// A folder that became a file, or the other way, is both.
	var was, is plumbing.Hash
	if before.mode == filemode.Dir {
		was, before = before.hash, entry{}
	}
	if after.mode == filemode.Dir {
		is, after = after.hash, entry{}
	}
	if err := d.trees(path+"/", was, is); err != nil {
		return err
	}
	if before == after {
		return nil
	}
	if len(d.out) >= d.max {
		return errManyChanges
	}
	d.out = append(d.out, change{path: path, before: before, after: after})
	return nil
}

// listing is a tree by name, and in its order.
type listing struct {
	names  []string
	byName map[string]entry
}

// entries lists a tree without the names that lead elsewhere; the zero hash is an empty one.
func (o *objects) entries(tree plumbing.Hash) (listing, error) {
	l := listing{byName: map[string]entry{}}
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
		if _, twice := l.byName[string(name)]; !twice {
			l.names = append(l.names, string(name))
			l.byName[string(name)] = e
		}
	}
}
