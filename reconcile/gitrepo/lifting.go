package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// lifted makes the commit that takes holds away from a tip; none where there is no such hold.
func (p *proposing) lifted(ctx context.Context, h *history, b *builder, l reconcile.Lift) (plumbing.Hash, error) {
	contents, t, err := h.lift(ctx, l)
	if err != nil || len(contents) == 0 {
		return plumbing.ZeroHash, err
	}
	tip, err := h.at(ctx, h.tip)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	when := l.When
	if when.IsZero() {
		when = p.options.Now()
	}
	d := p.options.draft(p.src, liftMessage(l, t, contents), when, p.sign)
	d.parent = h.tip
	if d.tree, err = b.replace(tip.tree, contents); err != nil {
		return plumbing.ZeroHash, err
	}
	return b.commit(d)
}

// liftOnto puts the lift on a branch of its own, for a pull request. What an earlier try left there is replaced, under
// the lease of what was looked at; what somebody else put there is not.
func (p *proposing) liftOnto(ctx context.Context, l reconcile.Lift) (plumbing.Hash, error) {
	target := pushing(p.src)
	target.Branch = l.Onto
	to, err := wire.Dial(target, p.now, p.dir)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer to.Close()
	p.to = to
	for try := range maxTries {
		commit, err := p.liftOnce(ctx, l)
		if !errors.Is(err, wire.ErrLost) {
			return commit, err
		}
		p.began = time.Time{}
		if err := pause(ctx, try); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	return plumbing.ZeroHash, fmt.Errorf("push %s of %s: somebody else pushed first, %d times in a row",
		p.to.Branch.Short(), p.to.URL, maxTries)
}

func (p *proposing) liftOnce(ctx context.Context, l reconcile.Lift) (plumbing.Hash, error) {
	if err := p.fetch(ctx); err != nil {
		return plumbing.ZeroHash, err
	}
	h := p.history()
	b := newBuilder(h.objects)
	commit, err := p.lifted(ctx, h, b, l)
	if err != nil || commit.IsZero() {
		return plumbing.ZeroHash, err
	}
	there, err := p.bring(ctx)
	if err != nil || there == commit {
		return commit, err
	}
	if !there.IsZero() {
		if err := p.lifts(ctx, there); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	if err := l.Permit(); err != nil {
		return plumbing.ZeroHash, err
	}
	side := &mirror{log: p.log, now: p.now, out: p.to}
	if err := side.push(ctx, b, there, commit); err != nil {
		if errors.Is(err, wire.ErrUnsure) {
			// The branch itself says whether it arrived.
			return plumbing.ZeroHash, wire.ErrLost
		}
		return plumbing.ZeroHash, err
	}
	return commit, nil
}

// lifts refuses a branch whose head is neither merged nor a lift of Backstop's right on the deployed branch.
func (p *proposing) lifts(ctx context.Context, head plumbing.Hash) error {
	h := p.history()
	if merged, err := h.contains(ctx, h.tip, head); err != nil || merged {
		return err
	}
	c, err := h.objects.commit(head)
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", short(head.String()), p.to.Branch.Short(), err)
	}
	t, own := trail(c)
	if own && t.Kind == reconcile.TrailLift && len(c.parents) == 1 {
		on, err := h.contains(ctx, h.tip, c.parents[0])
		if on || err != nil {
			return err
		}
	}
	return reconcile.RefuseAs(reconcile.FaultForeign, "%s of %s has commit %s, which is not Backstop's: a person has to "+
		"finish the pull request, or delete the branch", p.to.Branch.Short(), p.to.URL, short(head.String()))
}
