package gitrepo

import (
	"context"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

func (h *history) blameTip(ctx context.Context, q reconcile.Query) (v1alpha1.Suspect, error) {
	at, err := h.locate(ctx, q)
	if err != nil {
		return v1alpha1.Suspect{}, err
	}
	origins, err := h.trace(ctx, at.commit, at.images, q)
	if err != nil {
		return v1alpha1.Suspect{}, err
	}
	if len(origins) == 0 {
		return v1alpha1.Suspect{}, reconcile.Refuse("the commit that brought %s in was not found: %s",
			oneLine(q.Image, imageRunes), h.End)
	}
	for i := range origins {
		if origins[i], err = h.unlaid(ctx, origins[i], at.commit, q.Root); err != nil {
			return v1alpha1.Suspect{}, err
		}
	}
	newest := suspectOf(origins)
	s := v1alpha1.Suspect{Image: q.Image, Commit: newest.Hash.String(), When: v1alpha1.NewTime(newest.When)}
	if p := newest.Parent(); !p.IsZero() {
		s.Parent = p.String()
	}
	s.Subject, s.Author = subjectOf(newest), oneLine(newest.Author, authorRunes)
	if s.Merged, err = h.mergedBy(ctx, newest, origins, q); err != nil {
		return v1alpha1.Suspect{}, err
	}
	s.Places = nodesOf(origins, newest)
	s.Automation, s.ByHand = automationOf(origins, q.Policies)
	if err := h.describe(ctx, newest, &s); err != nil {
		return v1alpha1.Suspect{}, err
	}
	if s.Stays, err = h.stays(at, s); err != nil {
		return v1alpha1.Suspect{}, err
	}
	var files []string
	for _, n := range s.Places {
		files = append(files, n.File)
	}
	s.SharedBy, err = h.sharedBy(at.commit.Tree, q, files)
	if n := len(s.SharedBy); n > v1alpha1.MaxSharers {
		return v1alpha1.Suspect{}, reconcile.Refuse(
			"the files of %s are rendered by %d other Flux objects: too many to record", oneLine(q.Image, nameRunes), n)
	}
	return s, err
}

// nodesOf lists what the origins changed. A part of a reference that was the same before, such as the repository beside
// a new tag, is nothing to revert.
func nodesOf(origins []origin, suspect *store.Commit) []v1alpha1.Place {
	var out []v1alpha1.Place
	for _, o := range origins {
		for i, n := range o.nodes {
			was := o.was[i]
			if was != nil && (was.Value == n.Value || o.carries(i)) {
				continue
			}
			node := v1alpha1.Place{File: n.File, Pointer: n.Pointer, Part: string(n.Part), Bad: n.Value, Marker: n.Policy}
			if was == nil {
				node.Added = true
			} else {
				node.Former = was.Value
			}
			node.Origin = originOf(o, i, suspect)
			// What two references share, such as a variable, goes back once.
			if !slices.ContainsFunc(out, func(m v1alpha1.Place) bool { return m.File == n.File && m.Pointer == n.Pointer }) {
				out = append(out, node)
			}
		}
	}
	return out
}

// carries reports whether the text of a node says what it said before once its variables have their former values:
// these were renamed since, or took the place of text.
func (o origin) carries(i int) bool {
	if !strings.Contains(o.nodes[i].Value, "${") {
		return false
	}
	var now, then []manifest.Node
	for k, n := range o.nodes {
		if n.Variable == "" || o.was[k] == nil {
			continue
		}
		then = append(then, *o.was[k])
		n.Value = o.was[k].Value
		now = append(now, n)
	}
	text := manifest.Expand(o.nodes[i].Value, now)
	return !strings.Contains(text, "${") && text == manifest.Expand(o.was[i].Value, manifest.UnderNames(then))
}

// originOf says what commit brought a node and where that wrote it; nil where it is the suspect and the node's own
// place.
func originOf(o origin, node int, suspect *store.Commit) *v1alpha1.PlaceOrigin {
	n := o.nodes[node]
	at := n
	if isImage(n) {
		at = o.at[0][0]
	}
	all := slices.Concat(o.at...)
	i := slices.IndexFunc(all, func(a manifest.Node) bool { return a.File == n.File && a.Pointer == n.Pointer })
	if i < 0 {
		i = slices.IndexFunc(all, func(a manifest.Node) bool { return a.Part == n.Part && a.Variable == n.Variable })
	}
	if i >= 0 {
		at = all[i]
	}
	out := v1alpha1.PlaceOrigin{}
	if o.in.Hash != suspect.Hash {
		out.Commit = o.in.Hash.String()
	}
	if at.File != n.File || at.Pointer != n.Pointer {
		out.File, out.Pointer = at.File, at.Pointer
	}
	if out == (v1alpha1.PlaceOrigin{}) {
		return nil
	}
	return &out
}
