package gitrepo

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

const (
	// maxFiles is how many files of a commit are compared to say what else it did.
	maxFiles = 1000
	// maxOthers is how many other images a Suspect names.
	maxOthers = 8
)

// describe describes what else the suspect commit did.
func (h *history) describe(ctx context.Context, c *store.Commit, s *v1alpha1.Suspect) error {
	d, known := h.described[c.Hash]
	if !known {
		var err error
		if d, err = h.description(ctx, c); err != nil {
			return err
		}
		h.remember(c.Hash, d)
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
func (h *history) description(ctx context.Context, c *store.Commit) (description, error) {
	var before store.Commit
	if p, err := h.Before(ctx, c); err != nil {
		return description{}, err
	} else if p != nil {
		before = *p
	}
	changes, err := h.Diff(before.Tree, c.Tree, maxFiles)
	if err != nil && !errors.Is(err, store.ErrManyChanges) {
		return description{}, err
	}
	out := description{onlyImages: err == nil}
	for _, ch := range changes {
		if err := ctx.Err(); err != nil {
			return description{}, err
		}
		from := movedFrom(ch, changes)
		moved := from != ch.Before
		ch.Before = from
		deltas, only, err := h.changed(ch)
		if err != nil {
			return description{}, err
		}
		out.onlyImages = out.onlyImages && only && !moved
		for _, d := range deltas {
			if d.After == nil || d.Before == nil && moved {
				continue
			}
			if image := h.imageAt(ch, d); image != "" {
				out.wrote = append(out.wrote, wrote{ch.Path, d.Pointer, image})
			}
		}
	}
	return out, nil
}

// movedFrom is what a file was before a commit: itself, or where the commit brought it in the file of the same name
// that it removed, of several the one whose path ends most alike.
func movedFrom(ch store.Change, changes []store.Change) store.Entry {
	if !ch.Before.Hash.IsZero() || !isYAML(ch.Path) {
		return ch.Before
	}
	out, most := ch.Before, -1
	for _, c := range changes {
		gone := c.After.Hash.IsZero() && c.Before.Regular() && path.Base(c.Path) == path.Base(ch.Path)
		if n := common(ch.Path, c.Path); gone && n > most {
			out, most = c.Before, n
		}
	}
	return out
}

// changed reports which images a change of a file is about, and whether it is about nothing else.
func (h *history) changed(ch store.Change) ([]manifest.Delta, bool, error) {
	if ch.Before.Mode != ch.After.Mode || !ch.After.Regular() || !isYAML(ch.Path) {
		return nil, false, nil
	}
	was, ok, err := h.Content(ch.Before.Hash)
	if err != nil || !ok {
		return nil, false, err
	}
	is, ok, err := h.Content(ch.After.Hash)
	if err != nil || !ok {
		return nil, false, err
	}
	if deltas, only, err := manifest.Changed(was, is); err == nil {
		return deltas, only, nil
	}
	// It cannot be told: that is more than images.
	return nil, false, nil
}

// imageAt names the image that a node makes together with its neighbours; empty where it is no more than a part of one,
// whose other parts stand elsewhere, or the version of a chart.
func (h *history) imageAt(ch store.Change, d manifest.Delta) string {
	p, err := h.parsed(ch.Path, ch.After.Hash)
	if n := p.node(d.Pointer); err == nil && n != nil {
		var beside []manifest.Node
		for _, o := range p.nodes {
			if o.Group == n.Group {
				beside = append(beside, o)
			}
		}
		if image, ok := manifest.Reference(beside, ""); ok {
			return oneLine(image, imageRunes)
		}
	}
	if d.After.Part != manifest.PartImage {
		return ""
	}
	return oneLine(d.After.Value, imageRunes)
}
