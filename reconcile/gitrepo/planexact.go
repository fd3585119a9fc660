package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// exact restores the parent's blob where the suspect did nothing to a file but what is reverted, and nobody touched
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
	c, err := p.h.At(ctx, plumbing.NewHash(suspect))
	if errors.Is(err, store.ErrTooFar) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parent, err := p.h.Before(ctx, c)
	if err != nil || parent == nil {
		return nil, err
	}
	var at [3]store.Entry
	for i, tree := range []plumbing.Hash{parent.Tree, c.Tree, p.tip.Tree} {
		if at[i], err = p.h.EntryAt(tree, file); err != nil {
			return nil, err
		}
	}
	before, after, now := at[0], at[1], at[2]
	if now != after {
		return nil, nil
	}
	deltas, only, err := p.h.changed(store.Change{Path: file, Before: before, After: after})
	if err != nil || !only {
		return nil, err
	}
	if !undoes(deltas, undone) {
		return nil, nil
	}
	return p.h.Objects.Blob(before.Hash, manifest.MaxFileSize)
}

// undoes reports whether new values by pointer are what all the nodes of a change held before it.
func undoes(deltas []manifest.Delta, undone map[string]string) bool {
	for _, d := range deltas {
		if value, ok := undone[d.Pointer]; !ok || d.Before == nil || d.After == nil || value != d.Before.Value {
			return false
		}
	}
	return len(deltas) == len(undone)
}
