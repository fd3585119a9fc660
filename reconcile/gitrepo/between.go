package gitrepo

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// Between lists the commits of the source's branch after a good one up to a bad one, oldest first, along first parents.
// Where no good one is named it goes back over the last most commits; where more than that are between, it refuses.
func (g *Mirrors) Between(ctx context.Context, src reconcile.Source, good, bad string, most int,
) ([]reconcile.PastCommit, error) {
	var out []reconcile.PastCommit
	err := g.knowing(ctx, src, bad, func(h *history) error {
		at := plumbing.NewHash(bad)
		for range most {
			if at.String() == good {
				return nil
			}
			c, err := h.At(ctx, at)
			if err != nil {
				return fmt.Errorf("read the commits of %s: %w", src.Name, err)
			}
			past := reconcile.PastCommit{
				Commit: c.Hash.String(), Subject: subjectOf(c), Author: c.Author, When: c.When,
			}
			if len(c.Parents) == 0 {
				out = append(out, past)
				break
			}
			past.Parent = c.Parent().String()
			out = append(out, past)
			at = c.Parent()
		}
		if good != "" && at.String() != good {
			return reconcile.Refuse("%s does not come before %s within %d commits of %s", text.Short(good), text.Short(bad),
				most, src.Branch)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(out)
	return out, nil
}
