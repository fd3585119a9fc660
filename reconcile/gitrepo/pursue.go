package gitrepo

import (
	"bytes"
	"context"
	"slices"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// pursued is the nodes that make one reference together, on their way back through history: a file may be moved or
// split, an object, a container or a key renamed, and the reference written in another shape.
type pursued struct {
	// tip are the nodes as the walk began with them, and group is what makes their reference in the version that the
	// walk is at.
	tip, group []manifest.Node
	// file is the index of the file that holds the group there.
	file int
	// gone says that this version has no such group, which is the newer one's then.
	gone bool
	// blind says that this version does not read.
	blind bool
}

// newPursued starts at a group of nodes of one file.
func newPursued(f *follower, group []manifest.Node) (*pursued, error) {
	i, err := f.add(group[0].File)
	return &pursued{tip: group, group: group, file: i}, err
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
func (p *pursued) older(ctx context.Context, f *follower, newer *commit, quick func([]byte) bool) (seen, error) {
	file := f.files[p.file]
	if f.at == nil {
		p.gone = true
		return seenNothing, nil
	}
	if file.blob == file.newer {
		return seenSame, nil
	}
	if !file.blob.IsZero() {
		if quick != nil {
			if data, err := f.h.objects.blob(file.blob, manifest.MaxFileSize); err == nil && quick(data) {
				return seenSame, nil
			}
		}
		v, err := f.h.parsed(file.path, file.blob)
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
			p.group, p.gone = group, false
			return seenGroup, nil
		}
	}
	if p.gone {
		return seenNothing, nil
	}
	was, err := f.h.whereItWas(ctx, move{group: p.group, file: file, newer: newer, older: f.at})
	if err != nil || was == nil {
		p.gone = true
		return seenNothing, err
	}
	p.group = was
	p.file, err = f.add(was[0].File)
	return seenGroup, err
}

// pushed says whether what stood in the group's place in a list is another image that only changed its own place, since
// items were added, removed or put into another order.
func (p *pursued) pushed(h *history, file *followed, older parsedFile, there []manifest.Node) (bool, error) {
	if !positional(p.group) || manifest.Kin(p.group, there) || manifest.Lone(p.group) || manifest.Lone(there) {
		return false, nil
	}
	newer, err := h.parsed(file.path, file.newer)
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

// sameList says whether two pointers differ in positions alone.
func sameList(a, b string) bool {
	return indexed.ReplaceAllString(a, "[]") == indexed.ReplaceAllString(b, "[]")
}

// values are the nodes of the version that the walk is at, by node of the tip; nil for one that is not there.
func (p *pursued) values() []*manifest.Node {
	if p.gone {
		return make([]*manifest.Node, len(p.tip))
	}
	return manifest.Express(p.group, p.tip)
}

// mayHold says quickly whether a version can hold all the values.
func mayHold(group []manifest.Node, data []byte) bool {
	for _, n := range group {
		if !bytes.Contains(data, []byte(n.Value)) && !bytes.ContainsAny(data, `\`) {
			return false
		}
	}
	return true
}

// group finds a group of another version in this one, by the places of its nodes; nil where none of them is there.
func (p parsedFile) group(of []manifest.Node) []manifest.Node {
	for _, n := range of {
		if isImage(n) {
			if at := p.node(n.Pointer); at != nil {
				return manifest.GroupOf(p.nodes, *at)
			}
			continue
		}
		if p.scalars == nil {
			continue
		}
		if at, ok := manifest.At(p.scalars(), n.Pointer); ok {
			at.Part, at.Variable = n.Part, n.Variable
			return []manifest.Node{at}
		}
	}
	return nil
}

// isImage says whether a node is one by its place, and no variable or part of a text.
func isImage(n manifest.Node) bool {
	return n.Variable == "" && n.Part != manifest.PartVariable && n.Part != manifest.PartText &&
		!manifest.IsText(n.Pointer)
}

// like lists the groups of a version among which one may be found again: what is no image by its place only where it
// has the same name.
func (p parsedFile) like(group []manifest.Node) [][]manifest.Node {
	n := group[0]
	if isImage(n) {
		return manifest.Groups(p.nodes)
	}
	if p.scalars == nil {
		return nil
	}
	var found []manifest.Node
	if n.Part == manifest.PartVariable || n.Variable != "" {
		for _, s := range p.scalars() {
			if manifest.IsNamed(s, n.Variable) {
				s.Part, s.Variable = n.Part, n.Variable
				found = append(found, s)
			} else if a, ok := manifest.Assignment(s, n.Variable); ok {
				a.Part, a.Variable = n.Part, n.Variable
				found = append(found, a)
			}
		}
	} else {
		repository, _, _ := manifest.Split(n.Value)
		found = manifest.MentionsOf(p.scalars(), repository)
	}
	var out [][]manifest.Node
	for _, f := range found {
		out = append(out, []manifest.Node{f})
	}
	return out
}
