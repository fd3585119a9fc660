package gitrepo

import (
	"context"
	"errors"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// look describes the tip as seen from a suspect.
func (h *history) look(ctx context.Context, s v1alpha1.Suspect, t *v1alpha1.Target,
	since time.Time) (reconcile.Branch, error) {
	if s.ByFiles() {
		return h.lookFiles(ctx, s, t, since)
	}
	b := reconcile.Branch{Tip: h.Tip.String(), Values: map[int32]string{}, Held: map[int32]reconcile.Hold{}}
	w, err := h.watch(ctx, h.Tip, placesNow(s))
	if err != nil {
		return b, err
	}
	for i, n := range w.values() {
		if n == nil {
			continue
		}
		b.Values[int32(i)] = n.Value
		if n.Held != nil {
			b.Held[int32(i)] = holdOf(*n)
		}
	}
	if b.Commits, err = h.trailerCommits(ctx, s, since); err != nil {
		return b, err
	}
	if t != nil && isTarget(s, *t, b.Values) {
		b.HoldsTarget, err = h.holdsSince(ctx, w, s, *t)
	}
	return b, err
}

// holdsSince is the oldest commit after the suspect from which on the branch holds the target without a break.
func (h *history) holdsSince(ctx context.Context, w *watching, s v1alpha1.Suspect, t v1alpha1.Target) (string, error) {
	since := w.At
	for since.Hash.String() != s.Commit {
		c, changed, err := w.back(ctx)
		if errors.Is(err, store.ErrTooFar) || err == nil && c == nil {
			break
		}
		if err != nil {
			return "", err
		}
		if changed {
			values := map[int32]string{}
			for i, n := range w.values() {
				if n != nil {
					values[int32(i)] = n.Value
				}
			}
			if !isTarget(s, t, values) {
				break
			}
		}
		if c.Hash.String() == s.Commit {
			break
		}
		since = c
	}
	return since.Hash.String(), nil
}

// Look fetches and describes the tip as seen from the suspect; since reaches further back for Trails.
func (g *Mirrors) Look(ctx context.Context, src reconcile.Source, s v1alpha1.Suspect, t *v1alpha1.Target,
	since time.Time) (reconcile.Branch, error) {
	var b reconcile.Branch
	err := g.fetched(ctx, src, func(h *history) (err error) {
		b, err = h.look(ctx, s, t, since)
		return err
	})
	return b, err
}
