package gitrepo

import (
	"context"
	"errors"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// look describes the tip as seen from a suspect.
func (h *history) look(ctx context.Context, s v1alpha1.Suspect, t *v1alpha1.Target,
	since time.Time) (reconcile.Branch, error) {
	if s.ByFiles() {
		return h.lookFiles(ctx, s, t, since)
	}
	b := reconcile.Branch{Tip: h.tip.String(), Values: map[int32]string{}, Held: map[int32]reconcile.Hold{}}
	w, err := h.watch(ctx, h.tip, placesNow(s))
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
	if b.Trails, err = h.trails(ctx, s, since); err != nil {
		return b, err
	}
	if t != nil && holds(s, *t, b.Values) {
		b.HoldsTarget, err = h.holdsSince(ctx, w, s, *t)
	}
	return b, err
}

// trails are Backstop's own commits back to a suspect, or to a time, whichever is longer ago; newest first.
func (h *history) trails(ctx context.Context, s v1alpha1.Suspect, since time.Time) ([]reconcile.Trail, error) {
	notes, err := h.notes(ctx, s.Commit, s.When.Time, since)
	if err != nil {
		return nil, err
	}
	var out []reconcile.Trail
	for _, n := range notes {
		out = append(out, n.Trail)
	}
	return out, nil
}

// holds says whether the values are the target's.
func holds(s v1alpha1.Suspect, t v1alpha1.Target, values map[int32]string) bool {
	for _, v := range t.Values {
		now, there := values[v.Index]
		if int(v.Index) < len(s.Nodes) && (there == v.Remove || there && now != v.Value) {
			return false
		}
	}
	return len(t.Values) > 0
}

// holdsSince is the oldest commit after the suspect from which on the branch holds the target without a break.
func (h *history) holdsSince(ctx context.Context, w *watching, s v1alpha1.Suspect, t v1alpha1.Target) (string, error) {
	since := w.at
	for since.hash.String() != s.Commit {
		c, changed, err := w.back(ctx)
		if errors.Is(err, errTooFar) || err == nil && c == nil {
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
			if !holds(s, t, values) {
				break
			}
		}
		if c.hash.String() == s.Commit {
			break
		}
		since = c
	}
	return since.hash.String(), nil
}
