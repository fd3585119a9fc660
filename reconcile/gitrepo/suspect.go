package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// lately is how many commits behind the tip an image is looked for that Git no longer says.
const lately = 5

// blame finds the suspect of a query at the tip, else a few commits ago or at the commit that is applied: pods may
// still run what a revert, image automation or a person's fix has taken off the branch.
func (h *history) blame(ctx context.Context, q reconcile.Query) (v1alpha1.Suspect, error) {
	s, gone := h.blameTip(ctx, q)
	if _, refused := reconcile.AsRefusal(gone); !refused {
		return s, gone
	}
	if q.ByPerson {
		if errors.Is(gone, errUnread) {
			return s, gone
		}
		if s, found, err := h.takenBack(ctx, q); found || err != nil {
			return s, err
		}
		return s, gone
	}
	defer func(tip plumbing.Hash) { h.tip = tip }(h.tip)
	earlier := h.earlier(ctx)
	applied := plumbing.NewHash(q.Applied)
	if !applied.IsZero() && applied != h.tip && !slices.Contains(earlier, applied) {
		if on, err := h.contains(ctx, h.tip, applied); err == nil && on {
			earlier = append(earlier, applied)
		}
	}
	for _, h.tip = range earlier {
		if s, err := h.blameTip(ctx, q); err == nil {
			return s, nil
		}
	}
	return s, gone
}

// earlier are the commits before the tip, newest first, as many as lately and as the mirror has.
func (h *history) earlier(ctx context.Context) []plumbing.Hash {
	var out []plumbing.Hash
	c, err := h.at(ctx, h.tip)
	for err == nil && len(out) < lately && !c.parent().IsZero() {
		out = append(out, c.parent())
		c, err = h.at(ctx, c.parent())
	}
	return out
}

func (h *history) blameTip(ctx context.Context, q reconcile.Query) (v1alpha1.Suspect, error) {
	at, err := h.locate(ctx, q)
	if err != nil {
		return v1alpha1.Suspect{}, err
	}
	origins, err := h.trace(ctx, at.commit, at.images)
	if err != nil {
		return v1alpha1.Suspect{}, err
	}
	if len(origins) == 0 {
		return v1alpha1.Suspect{}, reconcile.Refuse("the commit that brought %s in was not found: %s",
			oneLine(q.Image, 300), h.end)
	}
	newest := suspectOf(origins)
	s := v1alpha1.Suspect{Image: q.Image, Commit: newest.hash.String(), When: v1alpha1.NewTime(newest.when)}
	if p := newest.parent(); !p.IsZero() {
		s.Parent = p.String()
	}
	s.Subject, s.Author = subjectOf(newest), oneLine(newest.author, 250)
	if s.Merged, err = h.mergedBy(ctx, newest, origins); err != nil {
		return v1alpha1.Suspect{}, err
	}
	s.Nodes = nodesOf(origins, newest)
	s.Automation, s.ByHand = automationOf(origins, q.Policies)
	if err := h.describe(ctx, newest, &s); err != nil {
		return v1alpha1.Suspect{}, err
	}
	var files []string
	for _, n := range s.Nodes {
		files = append(files, n.File)
	}
	s.SharedBy, err = h.sharedBy(at.commit.tree, q, files)
	if n := len(s.SharedBy); n > v1alpha1.MaxSharers {
		return v1alpha1.Suspect{}, reconcile.Refuse(
			"the files of %s are rendered by %d other Flux objects: too many to record", oneLine(q.Image, 200), n)
	}
	return s, err
}

// suspectOf is the newest commit that can be undone: with it the image became what it is everywhere. Where each of them
// only added the image, as a copied folder does, it is the newest of all.
func suspectOf(origins []origin) *commit {
	undoable := slices.DeleteFunc(slices.Clone(origins), func(o origin) bool {
		return !slices.ContainsFunc(o.was, func(n *manifest.Node) bool { return n != nil })
	})
	if len(undoable) > 0 {
		origins = undoable
	}
	return slices.MinFunc(origins, func(a, b origin) int { return a.ago - b.ago }).in
}

