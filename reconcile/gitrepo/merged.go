package gitrepo

import (
	"context"
	"errors"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// maxMerges is how many merges are looked into, one inside the other.
const maxMerges = 8

// mergedBy finds the commit behind a merge that brought the values in: on the deployed branch they came with the merge,
// and somebody wrote them before. It gives nil where the suspect is no merge, or wrote them itself.
func (h *history) mergedBy(ctx context.Context, suspect *store.Commit, origins []origin, q reconcile.Query,
) (*v1alpha1.RelatedCommit, error) {
	at, groups := suspect, []composed{}
	for _, o := range origins {
		if o.in.Hash == suspect.Hash {
			groups = append(groups, o.at)
		}
	}
	for range maxMerges {
		next, behind, err := h.under(ctx, at, groups, q)
		if errors.Is(err, store.ErrTooFar) || err == nil && next == nil {
			break
		}
		if err != nil {
			return nil, err
		}
		at, groups = next, behind
	}
	if at.Hash == suspect.Hash {
		return nil, nil
	}
	return related(at), nil
}

// under goes one merge down: to the newest commit that brought one of the groups to the branch that was merged.
func (h *history) under(ctx context.Context, merge *store.Commit, groups []composed, q reconcile.Query,
) (*store.Commit, []composed, error) {
	for _, parent := range merge.Parents[min(1, len(merge.Parents)):] {
		c, err := h.At(ctx, parent)
		if err != nil {
			return nil, nil, err
		}
		there, err := h.standingIn(c, groups)
		if err != nil {
			return nil, nil, err
		}
		if len(there) == 0 {
			continue
		}
		origins, err := h.trace(ctx, c, there, q)
		if err != nil || len(origins) == 0 {
			return nil, nil, err
		}
		newest := suspectOf(origins)
		var out []composed
		for _, o := range origins {
			if o.in.Hash == newest.Hash {
				out = append(out, o.at)
			}
		}
		return newest, out, nil
	}
	return nil, nil, nil
}

// standingIn lists the references that a commit has at the same places with the same values. A branch that is merged as
// a subtree has them outside of the folders that it is put into.
func (h *history) standingIn(c *store.Commit, all []composed) ([]composed, error) {
	var out []composed
	for _, g := range all {
		var there composed
		for _, nodes := range g {
			file := nodes[0].File
			e, err := h.EntryAt(c.Tree, file)
			for err == nil && e.Hash.IsZero() && strings.Contains(file, "/") {
				_, file, _ = strings.Cut(file, "/")
				e, err = h.EntryAt(c.Tree, file)
			}
			if err != nil {
				return nil, err
			}
			if !e.Regular() {
				continue
			}
			v, err := h.parsed(file, e.Hash)
			if err != nil {
				return nil, err
			}
			if is := v.group(nodes); is != nil {
				there = append(there, is)
			}
		}
		if len(there) == len(g) && g.same(there) {
			out = append(out, there)
		}
	}
	return out, nil
}
