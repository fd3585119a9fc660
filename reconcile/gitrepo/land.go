package gitrepo

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// land pushes the reverts that are permitted, in one push.
func (m *branch) land(ctx context.Context, src reconcile.Source, reverts []reconcile.Revert,
	o *Options) ([]reconcile.Landing, error) {
	sign, err := pushable(src)
	if err != nil {
		return nil, err
	}
	var p *planning
	var revert, hold plumbing.Hash
	still := func() error { return p.still() }
	err = m.Attempt(ctx, func(tip *store.History, b *store.Builder) (plumbing.Hash, error) {
		now := o.Now()
		var err error
		if p, err = m.on(tip).planReverts(ctx, reverts, now); err != nil {
			return plumbing.ZeroHash, err
		}
		revert, hold, err = p.commits(b, func(message string) store.Draft { return o.draft(src, message, now, sign) })
		if !hold.IsZero() {
			return hold, err
		}
		return revert, err
	}, still)
	if err != nil {
		return nil, err
	}
	return p.landings(revert, hold), nil
}

// Land pushes the reverts, as many as are permitted on one tip in one push, and answers for each by index.
func (g *Mirrors) Land(ctx context.Context, src reconcile.Source,
	reverts []reconcile.Revert) ([]reconcile.Landing, error) {
	var out []reconcile.Landing
	err := g.with(ctx, src, func(m *branch) (err error) {
		out, err = m.land(ctx, src, reverts, &g.options)
		return err
	})
	return out, err
}
