package store

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/internal/text"
)

const (
	// unknownWithin is how deep a commit is searched that is not here: what is asked for was on the branch a moment ago.
	unknownWithin = 800
	// reachSkew is how much older than an ancestor a commit may claim to be, and skewedWithin how many commits that claim
	// to be even older are looked at on the first parents, where they are here: any clock may be wrong.
	reachSkew    = 24 * time.Hour
	skewedWithin = 500
	// maxAncestors bounds how many commits are looked at for the one from which two branches parted.
	maxAncestors = 100_000
)

// passed is a commit that a walk by time comes to.
type passed struct {
	*Commit
	// Old is for whoever walks: what he counts here, the commits behind this one begin with.
	Old int
	// Line means that only first parents lead to it.
	Line bool
	left bool
}

// Leave reports that nothing behind the commit is of interest, as far as no other way leads there.
func (p *passed) Leave() { p.left = true }

// Behind walks over a commit and all that is behind it, the newest first. What is not to be had is left out.
func (h *History) Behind(ctx context.Context, from *Commit) iter.Seq2[*passed, error] {
	return func(yield func(*passed, error) bool) {
		queue := &byTime{{Commit: from, Line: true}}
		seen := map[plumbing.Hash]bool{from.Hash: true}
		for queue.Len() > 0 {
			c, _ := heap.Pop(queue).(*passed)
			if !yield(c, nil) {
				return
			}
			if c.left {
				continue
			}
			if err := queue.parents(ctx, h, c, seen); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// Contains reports whether a commit is reachable from another one.
func (h *History) Contains(ctx context.Context, tip, commit plumbing.Hash) (bool, error) {
	start, err := h.Objects.Commit(tip)
	if err != nil {
		return false, fmt.Errorf("look from %s: %w", text.Short(tip.String()), err)
	}
	var not time.Time
	if c, err := h.Objects.Commit(commit); err == nil {
		not = c.When.Add(-reachSkew)
	} else if !errors.Is(err, errNoCommit) {
		return false, err
	}
	n := 0
	for c, err := range h.Behind(ctx, start) {
		switch {
		case err != nil:
			return false, err
		case c.Hash == commit:
			return true, nil
		case c.When.Before(not):
			if c.Old++; !c.Line || c.Old > skewedWithin || !h.parentsHere(c.Commit) {
				c.Leave()
			}
		case not.IsZero() && n > unknownWithin:
			c.Leave()
		}
		n++
	}
	return false, nil
}

// parentsHere reports whether nothing has to be fetched to go on behind a commit.
func (o *Objects) parentsHere(c *Commit) bool {
	return !slices.ContainsFunc(c.Parents, func(h plumbing.Hash) bool { return !o.has(h) })
}

// The sides from which a commit was reached.
const (
	fromOne = 1 << iota
	fromOther
	fromBoth = fromOne | fromOther
)

// parted finds the newest commit that two histories share.
func (o *Objects) parted(one, other plumbing.Hash) (plumbing.Hash, error) {
	sides := map[plumbing.Hash]int{}
	var queue byTime
	add := func(h plumbing.Hash, side int) error {
		if sides[h]|side == sides[h] {
			return nil
		}
		sides[h] |= side
		c, err := o.Commit(h)
		if err == nil {
			heap.Push(&queue, &passed{Commit: c})
		}
		return err
	}
	if err := errors.Join(add(one, fromOne), add(other, fromOther)); err != nil {
		return plumbing.ZeroHash, err
	}
	for queue.Len() > 0 && len(sides) < maxAncestors {
		c, _ := heap.Pop(&queue).(*passed)
		if sides[c.Hash] == fromBoth {
			return c.Hash, nil
		}
		for _, parent := range c.Parents {
			if err := add(parent, sides[c.Hash]); err != nil {
				return plumbing.ZeroHash, err
			}
		}
	}
	return plumbing.ZeroHash, fmt.Errorf("%s and %s have no commit in common: %w",
		text.Short(one.String()), text.Short(other.String()), errNoCommit)
}

// byTime is a heap of commits, newest first.
type byTime []*passed

// parents adds the parents of a commit that were not seen yet. What the mirror cannot have is left out.
func (q *byTime) parents(ctx context.Context, h *History, c *passed, seen map[plumbing.Hash]bool) error {
	for i, hash := range c.Parents {
		if seen[hash] {
			continue
		}
		seen[hash] = true
		p, err := h.At(ctx, hash)
		if errors.Is(err, ErrTooFar) {
			continue
		}
		if err != nil {
			return err
		}
		heap.Push(q, &passed{Commit: p, Old: c.Old, Line: c.Line && i == 0})
	}
	return nil
}

func (q byTime) Len() int { return len(q) }

// Less puts the newest first.
func (q byTime) Less(i, j int) bool { return q[i].When.After(q[j].When) }

func (q byTime) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push adds a commit.
func (q *byTime) Push(x any) {
	if c, ok := x.(*passed); ok {
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
