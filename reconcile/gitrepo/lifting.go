package gitrepo

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// lift takes holds away, and gives the contents of the files and what was lifted.
func (h *history) lift(ctx context.Context, l reconcile.Lift) (map[string][]byte, note, error) {
	t := note{TrailerCommit: reconcile.TrailerCommit{Kind: reconcile.TrailerLift, Format: reconcile.TrailerFormat,
		Cluster: l.Cluster}}
	holds, err := h.holds(ctx, l.Roots)
	if err != nil {
		return nil, t, err
	}
	tip, err := h.At(ctx, h.Tip)
	if err != nil {
		return nil, t, err
	}
	contents := map[string][]byte{}
	for _, hold := range holds {
		if hold.Policy != l.Policy && !slices.Contains(l.And, hold.Policy) || l.Not != "" && hold.Not != l.Not {
			continue
		}
		if hold.Lift == v1alpha1.LiftManual && !l.Person {
			continue
		}
		mine, err := h.concerns(tip.Tree, l.Places, hold)
		if err != nil {
			return nil, t, err
		}
		if !mine {
			continue
		}
		add(&t.Places, reconcile.PlaceID(hold.File, hold.Pointer))
		data, ok := contents[hold.File]
		if !ok {
			if data, err = h.Snapshot(tip.Tree).ReadFile(hold.File); err != nil {
				return nil, t, fmt.Errorf("read %s: %w", hold.File, err)
			}
		}
		if contents[hold.File], err = manifest.ClearHold(data, hold.Pointer); err != nil {
			return nil, t, reconcile.Refuse("lift the hold in %s: %w", hold.File, err)
		}
		if n := h.failedBefore(ctx, hold); n > 0 {
			if t.failed == nil {
				t.failed = map[string]int{}
			}
			t.failed[hold.Policy] = max(n, t.failed[hold.Policy])
		}
	}
	add(&t.Policies, l.Policy)
	for _, policy := range l.And {
		add(&t.Policies, policy)
	}
	add(&t.Images, l.Image)
	add(&t.Rollbacks, l.Rollback)
	return contents, t, nil
}

// concerns reports whether a hold is on one of the places, or on a node that makes one image with one of them.
func (h *history) concerns(tree plumbing.Hash, places []v1alpha1.Place, hold reconcile.Hold) (bool, error) {
	if len(places) == 0 {
		return true, nil
	}
	e, err := h.EntryAt(tree, hold.File)
	if err != nil {
		return false, err
	}
	file, err := h.parsed(hold.File, e.Hash)
	if err != nil {
		return false, err
	}
	held := file.node(hold.Pointer)
	return held != nil && slices.ContainsFunc(places, func(n v1alpha1.Place) bool {
		at := file.node(n.Pointer)
		return n.File == hold.File && at != nil && at.Group == held.Group
	}), nil
}

// failedBefore is how many lifts in a row had failed when a hold was written, as its commit says.
func (h *history) failedBefore(ctx context.Context, hold reconcile.Hold) int {
	if hold.Commit == "" {
		return 0
	}
	c, err := h.At(ctx, plumbing.NewHash(hold.Commit))
	if err != nil {
		return 0
	}
	t, _ := readTrailers(c)
	return t.failed[hold.Policy]
}

// liftMessage is the message of a lift.
func liftMessage(l reconcile.Lift, t note, contents map[string][]byte) string {
	subject := "Lift the hold of " + l.Policy
	if files := slices.Sorted(maps.Keys(contents)); len(files) > 0 && path.Dir(files[0]) != "." {
		subject += " in " + path.Dir(files[0])
	}
	var more []string
	if by := oneLine(l.By, nameRunes); by != "" {
		more = append(more, "Lifted-by: "+by)
	}
	if why := oneLine(l.Because, 500); why != "" {
		more = append(more, "Lifted-because: "+why)
	}
	return message(subject, t, more)
}

