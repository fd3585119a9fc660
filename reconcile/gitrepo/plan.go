package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// prove asks each revert that wants it whether what the plan leaves may be pushed. It says true when one was taken out.
func (p *planning) prove(ctx context.Context) (refused bool, err error) {
	for i, r := range p.reverts {
		if p.out[i].Err != nil || r.Proof == nil {
			continue
		}
		b := store.NewBuilder(p.h.Objects)
		tree, err := b.Replace(p.tip.Tree, p.held)
		if err != nil {
			return false, err
		}
		err = r.Proof(ctx, p.h.Snapshot(p.tip.Tree), p.h.With(b).Snapshot(tree))
		if _, no := reconcile.AsRefusal(err); no {
			p.out[i].Err = err
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// still reports whether all that was permitted when it was planned may be pushed now.
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
			c.Hold, c.Lift, p.out[i].Holds = hold.String(), p.lift[i], p.holds[i]
		}
		p.out[i].Change = c
	}
	return p.out
}

// planReverts decides what each revert changes on the tip. An error is of the repository; what one revert cannot do is
// said in its Landing.
func (h *history) planReverts(ctx context.Context, reverts []reconcile.Revert, now time.Time) (*planning, error) {
	tip, err := h.At(ctx, h.Tip)
	if err != nil {
		return nil, err
	}
	p := &planning{
		h: h, tip: tip, now: now, reverts: reverts, out: make([]reconcile.Landing, len(reverts)),
		edits: make([]map[string][]manifest.Change, len(reverts)), files: make([][]v1alpha1.Place, len(reverts)),
	}
	for i := range reverts {
		if p.out[i].Err = p.permit(ctx, i); errors.Is(p.out[i].Err, store.ErrCorrupt) {
			return nil, p.out[i].Err
		}
	}
	// A revert that cannot be made as a whole is taken out, and the others are planned again without it.
	for refused := true; refused; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if refused, err = p.contents(ctx); err == nil && !refused {
			refused, err = p.prove(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// contents makes the contents of the files. It says true when a revert had to be taken out on the way.
func (p *planning) contents(ctx context.Context) (refused bool, err error) {
	p.original, p.reverted, p.held = map[string][]byte{}, map[string][]byte{}, map[string][]byte{}
	p.policies, p.failed = make([][]string, len(p.reverts)), map[string]int{}
	p.lift, p.holds = make([]v1alpha1.LiftMode, len(p.reverts)), make([][]v1alpha1.Hold, len(p.reverts))
	for i := range p.reverts {
		if p.out[i].Err != nil {
			continue
		}
		if p.out[i].Err = p.edit(i); errors.Is(p.out[i].Err, store.ErrCorrupt) {
			return false, p.out[i].Err
		}
	}
	if err := p.exact(ctx); err != nil {
		return false, err
	}
	return p.hold(ctx)
}

// permit asks whether a revert may be made on this tip, and notes what it would edit.
func (p *planning) permit(ctx context.Context, i int) error {
	r := p.reverts[i]
	b, err := p.h.look(ctx, r.Suspect, &r.Target, r.Since)
	if err != nil {
		return err
	}
	if r.Permit != nil {
		if err := r.Permit(b); err != nil {
			return err
		}
	}
	p.edits[i] = map[string][]manifest.Change{}
	if r.Suspect.ByFiles() {
		return p.permitFiles(i, b)
	}
	targets := 0
	for _, v := range r.Target.Values {
		if v.Index < 0 || int(v.Index) >= len(r.Suspect.Places) {
			continue
		}
		targets++
		n := r.Suspect.Places[v.Index]
		if now, there := b.Values[v.Index]; there && now == n.Bad && now != v.Value {
			c := manifest.Change{Pointer: n.Pointer, Value: v.Value, Remove: v.Remove}
			p.edits[i][n.File] = append(p.edits[i][n.File], c)
		}
	}
	switch {
	case targets == 0:
		return reconcile.Refuse("there is nothing to revert %s to", oneLine(r.Image, imageRunes))
	case len(p.edits[i]) == 0:
		return reconcile.Refuse("%s at %s no longer says %s: %w", oneLine(r.Suspect.Branch, branchRunes),
			text.Short(p.tip.Hash.String()), oneLine(r.Image, imageRunes), reconcile.ErrSuperseded)
	}
	return nil
}

// edit makes a revert's edits beside those of the reverts before it, all of them or none.
func (p *planning) edit(i int) error {
	if len(p.files[i]) > 0 {
		return p.revertFiles(i)
	}
	mine := map[string][]byte{}
	for _, file := range slices.Sorted(maps.Keys(p.edits[i])) {
		data, err := p.content(file)
		if err != nil {
			return err
		}
		// What another revert of the push does already is no edit of this one.
		changes := slices.DeleteFunc(slices.Clone(p.edits[i][file]), func(c manifest.Change) bool {
			return p.done(i, file, c)
		})
		edited, err := manifest.Edit(data, changes)
		if err != nil {
			return reconcile.Refuse("edit %s: %w", file, err)
		}
		mine[file] = edited
	}
	maps.Copy(p.reverted, mine)
	return nil
}

func (p *planning) done(i int, file string, c manifest.Change) bool {
	for k := range i {
		if p.out[k].Err == nil && slices.Contains(p.edits[k][file], c) {
			return true
		}
	}
	return false
}

// commits makes the commits of the plan: the revert, and the hold on top of it. There are none when every revert was
// refused.
func (p *planning) commits(b *store.Builder, draftOf func(message string) store.Draft,
) (revert, hold plumbing.Hash, err error) {
	if len(p.reverted) == 0 {
		return revert, hold, nil
	}
	d := draftOf(p.revertMessage())
	d.Parent = p.tip.Hash
	if d.Tree, err = b.Replace(p.tip.Tree, p.reverted); err != nil {
		return revert, hold, err
	}
	if revert, err = b.Commit(d); err != nil {
		return revert, hold, err
	}
	marks := maps.Clone(p.held)
	maps.DeleteFunc(marks, func(file string, data []byte) bool { return bytes.Equal(data, p.reverted[file]) })
	if len(marks) == 0 {
		return revert, hold, nil
	}
	reverted := d.Tree
	d = draftOf(p.holdMessage())
	d.Parent = revert
	if d.Tree, err = b.Replace(reverted, marks); err != nil {
		return revert, hold, err
	}
	hold, err = b.Commit(d)
	return revert, hold, err
}
