package gitrepo

import (
	"context"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// pursued is the nodes that make one reference together, on their way back through history: a file may be moved or
// split, an object, a container or a key renamed, and the reference written in another shape.
type pursued struct {
	// tip are the nodes as the walk began with them, and group is what makes their reference in the version that the
	// walk is at.
	tip, group []manifest.Node
	// made is the whole reference at the tip, where the group is not all that it is made of.
	made []manifest.Node
	// file is the index of the file that holds the group there.
	file int
	// gone means that this version has no such group, which is the newer one's then.
	gone bool
	// blind means that this version does not read.
	blind bool
}

// newPursued starts at a group of nodes of one file.
func newPursued(f *walk, group []manifest.Node) (*pursued, error) {
	i, err := f.Add(group[0].File)
	return &pursued{tip: group, group: group, file: i}, err
}

// walk goes back over the first parents of a history, and follows files on the way.
type walk struct {
	*store.Follower
	h *history
	// query is what is asked for, where that is known: its root is what is rendered of the files.
	query reconcile.Query
}

// walk begins at a commit.
func (h *history) walk(ctx context.Context, from plumbing.Hash, paths []string) (*walk, error) {
	f, err := h.Follow(ctx, from, paths)
	return &walk{Follower: f, h: h}, err
}

// seen is what an older version says.
type seen int

const (
	// seenSame is what cannot be another value: the file is the same, or it does not read.
	seenSame seen = iota
	// seenGroup is a version that has the group, with these or other values.
	seenGroup
	// seenNothing is a version that has no such group.
	seenNothing
)

// older looks at the group in the version that the follower went to from a newer commit. quick may say that a version
// is of no interest.
func (p *pursued) older(ctx context.Context, f *walk, newer *store.Commit, quick func([]byte) bool) (seen, error) {
	file := f.Files[p.file]
	if f.At == nil {
		p.gone = true
		return seenNothing, nil
	}
	if file.Blob == file.Newer {
		return seenSame, nil
	}
	if !file.Blob.IsZero() {
		if quick != nil {
			if data, err := f.h.Objects.Blob(file.Blob, manifest.MaxFileSize); err == nil && quick(data) {
				return seenSame, nil
			}
		}
		v, err := f.h.parsed(file.Path, file.Blob)
		if err != nil {
			return seenSame, err
		}
		if p.blind = v.err != nil; p.blind {
			// Nobody deployed a version that does not read: what came before it counts.
			return seenSame, nil
		}
		group := v.group(p.group)
		if group != nil && !p.gone {
			if other, err := p.pushed(f.h, file, v, group); err != nil {
				return seenSame, err
			} else if other {
				group = nil
			}
		}
		if group != nil {
			return p.standing(ctx, f, newer, group)
		}
	}
	if p.gone {
		return seenNothing, nil
	}
	was, err := p.movedFrom(ctx, f, newer, false)
	if err != nil || !was {
		p.gone = true
		return seenNothing, err
	}
	return seenGroup, nil
}

// standing goes on with the group that stood in the same place before a commit. Where that named the repository alone,
// an entry of images or the like said the version.
func (p *pursued) standing(ctx context.Context, f *walk, newer *store.Commit, group []manifest.Node) (seen, error) {
	if !p.gone && manifest.Unversioned(group, p.group) {
		if was, err := p.movedFrom(ctx, f, newer, true); was || err != nil {
			return seenGroup, err
		}
	}
	if !p.gone {
		if was, err := p.foldedFrom(ctx, f, newer, group); was || err != nil {
			return seenGroup, err
		}
	}
	p.group, p.gone = group, false
	return seenGroup, nil
}

// movedFrom goes on with the place that the group had before a commit, where there is one. bare says that its present
// place was there, without a version.
func (p *pursued) movedFrom(ctx context.Context, f *walk, newer *store.Commit, bare bool) (bool, error) {
	was, err := f.h.whereItWas(ctx, move{
		group: p.group, made: p.made, file: f.Files[p.file], newer: newer, older: f.At, bare: bare,
	})
	if err != nil || was == nil {
		return false, err
	}
	p.group = was
	p.file, err = f.Add(was[0].File)
	return true, err
}

// pushed reports whether what stood in the group's place in a list is another image that only changed its own place,
// since items were added, removed or put into another order.
func (p *pursued) pushed(h *history, file *store.Followed, older parsedFile, there []manifest.Node) (bool, error) {
	if !positional(p.group) || manifest.Kin(p.group, there) || manifest.Lone(p.group) || manifest.Lone(there) {
		return false, nil
	}
	newer, err := h.parsed(file.Path, file.Newer)
	if err != nil || newer.err != nil {
		return false, err
	}
	names := func(in parsedFile, group []manifest.Node) bool {
		return slices.ContainsFunc(in.like(group), func(g []manifest.Node) bool {
			return sameList(g[0].Pointer, group[0].Pointer) && manifest.Kin(g, group)
		})
	}
	return names(older, p.group) || names(newer, there), nil
}

// told is the group of the version that the walk is at: of one that named the repository too, the version alone where
// the walk began with that.
func (p *pursued) told() []manifest.Node {
	if !manifest.Lone(p.tip) || manifest.Lone(p.group) {
		return p.group
	}
	var out []manifest.Node
	for _, n := range manifest.Express(p.group, p.tip) {
		if n != nil {
			out = append(out, *n)
		}
	}
	if len(out) == 0 {
		return p.group
	}
	return out
}

// values are the nodes of the version that the walk is at, by node of the tip; nil for one that is not there.
func (p *pursued) values() []*manifest.Node {
	if p.gone {
		return make([]*manifest.Node, len(p.tip))
	}
	return manifest.Express(p.group, p.tip)
}
