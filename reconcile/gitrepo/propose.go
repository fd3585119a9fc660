package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	fluxsign "github.com/fluxcd/pkg/git/signature"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

const (
	// maxProposed is how many commits the branch of a pull request may have before its base.
	maxProposed = 200
	// maxDenied is how often a server may say that a branch moved that nobody moved.
	maxDenied = 3
)

// Propose puts the reverts of one suspect on a branch of their own, for a pull request to the deployed branch. Whoever
// does it for the same suspect makes the same commits on the same tip: their dates are the suspect's, and they name no
// cluster. What stands on the branch already is left, what is missing is added, and the ref that a push replaces is the
// only lock, as on the deployed branch.
func (g *Mirrors) Propose(ctx context.Context, src reconcile.Source, onto reconcile.Onto, reverts []reconcile.Revert,
) (reconcile.Proposed, error) {
	sign, err := writable(src)
	if err != nil {
		return reconcile.Proposed{}, err
	}
	var out reconcile.Proposed
	err = g.with(ctx, src, func(m *branch) error {
		to, err := m.Aside(src, onto.Branch)
		if err != nil {
			return err
		}
		defer to.Close()
		p := proposing{branch: m, to: to, src: src, options: &g.options, sign: sign, reverts: plainly(reverts),
			rebuild: onto.Rebuild}
		return to.Until(ctx, func() (err error) {
			out, err = p.once(ctx)
			return err
		})
	})
	return out, err
}

// plainly are the reverts without what differs between those who propose them.
func plainly(reverts []reconcile.Revert) []reconcile.Revert {
	out := make([]reconcile.Revert, 0, len(reverts))
	for _, r := range reverts {
		r.Rollback, r.Cluster, r.Workloads, r.Trailers, r.Failures = "", "", nil, nil, nil
		out = append(out, r)
	}
	return out
}

// proposing puts reverts on the branch of a pull request.
type proposing struct {
	*branch
	// to is the branch.
	to      *store.Side
	src     reconcile.Source
	options *Options
	sign    fluxsign.Signer
	reverts []reconcile.Revert
	rebuild bool
	// before are the messages of the commits that were found on the branch.
	before []string
	// denied is how often the server said that the branch moved, and it had not.
	denied int
}

// once plans on the tip of the deployed branch and on the branch as they are now.
func (p *proposing) once(ctx context.Context) (reconcile.Proposed, error) {
	if err := p.Fetch(ctx); err != nil {
		return reconcile.Proposed{}, err
	}
	base := p.history()
	planned, err := base.planReverts(ctx, p.reverts, p.date())
	if err != nil {
		return reconcile.Proposed{}, err
	}
	out := reconcile.Proposed{Base: base.Tip.String(), Landings: planned.out}
	if len(planned.in()) == 0 {
		return out, nil
	}
	out.Message = planned.revertMessage()
	in := planned.in()
	head, err := p.to.Head(ctx)
	if err != nil {
		return out, err
	}
	if head.IsZero() {
		head, err = p.push(ctx, planned, head)
		out.Head, out.Own = head.String(), true
		return out, err
	}
	fork, err := p.ours(ctx, base, head)
	if err != nil {
		return out, err
	}
	out.Before = p.before
	if out.Own, err = p.same(ctx, fork, head, in); err != nil {
		return out, err
	}
	if fork == head || p.rebuild && out.Own && fork != base.Tip {
		// What it brought is merged, or it is made anew. The lease is the head that was looked at.
		made, err := p.push(ctx, planned, head)
		out.Head, out.Own = made.String(), true
		return out, p.forced(ctx, head, err)
	}
	if !out.Own {
		if head, err = p.add(ctx, head, in); err == nil {
			out.Own, err = p.same(ctx, fork, head, in)
		}
	}
	out.Head = head.String()
	return out, err
}

// forced is what became of a push over a head. A server that takes no force push says that somebody else was faster, as
// it says to whoever was late: it is told by the branch, which nobody has moved.
func (p *proposing) forced(ctx context.Context, head plumbing.Hash, err error) error {
	if !errors.Is(err, wire.ErrLost) || errors.Is(err, wire.ErrUnsure) {
		return err
	}
	if there, look := p.to.Head(ctx); look != nil || there != head {
		return err
	}
	if p.denied++; p.denied < maxDenied {
		return err
	}
	return reconcile.RefuseAs(reconcile.FaultDeclined,
		"push %s of %s: it is to begin at the deployed branch as that is now, "+
			"and the server takes no force push: let it take one for backstop/*, or finish the pull request by hand",
		p.to.Name(), p.to.URL())
}

