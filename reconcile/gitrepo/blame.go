package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// origin is what the walk found out about one group of nodes that make a reference together.
type origin struct {
	// nodes of the group at the tip.
	nodes []manifest.Node
	// in is the oldest commit from which on the branch holds the group's values without a break.
	in *commit
	// ago is how many commits that is from the tip.
	ago int
	// was is the group before that: by node, nil for one that was not there.
	was []*manifest.Node
}

// tracing is a group while its origin is searched.
type tracing struct {
	origin
	file int
	// pointers of the nodes in the version that the walk is at; a renamed list item has another one.
	pointers []string
	// own is what was found at one of Backstop's own commits, while the walk goes on behind it for the time when the
	// group last held the values: there somebody brought them in.
	own *origin
	// blind says that the version the walk is at does not read.
	blind bool
	done  bool
}

const (
	// alsoWithin is how many commits behind the first origin the walk goes on for further groups of the image. What has
	// held it for longer is not why it fails today.
	alsoWithin = 200
	// behindOwn is how many commits behind one of Backstop's own the walk goes on.
	behindOwn = 2000
)

// trace walks the first parents from the tip until each group's values became what they are.
//
//	tip ──► … ──► c ──► p ──► …
//	 bad          bad   not bad       c is the origin; p says what was there before
//	              └ Backstop's own (a revert to this value): go on until somebody else's commit brought it
func (h *history) trace(ctx context.Context, nodes []manifest.Node) ([]origin, error) {
	groups, paths := group(nodes)
	f, err := h.follow(ctx, h.tip, paths)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		g.in = f.at
	}
	first := -1
	for steps := 1; goesOn(groups, first, steps); steps++ {
		c, changed, err := f.back(ctx)
		if errors.Is(err, errTooFar) && first >= 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		found, err := stepAll(h, f, groups, c, steps, changed)
		if err != nil {
			return nil, err
		}
		if found && first < 0 {
			first = steps
		}
	}
	return ends(groups), nil
}

// stepAll looks at all groups in the next older commit, and says whether any of them was found.
func stepAll(h *history, f *follower, groups []*tracing, c *commit, ago int, changed []int) (bool, error) {
	found := false
	for _, g := range groups {
		if !g.done {
			if err := g.step(h, f, c, ago, changed); err != nil {
				return false, err
			}
		}
		found = found || g.done || g.own != nil
	}
	return found, nil
}

// goesOn says whether the walk has something left to find, within what it may cost once the first was found.
func goesOn(groups []*tracing, first, steps int) bool {
	open, behind := false, false
	for _, g := range groups {
		open = open || !g.done
		behind = behind || !g.done && g.own != nil
	}
	switch {
	case !open:
		return false
	case first < 0:
		return true
	case behind:
		return steps <= first+behindOwn
	}
	return steps <= first+alsoWithin
}

// ends are the origins that were found.
func ends(groups []*tracing) []origin {
	var out []origin
	for _, g := range groups {
		switch {
		case g.done:
			out = append(out, g.origin)
		case g.own != nil:
			// Nobody but Backstop is known to have brought it.
			out = append(out, *g.own)
		}
	}
	return out
}

// group puts the nodes together that make one reference, and lists their files.
func group(nodes []manifest.Node) (groups []*tracing, paths []string) {
	for _, n := range nodes {
		file := slices.Index(paths, n.File)
		if file < 0 {
			file = len(paths)
			paths = append(paths, n.File)
		}
		i := slices.IndexFunc(groups, func(g *tracing) bool {
			return g.file == file && n.Group != "" && g.nodes[0].Group == n.Group
		})
		if i < 0 {
			i = len(groups)
			groups = append(groups, &tracing{file: file})
		}
		groups[i].nodes = append(groups[i].nodes, n)
		groups[i].pointers = append(groups[i].pointers, n.Pointer)
	}
	return groups, paths
}

// step looks at the group in the next older commit; nil before the root.
func (g *tracing) step(h *history, f *follower, c *commit, ago int, changed []int) error {
	if c == nil {
		g.found(make([]*manifest.Node, len(g.nodes)))
		return nil
	}
	if !slices.Contains(changed, g.file) {
		if g.own == nil && !g.blind {
			g.in, g.ago = c, ago
		}
		return nil
	}
	file := f.files[g.file]
	if file.blob.IsZero() {
		g.found(make([]*manifest.Node, len(g.nodes)))
		return nil
	}
	if g.own != nil {
		// Only a version that holds the values is of interest now.
		if data, err := h.objects.blob(file.blob, manifest.MaxFileSize); err == nil && !g.mayHold(data) {
			return nil
		}
	}
	p, err := h.parsed(file.path, file.blob)
	if err != nil {
		return err
	}
	if g.blind = p.err != nil; g.blind {
		// Nobody deployed a version that does not read: what came before it counts.
		return nil
	}
	was := g.lookup(p)
	if g.same(was) {
		g.own, g.in, g.ago = nil, c, ago
		return nil
	}
	if g.own == nil {
		g.found(was)
	}
	return nil
}

// found ends the search, or goes on behind one of Backstop's own commits.
func (g *tracing) found(was []*manifest.Node) {
	if g.own != nil {
		g.origin, g.done = *g.own, true
		return
	}
	g.was = was
	if _, own := trail(g.in); own && !slices.Contains(was, nil) {
		o := g.origin
		g.own = &o
		return
	}
	g.done = true
}

// mayHold says quickly whether a version can hold all the values.
func (g *tracing) mayHold(data []byte) bool {
	for _, n := range g.nodes {
		if !bytes.Contains(data, []byte(n.Value)) && !bytes.ContainsAny(data, `\`) {
			return false
		}
	}
	return true
}

// lookup finds the group's nodes in another version: by pointer, else by value where that is clear, as after the
// renaming of a container.
func (g *tracing) lookup(p parsedFile) []*manifest.Node {
	out := make([]*manifest.Node, len(g.nodes))
	for i, n := range g.nodes {
		if out[i] = p.node(g.pointers[i]); out[i] != nil {
			continue
		}
		var only *manifest.Node
		for k := range p.nodes {
			o := &p.nodes[k]
			if o.Part == n.Part && o.Value == n.Value && !slices.Contains(g.pointers, o.Pointer) {
				if only != nil {
					only = nil
					break
				}
				only = o
			}
		}
		if only != nil {
			out[i], g.pointers[i] = only, only.Pointer
		}
	}
	return out
}

func (g *tracing) same(was []*manifest.Node) bool {
	for i, n := range g.nodes {
		if was[i] == nil || was[i].Value != n.Value {
			return false
		}
	}
	return true
}

// String names the group for errors.
func (o origin) String() string { return fmt.Sprintf("%s %s", o.nodes[0].File, o.nodes[0].Pointer) }
