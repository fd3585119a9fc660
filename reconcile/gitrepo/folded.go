package gitrepo

import (
	"context"
	"errors"
	"slices"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// foldedFrom goes on with what was laid over a place before a commit, where the commit wrote that value into the place
// and took away what said it:
//
//	base v0, patch v2 in prod  ──►  base v2, no patch      prod ran v2 before: what brought the patch its v2 counts
//
// Another root that has no such patch ran v0, so only the files of the query's own root count.
func (p *pursued) foldedFrom(ctx context.Context, f *walk, newer *store.Commit, there []manifest.Node) (bool, error) {
	if rootPath(f.root) == "." || !isImage(p.group[0]) || manifest.SameReference(there, p.group) {
		return false, nil
	}
	files, err := f.h.closure(f.At, f.root)
	if err != nil {
		// What cannot be built says nothing.
		if errors.Is(err, store.ErrCorrupt) {
			return false, err
		}
		return false, nil
	}
	changes, err := f.h.changesOf(f.At, newer)
	if err != nil {
		return false, err
	}
	var over []manifest.Node
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !c.Before.Regular() || !slices.Contains(files.Paths, c.Path) {
			continue
		}
		found, err := p.laidOver(f.h, c, there)
		if err != nil {
			return false, err
		}
		if found != nil && over != nil {
			return false, nil
		}
		if found != nil {
			over = found
		}
	}
	if over == nil {
		return false, nil
	}
	p.group = over
	p.file, err = f.Add(over[0].File)
	return true, err
}

// laidOver is the group of a file that a commit took away, which said the present value over the place's former one;
// nil for none, and for several.
func (p *pursued) laidOver(h *history, c store.Change, there []manifest.Node) ([]manifest.Node, error) {
	was, err := h.parsed(c.Path, c.Before.Hash)
	if err != nil || was.err != nil {
		return nil, err
	}
	var is parsedFile
	if c.After.Regular() {
		if is, err = h.parsed(c.Path, c.After.Hash); err != nil {
			return nil, err
		}
	}
	var over []manifest.Node
	for _, group := range was.like(p.group) {
		switch {
		case !manifest.SameReference(group, p.group), is.group(group) != nil:
		case !manifest.IsEntry(group[0]) && !manifest.LiesUnder(there, group, false):
		case over != nil:
			return nil, nil
		default:
			over = group
		}
	}
	return over, nil
}