// add puts what the branch does not say yet on top of it.
func (p *proposing) add(ctx context.Context, head plumbing.Hash, reverts []reconcile.Revert) (plumbing.Hash, error) {
	planned, err := p.planOn(ctx, head, reverts)
	if err != nil || len(planned.in()) == 0 {
		return head, err
	}
	added, err := p.push(ctx, planned, head)
	if err != nil {
		return head, err
	}
	if there, err := p.to.Head(ctx); err != nil || there != added {
		// Somebody else was faster: it is looked at anew.
		return head, cmp.Or(err, wire.ErrLost)
	}
	return added, nil
}

// same reports whether what a branch makes of the commit that it left the deployed branch at is the reverts alone.
func (p *proposing) same(ctx context.Context, fork, head plumbing.Hash, reverts []reconcile.Revert) (bool, error) {
	planned, err := p.planOn(ctx, fork, reverts)
	if err != nil || len(planned.in()) != len(reverts) {
		return false, err
	}
	b := store.NewBuilder(planned.h.Objects)
	plain := func(message string) store.Draft { return store.Draft{Message: message, When: p.date()} }
	revert, hold, err := planned.commits(b, plain)
	if err != nil {
		return false, err
	}
	if hold.IsZero() {
		hold = revert
	}
	made, err := b.ReadCommit(hold)
	if err != nil {
		return false, err
	}
	there, err := planned.h.Objects.Commit(head)
	if err != nil {
		return false, err
	}
	return made.Tree == there.Tree, nil
}

// date is that of the commits: the suspect's own.
func (p *proposing) date() time.Time { return p.reverts[0].Suspect.When.Time }

// planOn plans reverts that are permitted and proved already on another commit than the tip of the deployed branch.
// What is superseded there is left out.
func (p *proposing) planOn(ctx context.Context, at plumbing.Hash, reverts []reconcile.Revert) (*planning, error) {
	reverts = slices.Clone(reverts)
	for i := range reverts {
		reverts[i].Permit, reverts[i].Proof = nil, nil
	}
	on := p.history()
	on.Tip = at
	planned, err := on.planReverts(ctx, reverts, p.date())
	if err != nil {
		return nil, err
	}
	for i, r := range planned.out {
		if r.Err != nil && !errors.Is(r.Err, reconcile.ErrSuperseded) {
			return nil, fmt.Errorf("revert %s on %s: %w", oneLine(reverts[i].Image, imageRunes), p.to.Name(), r.Err)
		}
	}
	return planned, nil
}

// push puts what is planned on the branch, if that is still as it was; old is zero for a branch that does not exist
// yet.
func (p *proposing) push(ctx context.Context, planned *planning, old plumbing.Hash) (plumbing.Hash, error) {
	b := store.NewBuilder(planned.h.Objects)
	head, hold, err := planned.commits(b, func(message string) store.Draft {
		return p.options.draft(p.src, message, p.date(), p.sign)
	})
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if !hold.IsZero() {
		head = hold
	}
	if err := planned.still(); err != nil {
		return plumbing.ZeroHash, err
	}
	if err := p.to.Push(reconcile.WithPermit(ctx, planned.still), b, old, head); err != nil {
		return plumbing.ZeroHash, err
	}
	return head, nil
}

// ours gives the commit at which a branch left the deployed one. It refuses a branch on which somebody else has been:
// what is on it is no longer what Backstop put there.
func (p *proposing) ours(ctx context.Context, base *history, head plumbing.Hash) (plumbing.Hash, error) {
	none := plumbing.ZeroHash
	p.before = nil
	for at, n := head, 0; n < maxProposed; n++ {
		if stands, err := base.Contains(ctx, base.Tip, at); err != nil || stands {
			return at, err
		}
		c, err := base.Objects.Commit(at)
		if err != nil {
			return none, fmt.Errorf("read %s of %s: %w", text.Short(at.String()), p.to.Name(), err)
		}
		t, own := readTrailers(c)
		if !own || len(c.Parents) != 1 || t.Kind == reconcile.TrailerLift {
			return none, reconcile.RefuseAs(reconcile.FaultForeign, "%s of %s has commit %s, which is not Backstop's: a person "+
				"has to finish the pull request, or delete the branch", p.to.Name(), p.to.URL(), text.Short(at.String()))
		}
		p.before = append(p.before, c.Message)
		at = c.Parents[0]
	}
	return none, reconcile.RefuseAs(reconcile.FaultForeign, "%s of %s does not begin at the deployed branch: delete it",
		p.to.Name(), p.to.URL())
}
