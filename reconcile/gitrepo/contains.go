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
	// unknownWithin is how deep a commit is searched that is not here: what is asked for was on the branch a moment ago.
	unknownWithin = 800
	// reachSkew is how much older than an ancestor a commit may claim to be.
	reachSkew = 24 * time.Hour
)

// contains says whether a commit is reachable from another one.
func (h *history) contains(ctx context.Context, tip, commit plumbing.Hash) (bool, error) {
	start, err := h.objects.commit(tip)
	if err != nil {
		return false, fmt.Errorf("look from %s: %w", short(tip.String()), err)
	}
	var not time.Time
	if c, err := h.objects.commit(commit); err == nil {
		not = c.when.Add(-reachSkew)
	} else if !errors.Is(err, errNoCommit) {
		return false, err
	}
	queue := &byTime{{commit: start}}
	seen := map[plumbing.Hash]bool{tip: true}
	for n := 0; queue.Len() > 0; n++ {
		c, _ := heap.Pop(queue).(walked)
		if c.hash == commit {
			return true, nil
		}
		if c.when.Before(not) || not.IsZero() && n > unknownWithin {
			continue
		}
		if err := queue.parents(ctx, h, c, seen); err != nil {
			return false, err
		}
	}
	return false, nil
}
