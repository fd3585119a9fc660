package gitrepo

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// formerWithin is how many commits before the suspect are searched for further values once there is one.
const formerWithin = 500

// former lists what the suspect's nodes held before the commits that brought their values, newest first, at most max.
// Nodes that other commits brought go with each of them: to the same image where they once had it, else to what they
// held right before.
func (h *history) former(ctx context.Context, s v1alpha1.Suspect, max int) ([]reconcile.Former, error) {
	var out []reconcile.Former
	for _, commit := range commitsOf(s) {
		more, err := h.formerOf(ctx, s, commit, max)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = more
			continue
		}
		for i := range out {
			out[i] = with(out[i], more)
		}
	}
	if out == nil {
		return h.withoutAdded(ctx, s)
	}
	return out, nil
}

// commitsOf lists the commits that brought the values of a suspect's nodes, the suspect first.
func commitsOf(s v1alpha1.Suspect) []string {
	out := []string{s.Commit}
	for _, n := range s.Nodes {
		add(&out, broughtBy(s, n))
	}
	return out
}

// broughtBy is the commit that brought the value of a node.
func broughtBy(s v1alpha1.Suspect, n v1alpha1.Node) string {
	if n.Origin != nil && n.Origin.Commit != "" {
		return n.Origin.Commit
	}
	return s.Commit
}

// with adds to a former state the values of nodes that another commit brought.
func with(f reconcile.Former, more []reconcile.Former) reconcile.Former {
	if len(more) == 0 {
		return f
	}
	i := max(0, slices.IndexFunc(more, func(m reconcile.Former) bool { return m.Image == f.Image }))
	f.Values = slices.SortedFunc(slices.Values(slices.Concat(f.Values, more[i].Values)),
		func(a, b v1alpha1.NodeValue) int { return int(a.Index - b.Index) })
	if more[i].Image != f.Image {
		f.Image = ""
	}
	return f
}

// formerOf lists what the nodes held whose values one commit brought.
func (h *history) formerOf(ctx context.Context, s v1alpha1.Suspect, commit string,
	max int) ([]reconcile.Former, error) {
	w, err := h.watch(ctx, plumbing.NewHash(commit), placesOf(s, commit))
	if errors.Is(err, errTooFar) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []reconcile.Former
	held := map[int]string{}
	for steps := 0; len(out) < max && (len(out) == 0 || steps < formerWithin); steps++ {
		c, changed, err := w.back(ctx)
		if errors.Is(err, errTooFar) || err == nil && c == nil {
			break
		}
		if err != nil {
			return nil, err
		}
		if !changed && steps > 0 {
			continue
		}
		f := w.former(s, held)
		known := slices.ContainsFunc(out, func(o reconcile.Former) bool { return slices.Equal(o.Values, f.Values) })
		if len(f.Values) > 0 && !known {
			out = append(out, f)
		}
	}
	return out, nil
}

// former is what the nodes hold in the version that the walk is at, and what they held after it where that is nothing
// or bad. held remembers it for the next older version. It is without values where all that they hold is bad.
func (w *watching) former(s v1alpha1.Suspect, held map[int]string) reconcile.Former {
	f := reconcile.Former{Commit: w.at.hash.String()}
	fresh := false
	values := w.values()
	for k, v := range values {
		i := w.places[k].node
		if v != nil && v.Value != s.Nodes[i].Bad {
			held[i], fresh = v.Value, true
		}
		if v == nil && w.lacked(k, values) {
			f.Values, fresh = append(f.Values, v1alpha1.NodeValue{Index: int32(i), Remove: true}), true
		} else if value, ok := held[i]; ok {
			f.Values = append(f.Values, v1alpha1.NodeValue{Index: int32(i), Value: value})
		}
	}
	if !fresh {
		f.Values = nil
		return f
	}
	f.Image = w.image(s.Image)
	return f
}

// lacked says whether a version had a reference without one of the parts that it has today, a digest or a registry:
// left there beside an earlier tag, it would make an image that never was. One that came alone goes alone.
func (w *watching) lacked(k int, values []*manifest.Node) bool {
	in, part := w.in[k], w.places[k].part
	if in[0] < 0 || part != manifest.PartDigest && part != manifest.PartRegistry {
		return false
	}
	g := w.groups[in[0]]
	if g.gone || g.blind {
		return false
	}
	for other, at := range w.in {
		if at[0] == in[0] && values[other] != nil {
			return true
		}
	}
	_, whole := manifest.Reference(g.group, "")
	return whole
}

// place is where a version has a node of a suspect.
type place struct {
	// node is the index among the suspect's nodes.
	node          int
	file, pointer string
	// part of the reference that the node holds on the branch, which may have another shape than this version.
	part manifest.Part
}

// placesOf says where a commit wrote the nodes of a suspect that it brought.
func placesOf(s v1alpha1.Suspect, commit string) []place {
	var out []place
	for i, n := range s.Nodes {
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

// placesNow says where the nodes of a suspect are on the branch.
func placesNow(s v1alpha1.Suspect) []place {
	out := make([]place, len(s.Nodes))
	for i, n := range s.Nodes {
		out[i] = place{node: i, file: n.File, pointer: n.Pointer, part: manifest.Part(n.Part)}
	}
	return out
}

// watching follows the nodes of a suspect through the versions of their files.
type watching struct {
	*follower
	places []place
	groups []*pursued
	// in is by place the group that it is in and its index there; a node that is not in the first version has none.
	in [][2]int
}

// watch starts to follow places at a commit.
func (h *history) watch(ctx context.Context, from plumbing.Hash, places []place) (*watching, error) {
	var paths []string
	for _, p := range places {
		add(&paths, p.file)
	}
	f, err := h.follow(ctx, from, paths)
	if err != nil {
		return nil, err
	}
	w := &watching{follower: f, places: places}
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
	i, err := w.add(p.file)
	if err != nil || w.files[i].blob.IsZero() {
		return none, err
	}
	v, err := w.h.parsed(p.file, w.files[i].blob)
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

// back goes to the first parent, and says whether a group's file is another one there. It gives a nil commit before the
// root.
func (w *watching) back(ctx context.Context) (*commit, bool, error) {
	newer := w.at
	c, _, err := w.follower.back(ctx)
	if err != nil || c == nil {
		return nil, false, err
	}
	changed := false
	for _, g := range w.groups {
		what, err := g.older(ctx, w.follower, newer, nil)
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
		if g.gone || g.blind || !slices.ContainsFunc(w.in, func(in [2]int) bool { return in[0] == i }) {
			continue
		}
		made, ok := manifest.Reference(g.group, base)
		if g.group[0].Variable != "" {
			made, ok = manifest.Replaced(base, g.tip[0].Value, g.group[0].Value)
		}
		if strings.Contains(made, "${") {
			made, ok = manifest.Carried(base, g.tip, g.group)
		}
		if !ok || image != "" && image != made {
			return ""
		}
		image = made
	}
	return image
}
