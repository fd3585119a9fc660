package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"time"

	fluxsign "github.com/fluxcd/pkg/git/signature"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/backstop-dev/backstop/reconcile"
)

// maxProposed is how many commits the branch of a pull request may have before its base.
const maxProposed = 200

// Propose puts the reverts of one suspect on a branch of their own, for a pull request to the deployed branch. Whoever
// does it for the same suspect makes the same commits on the same tip: their dates are the suspect's, and they name no
// cluster. What stands on the branch already is left, what is missing is added, and the ref that a push replaces is the
// only lock, as on the deployed branch.
func (g *Mirrors) Propose(ctx context.Context, src reconcile.Source, branch string, reverts []reconcile.Revert,
) (reconcile.Proposed, error) {
	sign, err := writable(src)
	if err != nil {
		return reconcile.Proposed{}, err
	}
	var out reconcile.Proposed
	err = g.with(ctx, src, func(m *mirror) error {
		onto := pushing(src)
		onto.Branch = branch
		to, err := dial(onto, m.now, m.dir)
		if err != nil {
			return err
		}
		defer to.close()
		p := proposing{mirror: m, to: to, src: src, options: &g.options, sign: sign, reverts: plainly(reverts)}
		out, err = p.run(ctx)
		return err
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
	*mirror
	// to is the way to the branch.
	to      *remote
	src     reconcile.Source
	options *Options
	sign    fluxsign.Signer
	reverts []reconcile.Revert
}

// run tries until the branch is as it was planned on.
func (p *proposing) run(ctx context.Context) (reconcile.Proposed, error) {
	for try := range maxTries {
		out, err := p.once(ctx)
		if !errors.Is(err, errLost) {
			return out, err
		}
		p.began = time.Time{}
		if err := pause(ctx, try); err != nil {
			return reconcile.Proposed{}, err
		}
	}
	return reconcile.Proposed{}, fmt.Errorf("push %s of %s: somebody else pushed first, %d times in a row",
		p.to.branch.Short(), p.to.url, maxTries)
}

func (p *proposing) once(ctx context.Context) (reconcile.Proposed, error) {
	if err := p.fetch(ctx); err != nil {
		return reconcile.Proposed{}, err
	}
	base := p.history()
	planned, err := base.planReverts(ctx, p.reverts, p.date())
	if err != nil {
		return reconcile.Proposed{}, err
	}
	out := reconcile.Proposed{Base: base.tip.String(), Landings: planned.out}
	if len(planned.in()) == 0 {
		return out, nil
	}
	out.Message = planned.revertMessage()
	head, err := p.bring(ctx)
	if err != nil {
		return out, err
	}
	if !head.IsZero() {
		if planned, err = p.missing(ctx, base, head, planned.in()); err != nil {
			return out, err
		}
	}
	if len(planned.in()) > 0 {
		if head, err = p.push(ctx, planned, head); err != nil {
			return out, err
		}
	}
	out.Head = head.String()
	return out, nil
}

// date is that of the commits: the suspect's own.
func (p *proposing) date() time.Time { return p.reverts[0].Suspect.When.Time }

// missing plans on the branch what it does not say yet.
func (p *proposing) missing(ctx context.Context, base *history, head plumbing.Hash, reverts []reconcile.Revert,
) (*planning, error) {
	if err := p.ours(ctx, base, head); err != nil {
		return nil, err
	}
	for i := range reverts {
		// Permitted they are already, on the deployed branch.
		reverts[i].Permit = nil
	}
	on := p.history()
	on.tip = head
	planned, err := on.planReverts(ctx, reverts, p.date())
	if err != nil {
		return nil, err
	}
	for i, r := range planned.out {
		if r.Err != nil && !errors.Is(r.Err, reconcile.ErrSuperseded) {
			return nil, fmt.Errorf("revert %s on %s: %w", oneLine(reverts[i].Image, 300), p.to.branch.Short(), r.Err)
		}
	}
	return planned, nil
}

// push puts what is planned on the branch, if that is still as it was; old is none for a branch that is not there yet.
func (p *proposing) push(ctx context.Context, planned *planning, old plumbing.Hash) (plumbing.Hash, error) {
	b := newBuilder(planned.h.objects)
	head, hold, err := planned.commits(b, func(message string) draft {
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
	side := &mirror{log: p.log, now: p.now, out: p.to}
	switch err := side.push(ctx, b, old, head); {
	case errors.Is(err, errUnsure):
		// The branch itself says whether it arrived.
		return plumbing.ZeroHash, errLost
	case err != nil:
		return plumbing.ZeroHash, err
	}
	return head, nil
}

// bring fetches the branch of the pull request, and gives its head; none where there is no such branch.
func (p *proposing) bring(ctx context.Context) (plumbing.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, p.to.timeout)
	defer cancel()
	defer p.to.settle()
	s, err := p.to.upload(ctx)
	if err != nil {
		return plumbing.ZeroHash, p.to.failed(ctx, "fetch", err)
	}
	defer func() { _ = s.Close() }()
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return plumbing.ZeroHash, p.to.failed(ctx, "fetch", err)
	}
	head, there := refs.References[p.to.branch.String()]
	if !there || p.objects.has(head) {
		return head, nil
	}
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	req.Wants, req.Haves = []plumbing.Hash{head}, []plumbing.Hash{p.tip}
	for h := range p.shallow {
		req.Shallows = append(req.Shallows, h)
	}
	if refs.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	if len(req.Shallows) > 0 && refs.Capabilities.Supports(capability.Shallow) {
		_ = req.Capabilities.Set(capability.Shallow)
	}
	if _, err := p.pull(ctx, p.to, s, req, p.repo()); err != nil {
		return plumbing.ZeroHash, p.to.failed(ctx, "fetch", err)
	}
	p.storage.Reindex()
	p.packs++
	return head, nil
}

// ours refuses a branch on which somebody else has been: what is on it is no longer what Backstop put there.
func (p *proposing) ours(ctx context.Context, base *history, head plumbing.Hash) error {
	for at, n := head, 0; n < maxProposed; n++ {
		if stands, err := base.contains(ctx, base.tip, at); err != nil || stands {
			return err
		}
		c, err := base.objects.commit(at)
		if err != nil {
			return fmt.Errorf("read %s of %s: %w", short(at.String()), p.to.branch.Short(), err)
		}
		t, own := trail(c)
		if !own || len(c.parents) != 1 || t.Kind == reconcile.TrailLift {
			return reconcile.RefuseAs(reconcile.FaultForeign, "%s of %s has commit %s, which is not Backstop's: a person has "+
				"to finish the pull request, or delete the branch", p.to.branch.Short(), p.to.url, short(at.String()))
		}
		at = c.parents[0]
	}
	return reconcile.RefuseAs(reconcile.FaultForeign, "%s of %s does not begin at the deployed branch: delete it",
		p.to.branch.Short(), p.to.url)
}
