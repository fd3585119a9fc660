package gitrepo

import (
	"context"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// located is where the tip says the image, and the commit that says it.
type located struct {
	commit *store.Commit
	images []composed
}

// locate finds the nodes at the tip that make the image run for the query's workload. It refuses with a sentence where
// there are none.
func (h *history) locate(ctx context.Context, q reconcile.Query) (*located, error) {
	c, err := h.At(ctx, h.Tip)
	if err != nil {
		return nil, err
	}
	files, err := h.closure(c, q.Root)
	if err != nil {
		return nil, err
	}
	l := &locating{history: h, ctx: ctx, commit: c, query: q, files: files}
	found, err := l.find()
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, l.nowhere()
	}
	if n := len(slices.Concat(found...)); n > v1alpha1.MaxPlaces {
		return nil, reconcile.Refuse("%s is said in %d places below %q: too many to take back at once",
			oneLine(q.Image, nameRunes), n, q.Root.Path)
	}
	return &located{commit: c, images: found}, nil
}
