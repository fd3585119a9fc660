package gitrepo

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// Mirrors is reconcile.Git on mirrors in one folder. It may be used by many goroutines.
type Mirrors struct {
	store   *store.Mirrors
	dir     string
	options Options
	mu      sync.Mutex
	// memories are what is remembered, by mirror.
	memories map[*store.Mirror]*recalled
}

var _ reconcile.Git = (*Mirrors)(nil)

// New keeps mirrors in a folder, which it makes. No other process may use the folder at the same time.
func New(dir string, o Options) (*Mirrors, error) {
	o.fill()
	s, err := store.New(dir, store.Options{Now: o.Now, Log: o.Log, MaxDisk: o.MaxDisk, Tenant: o.Tenant})
	if err != nil {
		return nil, err
	}
	return &Mirrors{store: s, dir: dir, options: o, memories: map[*store.Mirror]*recalled{}}, nil
}

// Tidy removes the mirrors that nobody has asked for in a while: those of sources and branches that are gone. They are
// clones, and come again when they are asked for. What is remembered of them goes too.
func (g *Mirrors) Tidy(unused time.Duration) {
	g.store.Tidy(unused)
	before := g.options.Now().Add(-unused)
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.memories, func(_ *store.Mirror, r *recalled) bool { return r.used.Before(before) })
}

// branch is a source's mirror while somebody holds it, with what is remembered of it.
type branch struct {
	*store.Mirror
	*recalled
}

// on is the history at a tip.
func (m *branch) on(tip *store.History) *history { return newHistory(tip, m.remembered) }

// history of the branch at the tip that was fetched last.
func (m *branch) history() *history { return m.on(m.Mirror.History()) }

// with runs f on a source's mirror. A repository that turns out to be damaged is cloned again, once.
func (g *Mirrors) with(ctx context.Context, src reconcile.Source, f func(m *branch) error) error {
	return g.store.With(ctx, src, func(m *store.Mirror) error { return f(&branch{m, g.remembered(m)}) })
}

// fetched runs f on the history of a source's branch as it is now.
func (g *Mirrors) fetched(ctx context.Context, src reconcile.Source, f func(h *history) error) error {
	return g.with(ctx, src, func(m *branch) error {
		if err := m.Fetch(ctx); err != nil {
			return err
		}
		return f(m.history())
	})
}

// knowing runs f on the history of a source's branch as far as it is here, where that has a commit.
func (g *Mirrors) knowing(ctx context.Context, src reconcile.Source, commit string, f func(h *history) error) error {
	return g.with(ctx, src, func(m *branch) error {
		if err := m.Bring(ctx, plumbing.NewHash(commit)); err != nil {
			return err
		}
		return f(m.history())
	})
}

// remembered is what is remembered of a mirror.
func (g *Mirrors) remembered(m *store.Mirror) *recalled {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.memories[m] == nil {
		g.memories[m] = newRecalled()
	}
	g.memories[m].used = g.options.Now()
	return g.memories[m]
}

// Contains reports whether a commit is reachable from another one that the source knows.
func (g *Mirrors) Contains(ctx context.Context, src reconcile.Source, tip, commit string) (bool, error) {
	var out bool
	err := g.with(ctx, src, func(m *branch) (err error) {
		out, err = m.Contains(ctx, plumbing.NewHash(tip), plumbing.NewHash(commit))
		return err
	})
	return out, err
}
