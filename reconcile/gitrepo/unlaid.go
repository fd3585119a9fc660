package gitrepo

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// unlaid goes on with what was laid over a place when its value came, and was taken away since: until then that ran.
//
//	base v0, entry v1 in prod  ──►  base v3  ──►  no entry      prod ran v1 before: what took the entry out counts
func (h *history) unlaid(ctx context.Context, o origin, tip *store.Commit, root reconcile.Root) (origin, error) {
	place := o.at[0]
	if rootPath(root) == "." || len(o.at) > 1 || !isImage(place[0]) || manifest.IsEntry(place[0]) {
		return o, nil
	}
	before, err := h.Before(ctx, o.in)
	if err != nil || before == nil {
		return o, ignoreTooFar(err)
	}
	// What took it out changed a kustomization that is there today: most often none did.
	changes, err := h.kustomizationsChanged(tip, before, tip, root)
	if err == nil && len(changes) > 0 {
		changes, err = h.kustomizationsChanged(before, before, tip, root)
	}
	if err != nil {
		return o, err
	}
	var over [][]manifest.Node
	for _, c := range changes {
		was, is, err := h.versions(c)
		if err != nil || was.err != nil || is.err != nil {
			return o, err
		}
		for _, group := range was.like(place) {
			if manifest.IsEntry(group[0]) && manifest.Kin(group, place) && is.group(group) == nil {
				over = append(over, group)
			}
		}
	}
	if len(over) != 1 || manifest.SameReference(over[0], place) {
		return o, nil
	}
	return h.until(ctx, o, over[0], tip)
}

// kustomizationsChanged lists the kustomizations of a root at a commit that differ between two.
func (h *history) kustomizationsChanged(at, older, newer *store.Commit, root reconcile.Root) ([]store.Change, error) {
	files, err := h.built(at, root)
	if err != nil {
		return nil, err
	}
	var out []store.Change
	for _, file := range files {
		if !slices.Contains(manifest.Kustomizations, path.Base(file)) {
			continue
		}
		c := store.Change{Path: file}
		if c.Before, err = h.EntryAt(older.Tree, file); err != nil {
			return nil, err
		}
		if c.After, err = h.EntryAt(newer.Tree, file); err != nil {
			return nil, err
		}
		if c.Before != c.After {
			out = append(out, c)
		}
	}
	return out, nil
}

// until makes the commit that took a group away the origin of what it was laid over.
func (h *history) until(ctx context.Context, o origin, over []manifest.Node, tip *store.Commit) (origin, error) {
	f, err := h.walk(ctx, tip.Hash, []string{over[0].File})
	if err != nil {
		return o, err
	}
	for ago := 1; f.At.Hash != o.in.Hash; ago++ {
		newer := f.At
		if _, _, err := f.Back(ctx); err != nil || f.At == nil {
			return o, ignoreTooFar(err)
		}
		file := f.Files[0]
		if file.Blob == file.Newer || file.Blob.IsZero() {
			continue
		}
		v, err := h.parsed(file.Path, file.Blob)
		if err != nil {
			return o, err
		}
		if group := v.group(over); group != nil {
			o.in, o.ago, o.was = newer, ago, manifest.Express(group, o.nodes)
			return o, nil
		}
	}
	// It went with the commit that brought the value.
	o.was = manifest.Express(over, o.nodes)
	return o, nil
}

func ignoreTooFar(err error) error {
	if errors.Is(err, store.ErrTooFar) {
		return nil
	}
	return err
}
