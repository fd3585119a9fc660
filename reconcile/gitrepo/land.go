package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	fluxsign "github.com/fluxcd/pkg/git/signature"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// maxTries is how many tips are planned on before somebody else's pushes win.
const maxTries = 20

// writable refuses what cannot be pushed anyway, before anything is asked.
func writable(src reconcile.Source) (fluxsign.Signer, error) {
	if src.ReadOnly != "" {
		return nil, reconcile.RefuseAs(src.ReadOnlyKind, "%s", src.ReadOnly)
	}
	return signer(src)
}

// pushable refuses beside that what is not pushed to the deployed branch itself.
func pushable(src reconcile.Source) (fluxsign.Signer, error) {
	if src.ReadOnly == "" && src.Aside != "" {
		return nil, reconcile.RefuseAs(reconcile.FaultWantsPullRequest, "%s", src.Aside)
	}
	return writable(src)
}

// attempt pushes what plan makes of the tip, and plans again on every tip that somebody else's push makes of it. plan
// gives the zero hash when there is nothing to push. still is asked right before a push is sent: what it refuses is
// planned again, by a plan that leaves it out or gives its refusal.
func (m *mirror) attempt(ctx context.Context, plan func(h *history, b *builder) (head plumbing.Hash, err error),
	still func() error) error {
	var unsent error
	for try := range maxTries {
		if err := m.fetch(ctx); err != nil {
			return err
		}
		h := m.history()
		b := newBuilder(h.objects)
		head, err := plan(h, b)
		if err != nil || head.IsZero() {
			return err
		}
		if unsent = still(); unsent != nil {
			m.log.Info("not sent: it was allowed when it was planned, and no longer is", "url", m.out.URL, "why", unsent.Error())
			continue
		}
		began := m.now()
		err = m.push(ctx, b, h.tip, head)
		m.began = time.Time{}
		switch {
		case err == nil && m.apart():
			return m.arrives(ctx, head)
		case err == nil:
			m.keep(b, head, began)
			return nil
		case errors.Is(err, wire.ErrUnsure):
			return m.settleDoubt(ctx, head, err)
		case !errors.Is(err, wire.ErrLost):
			return err
		}
		m.log.Debug("lost the race for the branch", "url", m.out.URL, "try", try+1)
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
	if unsent != nil {
		return fmt.Errorf("push %s of %s: %w", m.out.Branch.Short(), m.out.URL, unsent)
	}
	if m.apart() {
		return fmt.Errorf("push %s of %s: it never stood where %s stands, %d times in a row: is it the repository of %s?",
			m.out.Branch.Short(), m.out.URL, m.remote.URL, maxTries, m.remote.Source)
	}
	return fmt.Errorf("push %s of %s: somebody else pushed first, %d times in a row",
		m.out.Branch.Short(), m.out.URL, maxTries)
}

// arrives waits until the source that deploys shows what another GitRepository pushed: two URLs may be one repository,
// a mirror of it that lags behind, or another one.
func (m *mirror) arrives(ctx context.Context, head plumbing.Hash) error {
	ctx, cancel := context.WithTimeout(ctx, m.remote.Timeout)
	defer cancel()
	for try := 0; ; try++ {
		m.began = time.Time{}
		err := m.fetch(ctx)
		if err == nil && m.objects.has(head) {
			return nil
		}
		if try == maxTries || pause(ctx, try) != nil {
			return fmt.Errorf("%s pushed %s to %s, and %s does not show it: are they one repository? %w", m.out.Source,
				short(head.String()), m.out.Branch.Short(), m.remote.Source, cmp.Or(err, errUnseen))
		}
	}
}

// errUnseen says that what was pushed does not stand where it is deployed from.
var errUnseen = errors.New("what was pushed is not seen")

// pause waits a moment that differs from everybody else's.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(time.Duration(rand.Int64N(int64(20*time.Millisecond) * int64(min(try+1, 10)))))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settleDoubt finds out whether a push arrived whose answer did not.
func (m *mirror) settleDoubt(ctx context.Context, head plumbing.Hash, doubt error) error {
	if err := m.fetch(ctx); err != nil {
		return doubt
	}
	if there, err := m.history().contains(ctx, m.tip, head); err != nil || !there {
		return doubt
	}
	return nil
}

// keep remembers what was pushed, which is what the server has since the push began. A mirror that cannot is cloned
// anew next time.
func (m *mirror) keep(b *builder, head plumbing.Hash, began time.Time) {
	err := b.store(m.storage)
	if err == nil {
		m.tip, m.began = head, began
		err = m.save(m.repo(), m.state())
	}
	if err != nil {
		m.log.Warn("the mirror does not keep what was pushed", "url", m.remote.URL, "error", err.Error())
		m.forget()
	}
}

// land pushes the reverts that are permitted, in one push.
func (m *mirror) land(ctx context.Context, src reconcile.Source, reverts []reconcile.Revert,
	o *Options) ([]reconcile.Landing, error) {
	sign, err := pushable(src)
	if err != nil {
		return nil, err
	}
	var p *planning
	var revert, hold plumbing.Hash
	still := func() error { return p.still() }
	err = m.attempt(ctx, func(h *history, b *builder) (plumbing.Hash, error) {
		now := o.Now()
		var err error
		if p, err = h.planReverts(ctx, reverts, now); err != nil {
			return plumbing.ZeroHash, err
		}
		revert, hold, err = p.commits(b, func(message string) draft { return o.draft(src, message, now, sign) })
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

// still says whether all that was permitted when it was planned may be pushed now.
func (p *planning) still() error {
	for i, r := range p.reverts {
		if p.out[i].Err == nil && r.Still != nil {
			if err := r.Still(); err != nil {
				return err
			}
		}
	}
	return nil
}

// landings answers for each revert.
func (p *planning) landings(revert, hold plumbing.Hash) []reconcile.Landing {
	for i, r := range p.reverts {
		if p.out[i].Err != nil {
			continue
		}
		c := &v1alpha1.Change{
			Commit: revert.String(), Branch: r.Suspect.Branch, Policies: p.policies[i], At: v1alpha1.NewTime(p.now),
		}
		if len(p.policies[i]) > 0 && !hold.IsZero() {
			c.Hold, c.Release = hold.String(), p.release[i]
		}
		p.out[i].Change = c
	}
	return p.out
}

// push replaces tip by head on the branch, with the objects that were built.
func (m *mirror) push(ctx context.Context, b *builder, tip, head plumbing.Hash) error {
	return m.out.Push(ctx, wire.Update{Old: tip, New: head, From: b.new, Objects: b.order})
}
