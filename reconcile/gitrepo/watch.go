package gitrepo

import (
	"context"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// broughtBy is the commit that brought the value of a node.
func broughtBy(s v1alpha1.Suspect, n v1alpha1.Place) string {
	if n.Origin != nil && n.Origin.Commit != "" {
		return n.Origin.Commit
	}
	return s.Commit
}

// place is where a version has a node of a suspect.
type place struct {
	// node is the index among the suspect's nodes.
	node          int
	file, pointer string
	// part of the reference that the node holds on the branch, which may have another shape than this version.
	part manifest.Part
}

// placesOf reports where a commit wrote the nodes of a suspect that it brought.
func placesOf(s v1alpha1.Suspect, commit string) []place {
	var out []place
	for i, n := range s.Places {
		if broughtBy(s, n) != commit {
			continue
		}
		p := place{node: i, file: n.File, pointer: n.Pointer, part: manifest.Part(n.Part)}
		if o := n.Origin; o != nil && o.File != "" {
			p.file, p.pointer = o.File, o.Pointer
		}
		out = append(out, p)
	}
	return out
}

// placesNow reports where the nodes of a suspect are on the branch.
func placesNow(s v1alpha1.Suspect) []place {
	out := make([]place, len(s.Places))
	for i, n := range s.Places {
		out[i] = place{node: i, file: n.File, pointer: n.Pointer, part: manifest.Part(n.Part)}
	}
	return out
}

// watching follows the nodes of a suspect through the versions of their files.
type watching struct {
	*walk
	places []place
	groups []*pursued
	// in is by place the group that it is in and its index there; a node that is not in the first version has none.
	in [][2]int
	// spelled are by place the variables that it named right before the commit at which the walk began.
	spelled map[int]spelling
}

// watch starts to follow places at a commit.
func (h *history) watch(ctx context.Context, from plumbing.Hash, places []place) (*watching, error) {
	var paths []string
	for _, p := range places {
		add(&paths, p.file)
	}
	f, err := h.walk(ctx, from, paths)
	if err != nil {
		return nil, err
	}
	w := &watching{walk: f, places: places, spelled: map[int]spelling{}}
	for _, p := range places {
		in, err := w.join(p)
		if err != nil {
			return nil, err
		}
		w.in = append(w.in, in)
	}
	return w, nil
}

// join finds the group of a place, or begins to follow it.
func (w *watching) join(p place) ([2]int, error) {
	none := [2]int{-1, -1}
	i, err := w.Add(p.file)
	if err != nil || w.Files[i].Blob.IsZero() {
		return none, err
	}
	v, err := w.h.parsed(p.file, w.Files[i].Blob)
	if err != nil {
		return none, err
	}
	group := v.group([]manifest.Node{{Pointer: p.pointer, Part: p.part, Variable: variableOf(p)}})
	if group == nil {
		return none, nil
	}
	k := slices.IndexFunc(w.groups, func(g *pursued) bool { return g.tip[0].Group == group[0].Group })
	if k < 0 {
		k = len(w.groups)
		w.groups = append(w.groups, &pursued{tip: group, group: group, file: i})
	}
	return [2]int{k, slices.IndexFunc(group, func(n manifest.Node) bool { return n.Pointer == p.pointer })}, nil
}

// variableOf is the name of the variable at a place; empty for most.
func variableOf(p place) string {
	if p.part != manifest.PartVariable {
		return ""
	}
	return manifest.NameAt(p.pointer)
}

// back goes to the first parent, and reports whether a group's file is another one there. It gives a nil commit before
// the root.
func (w *watching) back(ctx context.Context) (*store.Commit, bool, error) {
	newer := w.At
	c, _, err := w.Follower.Back(ctx)
	if err != nil || c == nil {
		return nil, false, err
	}
	changed := false
	for _, g := range w.groups {
		what, err := g.older(ctx, w.walk, newer, nil)
		if err != nil {
			return nil, false, err
		}
		changed = changed || what != seenSame
	}
	return c, changed, nil
}

// values are the nodes by place in the version that the walk is at, in the shape that they have on the branch; nil for
// one that is not there or cannot be read.
func (w *watching) values() []*manifest.Node {
	out := make([]*manifest.Node, len(w.places))
	for i, g := range w.groups {
		if g.blind {
			continue
		}
		var mine []int
		var as []manifest.Node
		same := true
		for k, in := range w.in {
			if in[0] == i {
				mine, as = append(mine, k), append(as, manifest.Node{Part: w.places[k].part})
				same = same && g.tip[in[1]].Part == w.places[k].part
			}
		}
		switch {
		case same:
			values := g.values()
			for _, k := range mine {
				out[k] = values[w.in[k][1]]
			}
		case !g.gone:
			for n, v := range manifest.Express(g.group, as) {
				out[mine[n]] = v
			}
		}
	}
	return out
}

// image names what the nodes make together with their neighbours: what those do not say comes from base. It is empty
// when they make different images, or none.
func (w *watching) image(base string) string {
	image := ""
	for i, g := range w.groups {
		k := slices.IndexFunc(w.in, func(in [2]int) bool { return in[0] == i })
		if g.gone || g.blind || k < 0 {
			continue
		}
		group := slices.Clone(g.group)
		for n := range group {
			group[n] = w.spelled[k].text(group[n])
		}
		made, ok := manifest.Reference(group, base)
		if g.group[0].Variable != "" {
			made, ok = manifest.Replaced(base, g.tip[0].Value, g.group[0].Value)
		}
		if now, _ := manifest.Reference(g.tip, base); strings.Contains(made, "${") {
			if made, ok = manifest.Expand(made, nil), true; manifest.Expand(now, nil) != base || strings.Contains(made, "$") {
				made, ok = manifest.Carried(base, g.tip, g.group)
			}
		}
		if !ok || image != "" && image != made {
			return ""
		}
		image = made
	}
	return image
}

// isTarget reports whether the values are the target's.
func isTarget(s v1alpha1.Suspect, t v1alpha1.Target, values map[int32]string) bool {
	for _, v := range t.Values {
		now, there := values[v.Index]
		if int(v.Index) < len(s.Places) && (there == v.Remove || there && now != v.Value) {
			return false
		}
	}
	return len(t.Values) > 0
}
