package gitrepo

import (
	"context"
	"errors"
	"io/fs"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// maxChangedFiles is how many files of a commit are looked at.
const maxChangedFiles = 200

// Changed lists the files that a commit changed, as places that may go back.
func (g *Mirrors) Changed(ctx context.Context, src reconcile.Source, commit string) ([]v1alpha1.Place, error) {
	var out []v1alpha1.Place
	err := g.with(ctx, src, func(m *branch) error {
		h, c, parent, err := m.pair(ctx, commit)
		if err != nil {
			return err
		}
		changes, err := h.Diff(parent.Tree, c.Tree, maxChangedFiles)
		if errors.Is(err, store.ErrManyChanges) {
			return reconcile.Refuse("%s changes more than %d files", text.Short(commit), maxChangedFiles)
		}
		for _, d := range changes {
			links := !d.Before.Hash.IsZero() && !d.Before.Regular() || !d.After.Hash.IsZero() && !d.After.Regular()
			if links || d.Before.Hash == d.After.Hash {
				// No link is followed, and a mode changes nothing of what is read.
				continue
			}
			out = append(out, v1alpha1.Place{File: d.Path, Part: v1alpha1.PartFile, Bad: hashOf(d.After),
				Former: hashOf(d.Before), Added: d.Before.Hash.IsZero()})
		}
		return err
	})
	return out, err
}

// Without gives the files of a commit, some of which are as they were before it.
func (g *Mirrors) Without(ctx context.Context, src reconcile.Source, commit string, files []string) (fs.FS, error) {
	var out fs.FS
	err := g.with(ctx, src, func(m *branch) error {
		h, c, parent, err := m.pair(ctx, commit)
		if err != nil {
			return err
		}
		contents := map[string][]byte{}
		for _, file := range files {
			e, err := h.EntryAt(parent.Tree, file)
			if err != nil {
				return err
			}
			if contents[file], err = h.asBefore(file, e); err != nil {
				return err
			}
		}
		b := store.NewBuilder(h.Objects)
		tree, err := b.Replace(c.Tree, contents)
		out = h.With(b).Snapshot(tree)
		return err
	})
	return out, err
}

// asBefore is the content of a file that goes back; nil for none.
func (h *history) asBefore(file string, e store.Entry) ([]byte, error) {
	if e.Hash.IsZero() {
		return nil, nil
	}
	if !e.Regular() {
		return nil, reconcile.Refuse("%s was %s before", file, e.What())
	}
	return h.Objects.Blob(e.Hash, manifest.MaxFileSize)
}

// pair reads a commit and its first parent.
func (m *branch) pair(ctx context.Context, of string) (*history, *store.Commit, *store.Commit, error) {
	at := plumbing.NewHash(of)
	if err := m.Bring(ctx, at); err != nil {
		return nil, nil, nil, err
	}
	return m.history().pair(ctx, at)
}

func (h *history) pair(ctx context.Context, at plumbing.Hash) (*history, *store.Commit, *store.Commit, error) {
	c, err := h.At(ctx, at)
	if err != nil {
		return nil, nil, nil, err
	}
	parent, err := h.Before(ctx, c)
	if err == nil && parent == nil {
		err = reconcile.Refuse("%s is the first commit: there is nothing before it", text.Short(at.String()))
	}
	return h, c, parent, err
}
