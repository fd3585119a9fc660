package gitrepo

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	// maxOld is how many commits behind the time that was asked for a walk goes on: a committer's clock may be wrong.
	maxOld = 10
	// maxOldLine is the same on the first parents where a commit is looked for: its own time may be wrong.
	maxOldLine = 500
	// maxTrailCommits bounds the walk for trails where the suspect is no longer on the branch.
	maxTrailCommits = 20_000
)

// notes reads Backstop's own commits back to a suspect, or to a time, whichever is longer ago; newest first.
func (h *history) notes(ctx context.Context, suspect string, when, since time.Time) ([]note, error) {
	if since.IsZero() || !since.Before(when) {
		return h.walkNotes(ctx, suspect, when, maxTrailCommits)
	}
	return h.walkNotes(ctx, "", since, maxTrailCommits)
}

// notesWithin reads Backstop's own commits back to a time, from at most max commits; newest first.
func (h *history) notesWithin(ctx context.Context, since time.Time, max int) ([]note, error) {
	return h.walkNotes(ctx, "", since, max)
}

// walkNotes walks all parents: after somebody's `git pull` and push, Backstop's commits are on the second parent of a
// merge. It stops at a commit, where one is given, since what reverts it comes after it.
func (h *history) walkNotes(ctx context.Context, stop string, until time.Time, max int) ([]note, error) {
	key := fmt.Sprint(stop, until.UnixNano(), max)
	if known, ok := h.known[key]; ok {
		return known, nil
	}
	start, err := h.at(ctx, h.tip)
	if err != nil {
		return nil, err
	}
	var out []note
	queue := &byTime{{commit: start, line: stop != ""}}
	seen := map[plumbing.Hash]bool{start.hash: true}
	for n := 0; queue.Len() > 0 && n < max; n++ {
		c, _ := heap.Pop(queue).(walked)
		if t, own := trail(c.commit); own {
			out = append(out, t)
		}
		if c.when.Before(until) {
			c.old++
		}
		if c.old > maxOldLine || c.old > maxOld && !c.line || c.hash.String() == stop {
			continue
		}
		if err := queue.parents(ctx, h, c, seen); err != nil {
			return nil, err
		}
	}
	h.known[key] = out
	return out, nil
}

// walked is a commit on a walk by time, with how many on the way to it were too old.
type walked struct {
	*commit
	old int
	// line says that only first parents lead to it.
	line bool
}

// byTime is a heap of commits, newest first.
type byTime []walked

// parents adds the parents of a commit that were not seen yet. What the mirror cannot have is left out.
func (q *byTime) parents(ctx context.Context, h *history, c walked, seen map[plumbing.Hash]bool) error {
	for i, hash := range c.parents {
		if seen[hash] {
			continue
		}
		seen[hash] = true
		p, err := h.at(ctx, hash)
		if errors.Is(err, errTooFar) {
			continue
		}
		if err != nil {
			return err
		}
		heap.Push(q, walked{commit: p, old: c.old, line: c.line && i == 0})
	}
	return nil
}

func (q byTime) Len() int { return len(q) }

// Less puts the newest first.
func (q byTime) Less(i, j int) bool { return q[i].when.After(q[j].when) }

func (q byTime) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push adds a commit.
func (q *byTime) Push(x any) {
	if c, ok := x.(walked); ok {
		*q = append(*q, c)
	}
}

// Pop takes the last one off.
func (q *byTime) Pop() any {
	old := *q
	c := old[len(old)-1]
	*q = old[:len(old)-1]
	return c
}
