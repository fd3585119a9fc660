package store

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// room is how many bytes a pack may bring into a folder of a mirror. Where the disk is short, mirrors that nobody uses
// are removed, in the order of idle: they are clones, and come again when they are asked for.
func (g *Mirrors) room(m *Mirror, dir string) (int64, error) {
	g.quota.Lock()
	defer g.quota.Unlock()
	free := g.options.MaxDisk - sizeOf(g.dir)
	var idle []string
	if free < wire.MaxPack {
		idle = g.idle(m)
	}
	for _, name := range idle {
		if free >= wire.MaxPack {
			break
		}
		freed := g.evict(name)
		if free += freed; freed > 0 {
			g.options.Log.Info("a mirror is removed to make room", "folder", name, "bytes", freed)
		}
	}
	room := min(wire.MaxPack, free)
	if dir == m.repo() {
		room = min(room, maxMirror-sizeOf(dir))
	}
	if room <= 0 {
		return 0, g.noRoom()
	}
	return room, nil
}

// over refuses where all mirrors together take more than they may: what was room when a pack was asked for may be taken
// by the pack of another source, which arrives at the same time.
func (g *Mirrors) over() error {
	if sizeOf(g.dir) <= g.options.MaxDisk {
		return nil
	}
	return g.noRoom()
}

func (g *Mirrors) noRoom() error {
	return reconcile.RefuseAs(reconcile.FaultQuota,
		"the mirrors take all of the %d MiB that they may: give their volume more room", g.options.MaxDisk>>20)
}

// within reads a pack for as long as there is room, and asks now and then. It remembers what ended it, since go-git
// loses the chain of some errors.
type within struct {
	r    io.Reader
	over func() error
	read int
	err  error
}

// askEach is after how many bytes of a pack it is asked whether there is room: so much more, of each source that is
// fetched at the moment, may be on the disk.
const askEach = 4 << 20

// Read reads, and fails where there is no room any more.
func (w *within) Read(p []byte) (int, error) {
	if w.read >= askEach {
		w.read, w.err = 0, w.over()
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.r.Read(p)
	w.read += n
	return n, err
}

// Tidy removes the mirrors that nobody has asked for in a while: those of sources and branches that are gone. They are
// clones, and come again when they are asked for.
func (g *Mirrors) Tidy(unused time.Duration) {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return
	}
	before := g.options.Now().Add(-unused)
	used := g.used()
	for _, e := range entries {
		k, asked := used[e.Name()]
		last := k.used
		if !asked {
			// An earlier process used it.
			last = g.born
		}
		if !e.IsDir() || !last.Before(before) || sizeOf(filepath.Join(g.dir, e.Name())) == 0 {
			continue
		}
		if freed := g.evict(e.Name()); freed > 0 {
			g.options.Log.Info("a mirror that nobody asks for is removed", "folder", e.Name(), "bytes", freed)
		}
	}
}

// known is what is known of a mirror's folder.
type known struct {
	// used is when it was asked for last.
	used time.Time
	// tenant is whose source it is of.
	tenant string
}

// used reports of each mirror that was asked for when that was last and for whom, by its folder.
func (g *Mirrors) used() map[string]known {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]known{}
	for of, m := range g.mirrors {
		k := known{tenant: g.tenant(of.source.Namespace), used: time.Time{}.AddDate(9999, 0, 0)}
		// What is in use is not read: it is the newest.
		select {
		case m.lock <- struct{}{}:
			k.used = m.used
			<-m.lock
		default:
		}
		out[filepath.Base(m.dir)] = k
	}
	return out
}

func (g *Mirrors) tenant(namespace string) string {
	if g.options.Tenant == nil {
		return namespace
	}
	return g.options.Tenant(namespace)
}

// idle are the folders of all other mirrors, as they make room for one: those that no source was asked for, then those
// of the same tenant where it has more than its share, so that nobody throws out everybody else's, and then the others,
// each by when it was used last.
func (g *Mirrors) idle(but *Mirror) []string {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return nil
	}
	used := g.used()
	own := used[filepath.Base(but.dir)].tenant
	var out []string
	var all, mine int64
	tenants := map[string]bool{}
	for _, e := range entries {
		k, asked := used[e.Name()]
		if size := sizeOf(filepath.Join(g.dir, e.Name())); asked && size > 0 {
			all += size
			tenants[k.tenant] = true
			if k.tenant == own {
				mine += size
			}
		}
		if e.IsDir() && e.Name() != filepath.Base(but.dir) {
			out = append(out, e.Name())
		}
	}
	greedy := mine*int64(len(tenants)) > all
	rank := func(name string) int {
		k, asked := used[name]
		switch {
		case !asked:
			return 0
		case greedy && k.tenant == own:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), used[a].used.Compare(used[b].used), cmp.Compare(a, b))
	})
	return out
}

// evict removes what is in a mirror's folder, unless somebody works with it. It gives how many bytes that freed.
func (g *Mirrors) evict(name string) int64 {
	dir := filepath.Join(g.dir, name)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.mirrors {
		if m.dir != dir {
			continue
		}
		select {
		case m.lock <- struct{}{}:
			defer m.release()
			m.forget()
		default:
			return 0
		}
	}
	size := sizeOf(dir)
	if err := os.RemoveAll(dir); err != nil {
		return size - sizeOf(dir)
	}
	return size
}
