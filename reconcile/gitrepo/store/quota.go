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
// are removed, those of sources that were deleted first: they are clones, and come again when they are asked for.
func (g *Mirrors) room(m *Mirror, dir string) (int64, error) {
	g.quota.Lock()
	defer g.quota.Unlock()
	free := g.options.MaxDisk - sizeOf(g.dir)
	for _, name := range g.idle(m) {
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
		last, known := used[e.Name()]
		if !known {
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

// used reports when each mirror was asked for last, by its folder.
func (g *Mirrors) used() map[string]time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]time.Time{}
	for _, m := range g.mirrors {
		// What is in use is not read: it is the newest.
		select {
		case m.lock <- struct{}{}:
			out[filepath.Base(m.dir)] = m.used
			<-m.lock
		default:
			out[filepath.Base(m.dir)] = time.Time{}.AddDate(9999, 0, 0)
		}
	}
	return out
}

// idle are the folders of all other mirrors: those that no source was asked for, then by when they were used last.
func (g *Mirrors) idle(but *Mirror) []string {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return nil
	}
	used := g.used()
	var out []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != filepath.Base(but.dir) {
			out = append(out, e.Name())
		}
	}
	slices.SortStableFunc(out, func(a, b string) int {
		return cmp.Or(used[a].Compare(used[b]), cmp.Compare(a, b))
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
