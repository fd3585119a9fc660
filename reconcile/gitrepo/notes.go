package gitrepo

import (
	"context"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// trailerCommits are Backstop's own commits back to a suspect, or to a time, whichever is longer ago; newest first.
func (h *history) trailerCommits(ctx context.Context, s v1alpha1.Suspect, since time.Time) ([]reconcile.TrailerCommit,
	error) {
	notes, err := h.notes(ctx, s.Commit, s.When.Time, since)
	if err != nil {
		return nil, err
	}
	var out []reconcile.TrailerCommit
	for _, n := range notes {
		out = append(out, n.TrailerCommit)
	}
	return out, nil
}

const (
	// maxOld is how many commits behind the time that was asked for a walk goes on: a committer's clock may be wrong.
	maxOld = 10
	// maxOldLine is the same on the first parents where a commit is looked for: its own time may be wrong.
	maxOldLine = 500
	// maxTrailerCommits bounds the walk for trailer commits where the suspect is no longer on the branch.
	maxTrailerCommits = 20_000
)

// notes reads Backstop's own commits back to a suspect, or to a time, whichever is longer ago; newest first.
func (h *history) notes(ctx context.Context, suspect string, when, since time.Time) ([]note, error) {
	if since.IsZero() || !since.Before(when) {
		return h.walkNotes(ctx, suspect, when, maxTrailerCommits)
	}
	return h.walkNotes(ctx, "", since, maxTrailerCommits)
}

// notesWithin reads Backstop's own commits back to a time, from at most max commits; newest first.
func (h *history) notesWithin(ctx context.Context, since time.Time, max int) ([]note, error) {
	return h.walkNotes(ctx, "", since, max)
}

// walkNotes walks all parents: after somebody's `git pull` and push, Backstop's commits are on the second parent of a
// merge. It stops at a commit, where one is given, since what reverts it comes after it.
func (h *history) walkNotes(ctx context.Context, stop string, until time.Time, max int) ([]note, error) {
	key := fmt.Sprintln(h.Tip, stop, until.UnixNano(), max)
	if known, ok := h.walks[key]; ok {
		return known, nil
	}
	start, err := h.At(ctx, h.Tip)
	if err != nil {
		return nil, err
	}
	var out []note
	n := 0
	for c, err := range h.Behind(ctx, start) {
		if err != nil {
			return nil, err
		}
		if n++; n > max {
			break
		}
		if t, own := h.remembered.trailerCommit(c.Commit); own {
			out = append(out, t)
		}
		if c.When.Before(until) {
			c.Old++
		}
		line := c.Line && stop != ""
		if c.Old > maxOldLine || c.Old > maxOld && !line || c.Hash.String() == stop {
			c.Leave()
		}
	}
	if len(h.walks) >= maxWalks {
		clear(h.walks)
	}
	h.walks[key] = out
	return out, nil
}
