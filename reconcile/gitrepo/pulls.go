package gitrepo

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

var _ reconcile.Pulls = (*Mirrors)(nil)

// Proposed gives the newest commit of a branch of where a source pushes, and the number of the pull request that the
// server has of it.
func (g *Mirrors) Proposed(ctx context.Context, src reconcile.Source, branch string) (string, int64, error) {
	to, err := g.aside(src, branch)
	if err != nil {
		return "", 0, err
	}
	defer to.Close()
	head, err := to.Tip(ctx)
	if err != nil || head.IsZero() {
		return "", 0, err
	}
	number, err := to.Pull(ctx, head)
	return head.String(), number, err
}

// Request pushes the newest commit of a branch to a reference that stands for a pull request.
func (g *Mirrors) Request(ctx context.Context, src reconcile.Source, branch, ref string, options []string) error {
	from, err := g.aside(src, branch)
	if err != nil {
		return err
	}
	defer from.Close()
	head, err := from.Tip(ctx)
	if err != nil {
		return err
	}
	to, err := g.aside(src, branch)
	if err != nil {
		return err
	}
	defer to.Close()
	to.Branch = plumbing.ReferenceName(ref)
	// The server has all of it.
	return to.Push(ctx, wire.Update{New: head, From: memory.NewStorage(), Options: options})
}

func (g *Mirrors) aside(src reconcile.Source, branch string) (*wire.Remote, error) {
	target := store.Pushing(src)
	target.Branch = branch
	return wire.Dial(target, g.options.Now, g.dir)
}
