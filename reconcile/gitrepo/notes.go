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
		return h.walkNotes(ctx, span{suspect: suspect, until: when, max: maxTrailerCommits})
	}
	return h.walkNotes(ctx, span{suspect: suspect, beyond: true, until: since, max: maxTrailerCommits})
}

// span is how far back a walk goes.
type span struct {
	// suspect is the commit at which it stops, since what reverts it comes after it; beyond goes on behind it. Either way
	// it is looked for on the first parents, whatever the commits before it say of their own time.
	suspect string
	beyond  bool
	// until is a time, and max how many commits.
	until time.Time
	max   int
}

// notesWithin reads Backstop's own commits back to a time, from at most max commits; newest first.
func (h *history) notesWithin(ctx context.Context, since time.Time, max int) ([]note, error) {
	return h.walkNotes(ctx, span{until: since, max: max})
}

// walkNotes walks all parents: after somebody's `git pull` and push, Backstop's commits are on the second parent of a
// merge.
func (h *history) walkNotes(ctx context.Context, s span) ([]note, error) {
	key := fmt.Sprintln(h.Tip, s.suspect, s.beyond, s.until.UnixNano(), s.max)
	if known, ok := h.walks[key]; ok {
		return known, nil
	}
	start, err := h.At(ctx, h.Tip)
	if err != nil {
		return nil, err
	}
	var out []note
	n, seeks := 0, s.suspect != ""
	for c, err := range h.Behind(ctx, start) {
		if err != nil {
			return nil, err
		}
		if n++; n > s.max {
			break
		}
		if t, own := h.remembered.trailerCommit(c.Commit); own {
			out = append(out, t)
		}
		if c.Old++; !c.When.Before(s.until) {
			// Those before it that say that they are older are not.
			c.Old = 0
		}
		found := seeks && c.Hash.String() == s.suspect
		seeks = seeks && !found
		if c.Old > maxOldLine || c.Old > maxOld && !(c.Line && seeks) || found && !s.beyond {
			c.Leave()
		}
	}
	if len(h.walks) >= maxWalks {
		clear(h.walks)
	}
	h.walks[key] = out
	return out, nil
}
