package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// planning plans reverts on one tip.
//
//	reverts ──Permit(tip)──► edits by node ──► files, exact where nothing else moved ──► marks ──► 1 or 2 commits
type planning struct {
	h       *history
	tip     *commit
	now     time.Time
	reverts []reconcile.Revert
	// out answers for each revert; a revert with an error is out of the plan.
	out []reconcile.Landing
	// edits of each revert, by file; the same node may be in several.
	edits []map[string][]manifest.Change
	// files of each revert that go back as a whole.
	files [][]v1alpha1.Node
	// original, reverted and held are the contents of the files that the plan touches.
	original, reverted, held map[string][]byte
	// policies that each revert holds, and what lifts those holds.
	policies [][]string
	release  []v1alpha1.ReleaseMode
	// failed counts by policy the lifts in a row that failed.
	failed map[string]int
}

// planReverts decides what each revert changes on the tip. An error is of the repository; what one revert cannot do is
// said in its Landing.
func (h *history) planReverts(ctx context.Context, reverts []reconcile.Revert, now time.Time) (*planning, error) {
	tip, err := h.at(ctx, h.tip)
	if err != nil {
		return nil, err
	}
	p := &planning{
		h: h, tip: tip, now: now, reverts: reverts, out: make([]reconcile.Landing, len(reverts)),
		edits: make([]map[string][]manifest.Change, len(reverts)), files: make([][]v1alpha1.Node, len(reverts)),
	}
	for i := range reverts {
		if p.out[i].Err = p.permit(ctx, i); errors.Is(p.out[i].Err, errCorrupt) {
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
	p.release = make([]v1alpha1.ReleaseMode, len(p.reverts))
	for i := range p.reverts {
		if p.out[i].Err != nil {
			continue
		}
		if p.out[i].Err = p.edit(i); errors.Is(p.out[i].Err, errCorrupt) {
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
		if v.Index < 0 || int(v.Index) >= len(r.Suspect.Nodes) {
			continue
		}
		targets++
		n := r.Suspect.Nodes[v.Index]
		if now, there := b.Values[v.Index]; there && now == n.Bad && now != v.Value {
			c := manifest.Change{Pointer: n.Pointer, Value: v.Value, Remove: v.Remove}
			p.edits[i][n.File] = append(p.edits[i][n.File], c)
		}
	}
	switch {
	case targets == 0:
		return reconcile.Refuse("there is nothing to take %s back to", oneLine(r.Image, 300))
	case len(p.edits[i]) == 0:
		return reconcile.Refuse("%s at %s no longer says %s: %w", oneLine(r.Suspect.Branch, 100), short(p.tip.hash.String()),
			oneLine(r.Image, 300), reconcile.ErrSuperseded)
	}
	return nil
}

// edit makes a revert's edits beside those of the reverts before it, all of them or none.
func (p *planning) edit(i int) error {
	if len(p.files[i]) > 0 {
		return p.takeBack(i)
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

// content is a file as the plan leaves it so far.
func (p *planning) content(file string) ([]byte, error) {
	if data, ok := p.reverted[file]; ok {
		return data, nil
	}
	e, err := p.h.entryAt(p.tip.tree, file)
	if err != nil {
		return nil, err
	}
	if !e.regular() {
		return nil, reconcile.Refuse("%s is no longer a file: %w", file, reconcile.ErrSuperseded)
	}
	data, err := p.h.objects.blob(e.hash, manifest.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	p.original[file], p.reverted[file] = data, data
	return data, nil
}

// exact restores the parent's blob where the suspect did nothing to a file but what is taken back, and nobody touched
// it since: what git revert does. Image automation re-serialises files, and only so all of that is undone.
func (p *planning) exact(ctx context.Context) error {
	for file := range p.reverted {
		var suspect string
		undone := map[string]string{}
		one := true
		for i, r := range p.reverts {
			if p.out[i].Err != nil {
				continue
			}
			if slices.Contains(p.filesOf(i), file) {
				one = false
			}
			if len(p.edits[i][file]) == 0 {
				continue
			}
			one = one && (suspect == "" || suspect == r.Suspect.Commit)
			suspect = r.Suspect.Commit
			for _, c := range p.edits[i][file] {
				undone[c.Pointer] = c.Value
			}
		}
		if !one || suspect == "" {
			continue
		}
		before, err := p.restorable(ctx, file, suspect, undone)
		if err != nil {
			return err
		}
		if before != nil {
			p.reverted[file] = before
		}
	}
	// A file of which every revert was refused is as it was.
	maps.DeleteFunc(p.reverted, func(file string, data []byte) bool {
		return bytes.Equal(data, p.original[file]) && (data == nil) == (p.original[file] == nil)
	})
	return nil
}

// restorable gives the content before the suspect if restoring it undoes just these nodes; nil otherwise.
func (p *planning) restorable(ctx context.Context, file, suspect string, undone map[string]string) ([]byte, error) {
	c, err := p.h.at(ctx, plumbing.NewHash(suspect))
	if errors.Is(err, errTooFar) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parent, err := p.h.before(ctx, c)
	if err != nil || parent == nil {
		return nil, err
	}
	var at [3]entry
	for i, tree := range []plumbing.Hash{parent.tree, c.tree, p.tip.tree} {
		if at[i], err = p.h.entryAt(tree, file); err != nil {
			return nil, err
		}
	}
	before, after, now := at[0], at[1], at[2]
	if now != after {
		return nil, nil
	}
	deltas, only, err := p.h.changed(change{path: file, before: before, after: after})
	if err != nil || !only {
		return nil, err
	}
	if !undoes(deltas, undone) {
		return nil, nil
	}
	return p.h.objects.blob(before.hash, manifest.MaxFileSize)
}

// undoes says whether new values by pointer are what all the nodes of a change held before it.
func undoes(deltas []manifest.Delta, undone map[string]string) bool {
	for _, d := range deltas {
		if value, ok := undone[d.Pointer]; !ok || d.Before == nil || d.After == nil || value != d.Before.Value {
			return false
		}
	}
	return len(deltas) == len(undone)
}
