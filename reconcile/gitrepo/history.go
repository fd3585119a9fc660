package gitrepo

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// history is a branch as of one tip, for walks that go back as far as they need.
type history struct {
	*objects
	tip plumbing.Hash
	// deeper brings older commits here. It says false when there are none to be had.
	deeper func(ctx context.Context) (bool, error)
	// end says in a sentence what to do when a walk needs commits that are not to be had.
	end string
	*remembered
	// known are walks for Backstop's own commits that were made already.
	known map[string][]note
}

// errTooFar says that a walk came to the end of what is to be had before it found what it looks for.
var errTooFar = errors.New("the history that can be read does not go back so far")

// at reads a commit and goes deeper for it.
func (h *history) at(ctx context.Context, hash plumbing.Hash) (*commit, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, err := h.objects.commit(hash)
		if !errors.Is(err, errNoCommit) {
			return c, err
		}
		more, err := h.deeper(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			return nil, reconcile.Refuse("read commit %s: %w: %s", short(hash.String()), errTooFar, h.end)
		}
	}
}

// before is the first parent; nil before a root.
func (h *history) before(ctx context.Context, c *commit) (*commit, error) {
	if len(c.parents) == 0 {
		return nil, nil
	}
	return h.at(ctx, c.parent())
}

// content reads a file; false says that it is too large to be read.
func (h *history) content(blob plumbing.Hash) ([]byte, bool, error) {
	data, err := h.objects.blob(blob, manifest.MaxFileSize)
	if errors.Is(err, errTooLarge) {
		return nil, false, nil
	}
	return data, err == nil, err
}
