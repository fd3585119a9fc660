package store

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// History is a branch as of one tip, for walks that go back as far as they need.
type History struct {
	*Objects
	// Tip is the newest commit.
	Tip plumbing.Hash
	// deeper brings older commits here. It says false when there are none to be had.
	deeper func(ctx context.Context) (bool, error)
	// End tells in a sentence what to do when a walk needs commits that cannot be fetched.
	End string
}

// ErrTooFar means that a walk reached the last commit that can be fetched without finding what it looks for.
var ErrTooFar = errors.New("the history that can be read does not go back so far")

// At reads a commit and goes deeper for it.
func (h *History) At(ctx context.Context, hash plumbing.Hash) (*Commit, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := h.Objects.Commit(hash)
		if !errors.Is(err, errNoCommit) {
			return c, err
		}
		more, err := h.deeper(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			return nil, reconcile.Refuse("read commit %s: %w: %s", text.Short(hash.String()), ErrTooFar, h.End)
		}
	}
}

// Before is the first parent; nil before a root.
func (h *History) Before(ctx context.Context, c *Commit) (*Commit, error) {
	if len(c.Parents) == 0 {
		return nil, nil
	}
	return h.At(ctx, c.Parent())
}