// nodesOf lists what the origins changed. A part of a reference that was the same before, such as the repository beside
// a new tag, is nothing to take back.
func nodesOf(origins []origin, suspect *commit) []v1alpha1.Node {
	var out []v1alpha1.Node
	for _, o := range origins {
		for i, n := range o.nodes {
			was := o.was[i]
			if was != nil && was.Value == n.Value {
				continue
			}
			node := v1alpha1.Node{File: n.File, Pointer: n.Pointer, Part: string(n.Part), Bad: n.Value, Marker: n.Policy}
			if was == nil {
				node.Added = true
			} else {
				node.Former = was.Value
			}
			node.Origin = originOf(o, i, suspect)
			// What two references share, such as a variable, goes back once.
			if !slices.ContainsFunc(out, func(m v1alpha1.Node) bool { return m.File == n.File && m.Pointer == n.Pointer }) {
				out = append(out, node)
			}
		}
	}
	return out
}

// originOf says what commit brought a node and where that wrote it; nil where it is the suspect and the node's own
// place.
func originOf(o origin, node int, suspect *commit) *v1alpha1.NodeOrigin {
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
	out := v1alpha1.NodeOrigin{}
	if o.in.hash != suspect.hash {
		out.Commit = o.in.hash.String()
	}
	if at.File != n.File || at.Pointer != n.Pointer {
		out.File, out.Pointer = at.File, at.Pointer
	}
	if out == (v1alpha1.NodeOrigin{}) {
		return nil
	}
	return &out
}

// automationOf says whose automation wrote all of the nodes, else why that is not proved. A node is image automation's
// if it was marked before the commit, not held, and the new value is what that policy selects now or selected right
// before. Selections that are longer ago left no trace that could be trusted.
func automationOf(origins []origin, policies []reconcile.ImagePolicy) (who *v1alpha1.ObjectRef, byHand string) {
	for _, o := range origins {
		for i, n := range o.nodes {
			was := o.was[i]
			if was != nil && (was.Value == n.Value || follows(origins, *was, n)) {
				continue
			}
			by, why := writerOf(was, n, policies)
			if by == nil {
				return nil, oneLine(n.File, 200) + ": " + why
			}
			if who == nil {
				who = by
			}
		}
	}
	return who, ""
}

// writerOf is the automation that wrote a node's value, else why that is not proved.
func writerOf(was *manifest.Node, n manifest.Node, policies []reconcile.ImagePolicy) (*v1alpha1.ObjectRef, string) {
	k := slices.IndexFunc(policies, func(p reconcile.ImagePolicy) bool { return p.Name == n.Policy })
	name := oneLine(n.Policy, 200)
	switch {
	case n.Policy != "" && k < 0:
		return nil, fmt.Sprintf("the marker names %s, which is no ImagePolicy that is written to this repository", name)
	case was == nil:
		return nil, "the commit added the value"
	case was.Policy == "" || n.Policy == "":
		return nil, "the value had no marker"
	case was.Policy != n.Policy:
		return nil, fmt.Sprintf("the commit changed the marker from %s to %s", oneLine(was.Policy, 200), name)
	case was.Held != nil:
		return nil, "the marker was held"
	case policies[k].Automation == nil:
		return nil, fmt.Sprintf("no ImageUpdateAutomation here writes what ImagePolicy %s selects", name)
	case !writes(policies[k].Latest, was.Suffix, n.Value) && !writes(policies[k].Previous, was.Suffix, n.Value):
		return nil, fmt.Sprintf("the value is neither what ImagePolicy %s selects nor what it selected before", name)
	}
	ref := *policies[k].Automation
	return &ref, ""
}

