package gitrepo

import (
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// wholeFile is a file as the plan leaves it so far; there reports whether it has one.
func (p *planning) wholeFile(file string) (data []byte, there bool, err error) {
	if data, known := p.reverted[file]; known {
		return data, data != nil, nil
	}
	e, err := p.h.EntryAt(p.tip.Tree, file)
	if err != nil || e.Hash.IsZero() {
		return nil, false, err
	}
	data, err = p.content(file)
	return data, true, err
}

// filesOf are the files of a revert, in their order.
func (p *planning) filesOf(i int) []string {
	var out []string
	for _, n := range p.files[i] {
		out = append(out, n.File)
	}
	return slices.Sorted(slices.Values(out))
}

// in are the reverts of the plan.
func (p *planning) in() []reconcile.Revert {
	var out []reconcile.Revert
	for i, r := range p.reverts {
		if p.out[i].Err == nil {
			out = append(out, r)
		}
	}
	return out
}

// planning plans reverts on one tip.
//
//	reverts ──Permit(tip)──► edits by node ──► files, exact where nothing else moved ──► marks ──► 1 or 2 commits
type planning struct {
	h       *history
	tip     *store.Commit
	now     time.Time
	reverts []reconcile.Revert
	// out answers for each revert; a revert with an error is out of the plan.
	out []reconcile.Landing
	// edits of each revert, by file; the same node may be in several.
	edits []map[string][]manifest.Change
	// files of each revert that go back as a whole.
	files [][]v1alpha1.Place
	// original, reverted and held are the contents of the files that the plan touches.
	original, reverted, held map[string][]byte
	// policies that each revert holds, and what lifts those holds.
	policies [][]string
	lift     []v1alpha1.LiftMode
	holds    [][]v1alpha1.Hold
	// failed counts by policy the lifts in a row that failed.
	failed map[string]int
}

// content is a file as the plan leaves it so far.
func (p *planning) content(file string) ([]byte, error) {
	if data, ok := p.reverted[file]; ok {
		return data, nil
	}
	e, err := p.h.EntryAt(p.tip.Tree, file)
	if err != nil {
		return nil, err
	}
	if !e.Regular() {
		return nil, reconcile.Refuse("%s is no longer a file: %w", file, reconcile.ErrSuperseded)
	}
	data, err := p.h.Objects.Blob(e.Hash, manifest.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	p.original[file], p.reverted[file] = data, data
	return data, nil
}
