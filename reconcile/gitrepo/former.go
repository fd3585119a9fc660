package gitrepo

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
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
			out[i] = joined(out[i], more)
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
	for _, n := range s.Places {
		add(&out, broughtBy(s, n))
	}
	return out
}

// joined adds to a former state the values of nodes that another commit brought.
func joined(f reconcile.Former, more []reconcile.Former) reconcile.Former {
	if len(more) == 0 {
		return f
	}
	i := max(0, slices.IndexFunc(more, func(m reconcile.Former) bool { return m.Image == f.Image }))
	f.Values = slices.SortedFunc(slices.Values(slices.Concat(f.Values, more[i].Values)),
		func(a, b v1alpha1.PlaceValue) int { return int(a.Index - b.Index) })
	if more[i].Image != f.Image {
		f.Image = ""
	}
	return f
}

// formerOf lists what the nodes held whose values one commit brought.
func (h *history) formerOf(ctx context.Context, s v1alpha1.Suspect, commit string,
	max int) ([]reconcile.Former, error) {
	w, err := h.watch(ctx, plumbing.NewHash(commit), placesOf(s, commit))
	if errors.Is(err, store.ErrTooFar) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []reconcile.Former
	held := map[int]string{}
	for steps := 0; len(out) < max && (len(out) == 0 || steps < formerWithin); steps++ {
		c, changed, err := w.back(ctx)
		if errors.Is(err, store.ErrTooFar) || err == nil && c == nil {
			break
		}
		if err != nil {
			return nil, err
		}
		if !changed && steps > 0 {
			continue
		}
		if steps == 0 {
			if err := w.spell(ctx, s); err != nil {
				return nil, err
			}
			if f, ok := w.overlaid(s); ok {
				return []reconcile.Former{f}, nil
			}
		}
		f := w.former(s, held)
		if len(f.Values) > 0 && !w.makes(f) {
			if len(out) > 0 {
				continue
			}
			return nil, reconcile.Refuse("%s cannot be written where %s stands: what says the version has other keys now",
				oneLine(f.Image, imageRunes), oneLine(s.Image, imageRunes))
		}
		known := slices.ContainsFunc(out, func(o reconcile.Former) bool { return slices.Equal(o.Values, f.Values) })
		if len(f.Values) > 0 && !known {
			out = append(out, f)
		}
	}
	return out, nil
}

// overlaid is what was laid over places until a commit took it away, or what they were made of until one wrote it there
// in plain text, as the suspect has it. It says false where each place held itself what the suspect says of it.
func (w *watching) overlaid(s v1alpha1.Suspect) (reconcile.Former, bool) {
	f := reconcile.Former{Commit: w.At.Hash.String()}
	for k, v := range w.values() {
		n, in := s.Places[w.places[k].node], w.in[k]
		there := v != nil && (n.Former == v.Value || in[0] < 0 || n.Part != string(manifest.PartImage) ||
			w.groups[in[0]].tip[in[1]].Part != manifest.PartImage)
		spelled := v != nil && w.spelled[k] != nil && !strings.Contains(w.spelled[k].text(*v).Value, "${")
		if there || spelled || n.Added || v == nil && in[0] >= 0 {
			return f, false
		}
		f.Values = append(f.Values, v1alpha1.PlaceValue{Index: int32(w.places[k].node), Value: n.Former})
		image := imageBefore(s.Image, n)
		if k > 0 && image != f.Image {
			return f, false
		}
		f.Image = image
	}
	return f, len(f.Values) > 0
}

// imageBefore is an image with what a place held before; empty where variables are in the way.
func imageBefore(image string, n v1alpha1.Place) string {
	node := func(value string) []manifest.Node {
		return []manifest.Node{{Part: manifest.Part(n.Part), Value: value}}
	}
	if strings.Contains(n.Former, "$") {
		image, _ = manifest.Carried(image, node(n.Bad), node(n.Former))
		return image
	}
	image, _ = manifest.Reference(node(n.Former), image)
	return image
}

// former is what the nodes hold in the version that the walk is at. Where a node holds nothing there, or the bad value,
// former has what it held in the version after. held remembers that for the next older version. Where every node holds
// the bad value, former has no values.
func (w *watching) former(s v1alpha1.Suspect, held map[int]string) reconcile.Former {
	f := reconcile.Former{Commit: w.At.Hash.String()}
	fresh := false
	values := w.values()
	for k, v := range values {
		i := w.places[k].node
		if v != nil && v.Value != s.Places[i].Bad {
			held[i], fresh = w.spelled[k].text(*v).Value, true
		}
		if v == nil && w.lacked(k, values) {
			f.Values, fresh = append(f.Values, v1alpha1.PlaceValue{Index: int32(i), Value: w.instead(k), Remove: true}), true
		} else if value, ok := held[i]; ok {
			f.Values = append(f.Values, v1alpha1.PlaceValue{Index: int32(i), Value: value})
		}
	}
	if !fresh {
		f.Values = nil
		return f
	}
	f.Image = w.image(s.Image)
	return f
}

// instead is what a version held under another key in the place of a node that came since; empty for most.
func (w *watching) instead(k int) string {
	g := w.groups[w.in[k][0]]
	return manifest.Instead(g.tip, g.tip[w.in[k][1]], g.group)
}

// makes reports whether former values make the reference that the version has which the walk is at. Where a key came or
// went, the keys of today may not be able to say it.
func (w *watching) makes(f reconcile.Former) bool {
	for i, g := range w.groups {
		was, whole := manifest.Reference(g.told(), "")
		if g.gone || g.blind || !whole || !isImage(g.tip[0]) || strings.Contains(was, "$") {
			continue
		}
		now := slices.Clone(g.tip)
		var gone []int
		for k, in := range w.in {
			v := slices.IndexFunc(f.Values, func(v v1alpha1.PlaceValue) bool { return int(v.Index) == w.places[k].node })
			if in[0] != i || v < 0 {
				continue
			}
			if now[in[1]].Part != w.places[k].part {
				// It was written in another shape since.
				return true
			}
			value := f.Values[v]
			now[in[1]] = now[in[1]].With(value.Value, value.Remove)
			if value.Remove && value.Value == "" {
				gone = append(gone, in[1])
			}
		}
		for _, n := range slices.Backward(slices.Sorted(slices.Values(gone))) {
			now = slices.Delete(now, n, n+1)
		}
		if !manifest.SameImage(now, was) {
			return false
		}
	}
	return true
}

// lacked reports whether a version had a reference without one of the parts that it has today, a digest or a registry:
// left there beside an earlier tag, it would make an image that never was. One that came alone goes alone.
func (w *watching) lacked(k int, values []*manifest.Node) bool {
	in, part := w.in[k], w.places[k].part
	if in[0] < 0 || part != manifest.PartDigest && part != manifest.PartRegistry && w.instead(k) == "" {
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

// Former lists what the suspect's nodes held before, newest first, at most max.
func (g *Mirrors) Former(ctx context.Context, src reconcile.Source, s v1alpha1.Suspect,
	max int) ([]reconcile.Former, error) {
	var out []reconcile.Former
	err := g.knowing(ctx, src, s.Commit, func(h *history) (err error) {
		out, err = h.former(ctx, s, max)
		return err
	})
	return out, err
}