// follows says whether an alias changed only because the scalar that it stands for did, which is marked: whose change
// that is, is asked there.
func follows(origins []origin, was, n manifest.Node) bool {
	if n.Anchor == "" || was.Anchor != n.Anchor || was.Policy+n.Policy != "" {
		return false
	}
	return slices.ContainsFunc(origins, func(o origin) bool {
		return slices.ContainsFunc(o.nodes, func(m manifest.Node) bool {
			return m.File == n.File && m.Anchor == n.Anchor && m.Policy != ""
		})
	})
}

// writes says whether image automation writes a value for an selection, at a marker with a suffix.
func writes(selected, suffix, value string) bool {
	if selected == "" {
		return false
	}
	repository, tag, digest := manifest.Split(selected)
	switch suffix {
	case "":
		return value == selected
	case "tag":
		return value == tag
	case "name":
		return value == repository
	case "digest":
		return value == digest
	}
	return false
}

const (
	// maxFiles is how many files of a commit are compared to say what else it did.
	maxFiles = 1000
	// maxOthers is how many other images a Suspect names.
	maxOthers = 8
)

// describe says what else the suspect commit did.
func (h *history) describe(ctx context.Context, c *commit, s *v1alpha1.Suspect) error {
	d, known := h.described[c.hash]
	if !known {
		var err error
		if d, err = h.description(ctx, c); err != nil {
			return err
		}
		h.remember(c.hash, d)
	}
	s.OnlyImages = d.onlyImages
	mine := map[[2]string]bool{}
	for _, p := range placesOf(*s, s.Commit) {
		mine[[2]string{p.file, p.pointer}] = true
	}
	for _, w := range d.wrote {
		if len(s.OtherImages) == maxOthers {
			break
		}
		if !mine[[2]string{w.file, w.pointer}] && w.image != s.Image && !slices.Contains(s.OtherImages, w.image) {
			s.OtherImages = append(s.OtherImages, w.image)
		}
	}
	return nil
}

// description compares a commit with its first parent.
func (h *history) description(ctx context.Context, c *commit) (description, error) {
	var before commit
	if p, err := h.before(ctx, c); err != nil {
		return description{}, err
	} else if p != nil {
		before = *p
	}
	changes, err := h.diff(before.tree, c.tree, maxFiles)
	if err != nil && !errors.Is(err, errManyChanges) {
		return description{}, err
	}
	out := description{onlyImages: err == nil}
	for _, ch := range changes {
		if err := ctx.Err(); err != nil {
			return description{}, err
		}
		deltas, only, err := h.changed(ch)
		if err != nil {
			return description{}, err
		}
		out.onlyImages = out.onlyImages && only
		for _, d := range deltas {
			if d.After != nil {
				out.wrote = append(out.wrote, wrote{ch.path, d.Pointer, h.imageAt(ch, d)})
			}
		}
	}
	return out, nil
}

// changed says which images a change of a file is about, and whether it is about nothing else.
func (h *history) changed(ch change) ([]manifest.Delta, bool, error) {
	if ch.before.mode != ch.after.mode || !ch.after.regular() || !isYAML(ch.path) {
		return nil, false, nil
	}
	was, ok, err := h.content(ch.before.hash)
	if err != nil || !ok {
		return nil, false, err
	}
	is, ok, err := h.content(ch.after.hash)
	if err != nil || !ok {
		return nil, false, err
	}
	if deltas, only, err := manifest.Changed(was, is); err == nil {
		return deltas, only, nil
	}
	// It cannot be told: that is more than images.
	return nil, false, nil
}

// imageAt names the image that a node makes together with its neighbours.
func (h *history) imageAt(ch change, d manifest.Delta) string {
	p, err := h.parsed(ch.path, ch.after.hash)
	if n := p.node(d.Pointer); err == nil && n != nil {
		var beside []manifest.Node
		for _, o := range p.nodes {
			if o.Group == n.Group {
				beside = append(beside, o)
			}
		}
		if image, ok := manifest.Reference(beside, ""); ok {
			return oneLine(image, 300)
		}
	}
	return oneLine(d.After.Value, 300)
}
