package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// maxTries is how many tips are planned on before somebody else's pushes win.
const maxTries = 20

// Attempt pushes what plan makes of the tip, and plans again on every tip that somebody else's push makes of it. plan
// gives the zero hash when there is nothing to push. still is asked before a push begins and right before it is sent:
// what it refuses is planned again, by a plan that leaves it out or gives its refusal.
func (m *Mirror) Attempt(ctx context.Context, plan func(h *History, b *Builder) (head plumbing.Hash, err error),
	still func() error) error {
	var unsent error
	for try := range maxTries {
		if err := m.Fetch(ctx); err != nil {
			return err
		}
		h := m.History()
		b := NewBuilder(h.Objects)
		head, err := plan(h, b)
		if err != nil || head.IsZero() {
			return err
		}
		began := m.now()
		permit := func() error { unsent = still(); return unsent }
		if err = permit(); err == nil {
			err = m.push(reconcile.WithPermit(ctx, permit), b, h.Tip, head)
			m.began = time.Time{}
		}
		switch {
		case unsent != nil:
			m.log.Info("not sent: it was allowed when it was planned, and no longer is", "url", m.out.URL, "why", unsent.Error())
			continue
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
func (m *Mirror) arrives(ctx context.Context, head plumbing.Hash) error {
	ctx, cancel := context.WithTimeout(ctx, m.remote.Timeout)
	defer cancel()
	for try := 0; ; try++ {
		m.began = time.Time{}
		err := m.Fetch(ctx)
		if err == nil && m.objects.has(head) {
			return nil
		}
		if try == maxTries || pause(ctx, try) != nil {
			return fmt.Errorf("%s pushed %s to %s, and %s does not show it: are they one repository? %w", m.out.Source,
				text.Short(head.String()), m.out.Branch.Short(), m.remote.Source, cmp.Or(err, errUnseen))
		}
	}
}

// errUnseen means that the deployed source does not show the pushed commit.
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
func (m *Mirror) settleDoubt(ctx context.Context, head plumbing.Hash, doubt error) error {
	if err := m.Fetch(ctx); err != nil {
		return doubt
	}
	if there, err := m.History().Contains(ctx, m.tip, head); err != nil || !there {
		return doubt
	}
	return nil
}

// keep records the pushed commit as the server's tip. A mirror that cannot is cloned anew next time.
func (m *Mirror) keep(b *Builder, head plumbing.Hash, began time.Time) {
	var err error
	m.objects.alone(func() { err = b.store(m.storage) })
	if err == nil {
		m.tip, m.began = head, began
		err = m.save(m.repo(), m.state())
	}
	if err != nil {
		m.log.Warn("the mirror does not keep what was pushed", "url", m.remote.URL, "error", err.Error())
		m.forget()
	}
}

// push replaces tip by head on the branch, with the objects that were built.
func (m *Mirror) push(ctx context.Context, b *Builder, tip, head plumbing.Hash) error {
	return m.out.Push(ctx, b.update(tip, head))
}
