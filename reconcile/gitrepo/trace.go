package gitrepo

import (
	"context"
	"errors"
	"slices"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// origin is what the walk found out about one reference.
type origin struct {
	// nodes of the reference at the tip.
	nodes []manifest.Node
	// in is the oldest commit from which on the branch holds the reference without a break.
	in *store.Commit
	// ago is how many commits that is from the tip.
	ago int
	// at is the reference as that commit wrote it: it may have been moved since.
	at composed
	// was is what was there before that: by node, nil for one that was not there.
	was []*manifest.Node
}

// changes reports whether the commit put the reference in the place of another one, where it did not only add it.
func (o origin) changes() bool {
	return slices.ContainsFunc(o.was, func(n *manifest.Node) bool { return n != nil })
}

// tracing is a reference while its origin is searched.
type tracing struct {
	origin
	parts []*pursued
	tip   composed
	// as is the reference in the shape that the walk follows: the tip's, or an older one's that was made of more. shown
	// are by part of the tip the parts that hold it there.
	as    composed
	shown []int
	// embodied means that in the version that the walk is at the text itself says what was copied into it later.
	embodied bool
	// own is what was found at one of Backstop's own commits, while the walk goes on behind it for the time when the
	// branch last held the reference: there somebody brought it in.
	own  *origin
	done bool
}

const (
	// alsoWithin is how many commits behind the first origin the walk goes on for further groups of the image. What has
	// held it for longer is not why it fails today.
	alsoWithin = 200
	// behindOwn is how many commits behind one of Backstop's own the walk goes on, and behind a copy that a person asks
	// about.
	behindOwn = 2000
)

// trace walks the first parents from a commit until each reference became what it is where the root runs it.
//
//	tip ──► … ──► c ──► p ──► …
//	 bad          bad   not bad       c is the origin; p says what was there before
//	              └ Backstop's own (a revert to this value): go on until somebody else's commit brought it
func (h *history) trace(ctx context.Context, from *store.Commit, all []composed, q reconcile.Query,
) ([]origin, error) {
	f, err := h.walk(ctx, from.Hash, filesOf(all))
	if err != nil {
		return nil, err
	}
	f.query = q
	var groups []*tracing
	for _, tip := range all {
		g := &tracing{origin: origin{nodes: slices.Concat(tip...), in: f.At, at: tip}, tip: tip, as: tip}
		for i, nodes := range tip {
			p, err := newPursued(f, nodes)
			if err != nil {
				return nil, err
			}
			g.parts, g.shown = append(g.parts, p), append(g.shown, i)
		}
		g.makes(q.Image)
		groups = append(groups, g)
	}
	first, undone := -1, false
	for steps := 1; goesOn(groups, first, steps, q.ByPerson && !undone); steps++ {
		newer := f.At
		_, _, err := f.Back(ctx)
		if errors.Is(err, store.ErrTooFar) && first >= 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		found, err := stepAll(ctx, f, groups, newer, steps)
		if err != nil {
			return nil, err
		}
		if found && (first < 0 || q.ByPerson && !undone && undoable(groups)) {
			first = steps
		}
		undone = undone || undoable(groups)
	}
	return ends(groups), nil
}

// stepAll looks at all groups in the next older commit, and reports whether any of them was found.
func stepAll(ctx context.Context, f *walk, groups []*tracing, newer *store.Commit, ago int) (bool, error) {
	found := false
	for _, g := range groups {
		if !g.done {
			if err := g.step(ctx, f, newer, ago); err != nil {
				return false, err
			}
		}
		found = found || g.done || g.own != nil
	}
	return found, nil
}

// undoable reports whether something that was found has an earlier value.
func undoable(groups []*tracing) bool {
	return slices.ContainsFunc(groups, func(g *tracing) bool { return g.done && g.changes() || g.own != nil })
}

// goesOn reports whether the walk has something left to find, within what it may cost once the first was found. far
// means that all that was found only added the image, as a copy does, for a person, who wants to undo what there is.
func goesOn(groups []*tracing, first, steps int, far bool) bool {
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
	case behind || far:
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

// step looks at the reference in the version that the follower went to.
func (g *tracing) step(ctx context.Context, f *walk, newer *store.Commit, ago int) error {
	var quick func([]byte) bool
	if g.own != nil && len(g.parts) == 1 {
		// Only a version that holds the values is of interest now.
		quick = func(data []byte) bool { return !mayHold(g.nodes, data) }
	}
	what, blind := seenSame, false
	for _, p := range g.parts {
		seen, err := p.older(ctx, f, newer, quick)
		if err != nil {
			return err
		}
		what, blind = max(what, seen), blind || p.blind
	}
	g.embody()
	switch {
	case what == seenSame:
		if g.own == nil && !blind {
			g.in, g.ago = f.At, ago
		}
	case !g.parts[0].gone && g.as.same(g.now()):
		g.own, g.in, g.ago, g.at = nil, f.At, ago, g.now()
	case g.own == nil || g.parts[0].gone:
		made, err := g.dissolved(ctx, f, newer)
		if err != nil {
			return err
		}
		if made {
			g.own, g.in, g.ago, g.at = nil, f.At, ago, g.now()
			return nil
		}
		g.found(g.values())
	}
	return nil
}

// now is the reference in the version that the walk is at.
func (g *tracing) now() composed {
	var out composed
	for i, p := range g.parts {
		if !p.gone || i == 0 {
			out = append(out, p.told())
		}
	}
	return out
}

// found ends the search, or goes on behind one of Backstop's own commits.
func (g *tracing) found(was []*manifest.Node) {
	if g.own != nil {
		g.origin, g.done = *g.own, true
		return
	}
	g.was = was
	if _, own := readTrailers(g.in); own && !slices.Contains(was, nil) {
		o := g.origin
		g.own = &o
		return
	}
	g.done = true
}

// suspectOf is the newest commit that can be undone: with it the image became what it is everywhere. Where each of them
// only added the image, as a copied folder does, it is the newest of all.
func suspectOf(origins []origin) *store.Commit {
	changed := slices.DeleteFunc(slices.Clone(origins), func(o origin) bool { return !o.changes() })
	if len(changed) > 0 {
		origins = changed
	}
	return slices.MinFunc(origins, func(a, b origin) int { return a.ago - b.ago }).in
}
