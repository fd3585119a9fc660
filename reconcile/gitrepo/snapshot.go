package gitrepo

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/backstop-dev/backstop/reconcile"
)

// Snapshot gives the files of a commit of the source's branch, of its tip where none is named. Links and submodules are
// told by their mode and cannot be opened. Any number of goroutines may read it, and none of them holds the mirror; a
// read fails once the mirror was cloned afresh, which a later snapshot gets over.
func (g *Mirrors) Snapshot(ctx context.Context, src reconcile.Source, commit string) (fs.FS, error) {
	var out fs.FS
	err := g.with(ctx, src, func(m *branch) error {
		at, err := m.Named(ctx, commit)
		if err != nil {
			return err
		}
		h := m.history()
		c, err := h.At(ctx, at)
		if err != nil {
			return fmt.Errorf("read the files of %s: %w", src.Name, err)
		}
		out = h.Snapshot(c.Tree)
		return nil
	})
	return out, err
}
