package gitrepo

import (
	"context"
	"errors"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// sinceWithin is how many commits are walked for the one from which on files are what they are.
const sinceWithin = 100_000

// lookFiles describes the tip as seen from a suspect whose files go back.
func (h *history) lookFiles(ctx context.Context, s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time,
) (reconcile.Branch, error) {
	b := reconcile.Branch{Tip: h.Tip.String(), Held: map[int32]reconcile.Hold{}}
	tip, err := h.At(ctx, h.Tip)
	if err != nil {
		return b, err
	}
	if b.Values, err = h.filesAt(tip, s); err != nil {
		return b, err
	}
	if b.Commits, err = h.trailerCommits(ctx, s, since); err != nil {
		return b, err
	}
	if t != nil && isTarget(s, *t, b.Values) {
		b.HoldsTarget, err = h.filesSince(ctx, tip, s, *t)
	}
	return b, err
}

// filesSince is the oldest commit after the suspect from which on the branch holds the target without a break.
func (h *history) filesSince(ctx context.Context, tip *store.Commit, s v1alpha1.Suspect, t v1alpha1.Target,
) (string, error) {
	since := tip
	for range sinceWithin {
		c, err := h.Before(ctx, since)
		if errors.Is(err, store.ErrTooFar) || err == nil && (c == nil || c.Hash.String() == s.Commit) {
			break
		}
		if err != nil {
			return "", err
		}
		values, err := h.filesAt(c, s)
		if err != nil {
			return "", err
		}
		if !isTarget(s, t, values) {
			break
		}
		since = c
	}
	return since.Hash.String(), nil
}
