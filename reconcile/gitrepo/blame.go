package gitrepo

import (
	"context"
	"errors"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Blame finds the commit that brought the image in.
func (g *Mirrors) Blame(ctx context.Context, src reconcile.Source, q reconcile.Query) (v1alpha1.Suspect, error) {
	var s v1alpha1.Suspect
	err := g.fetched(ctx, src, func(h *history) (err error) {
		s, err = h.blame(ctx, q)
		return err
	})
	if err != nil {
		return v1alpha1.Suspect{}, err
	}
	s.Source = v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: src.Name.Namespace, Name: src.Name.Name}
	s.Branch, s.Reconciler = src.Branch, q.Root.By
	return s, nil
}

// lately is how many commits behind the tip an image is looked for that Git no longer says.
const lately = 5

// blame finds the suspect of a query at the tip, else a few commits ago or at the commit that is applied: pods may
// still run what a revert, image automation or a person's fix has taken off the branch.
func (h *history) blame(ctx context.Context, q reconcile.Query) (v1alpha1.Suspect, error) {
	s, gone := h.blameTip(ctx, q)
	if _, refused := reconcile.AsRefusal(gone); !refused {
		return s, gone
	}
	if q.ByPerson {
		if errors.Is(gone, errUnread) {
			return s, gone
		}
		if s, found, err := h.blameGone(ctx, q); found || err != nil {
			return s, err
		}
		return s, gone
	}
	defer func(tip plumbing.Hash) { h.Tip = tip }(h.Tip)
	earlier := h.earlier(ctx)
	applied := plumbing.NewHash(q.Applied)
	if !applied.IsZero() && applied != h.Tip && !slices.Contains(earlier, applied) {
		if on, err := h.Contains(ctx, h.Tip, applied); err == nil && on {
			earlier = append(earlier, applied)
		}
	}
	for _, h.Tip = range earlier {
		if s, err := h.blameTip(ctx, q); err == nil {
			return s, nil
		}
	}
	return s, gone
}

// earlier are the commits before the tip, newest first, as many as lately and as the mirror has.
func (h *history) earlier(ctx context.Context) []plumbing.Hash {
	var out []plumbing.Hash
	c, err := h.At(ctx, h.Tip)
	for err == nil && len(out) < lately && !c.Parent().IsZero() {
		out = append(out, c.Parent())
		c, err = h.At(ctx, c.Parent())
	}
	return out
}