// Lift takes holds away in one push, and gives the commit; none where there is no such hold any more.
func (g *Mirrors) Lift(ctx context.Context, src reconcile.Source, l reconcile.Lift) (string, error) {
	may := pushable
	if l.Onto != "" {
		may = writable
	}
	sign, err := may(src)
	if err != nil {
		return "", err
	}
	if l.Permit == nil {
		l.Permit = func() error { return nil }
	}
	p := &proposing{src: src, options: &g.options, sign: sign}
	var commit plumbing.Hash
	err = g.with(ctx, src, func(m *branch) error {
		p.branch = m
		if l.Onto != "" {
			commit, err = p.liftOnto(ctx, l)
			return err
		}
		return m.Attempt(ctx, func(tip *store.History, b *store.Builder) (plumbing.Hash, error) {
			var err error
			if commit, err = p.lifted(ctx, m.on(tip), b, l); commit.IsZero() || err != nil {
				return plumbing.ZeroHash, err
			}
			return commit, l.Permit()
		}, l.Permit)
	})
	if err != nil || commit.IsZero() {
		return "", err
	}
	return commit.String(), nil
}

// lifted makes the commit that takes holds away from a tip; none where there is no such hold.
func (p *proposing) lifted(ctx context.Context, h *history, b *store.Builder, l reconcile.Lift) (plumbing.Hash, error) {
	contents, t, err := h.lift(ctx, l)
	if err != nil || len(contents) == 0 {
		return plumbing.ZeroHash, err
	}
	tip, err := h.At(ctx, h.Tip)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	when := l.When
	if when.IsZero() {
		when = p.options.Now()
	}
	d := p.options.draft(p.src, liftMessage(l, t, contents), when, p.sign)
	d.Parent = h.Tip
	if d.Tree, err = b.Replace(tip.Tree, contents); err != nil {
		return plumbing.ZeroHash, err
	}
	return b.Commit(d)
}

// liftOnto puts the lift on a branch of its own, for a pull request. What an earlier try left there is replaced, under
// the lease of what was looked at; what somebody else put there is not.
func (p *proposing) liftOnto(ctx context.Context, l reconcile.Lift) (commit plumbing.Hash, err error) {
	if p.to, err = p.Aside(p.src, l.Onto); err != nil {
		return plumbing.ZeroHash, err
	}
	defer p.to.Close()
	err = p.to.Until(ctx, func() (err error) {
		commit, err = p.liftOnce(ctx, l)
		return err
	})
	return commit, err
}

func (p *proposing) liftOnce(ctx context.Context, l reconcile.Lift) (plumbing.Hash, error) {
	if err := p.Fetch(ctx); err != nil {
		return plumbing.ZeroHash, err
	}
	h := p.history()
	b := store.NewBuilder(h.Objects)
	commit, err := p.lifted(ctx, h, b, l)
	if err != nil || commit.IsZero() {
		return plumbing.ZeroHash, err
	}
	there, err := p.to.Head(ctx)
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
	if err := p.to.Push(reconcile.WithPermit(ctx, l.Permit), b, there, commit); err != nil {
		return plumbing.ZeroHash, err
	}
	return commit, nil
}

// lifts refuses a branch whose head is neither merged nor a lift of Backstop's right on the deployed branch.
func (p *proposing) lifts(ctx context.Context, head plumbing.Hash) error {
	h := p.history()
	if merged, err := h.Contains(ctx, h.Tip, head); err != nil || merged {
		return err
	}
	c, err := h.Objects.Commit(head)
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", text.Short(head.String()), p.to.Name(), err)
	}
	t, own := readTrailers(c)
	if own && t.Kind == reconcile.TrailerLift && len(c.Parents) == 1 {
		on, err := h.Contains(ctx, h.Tip, c.Parents[0])
		if on || err != nil {
			return err
		}
	}
	return reconcile.RefuseAs(reconcile.FaultForeign, "%s of %s has commit %s, which is not Backstop's: a person has to "+
		"finish the pull request, or delete the branch", p.to.Name(), p.to.URL(), text.Short(head.String()))
}
