package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

func TestMirrorsKeepToTheirDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deleted := filepath.Join(w.dir, "00000000000000000000000000000000", "repo")
	if err := os.MkdirAll(deleted, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(deleted, "pack"), make([]byte, 1<<20))
	w.mirrors.options.MaxDisk = wire.MaxPack + 1<<19
	w.fetch()
	if left := w.glob(w.dir, "0000*"); len(left) > 0 {
		t.Errorf("the mirror of a source that is gone stays: %v", left)
	}
	// What is in use stays, also where there is no room.
	first := w.mirrors.mirror(w.src)
	if err := first.acquire(t.Context(), w.src); err != nil {
		t.Fatal(err)
	}
	w.mirrors.options.MaxDisk = 1
	second := w.src
	second.Name.Name = "second"
	err := fetch(t, w.mirrors, second)
	if kind := reconcile.KindOf(err); kind != reconcile.FaultQuota || !strings.Contains(err.Error(), "give their volume more room") {
		t.Errorf("without room it gives %v of the kind %q", err, kind)
	}
	if sizeOf(first.dir) == 0 {
		t.Error("a mirror that is in use was removed")
	}
	first.release()
	w.mirrors.options.MaxDisk = wire.MaxPack
	if err := fetch(t, w.mirrors, second); err != nil {
		t.Errorf("with room again it gives %v", err)
	}
	if sizeOf(first.dir) != 0 {
		t.Error("a mirror that nobody uses was not removed for one that is asked for")
	}
	w.fetch()
}

// Who has more than its share makes room for itself: a tenant of many repositories throws out nobody else's.
func TestATenantMakesRoomForItself(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		// has are the mirrors, from the one that was used longest ago, as namespace/name; all are of one size.
		has, asks string
		disk      int64
		tenant    func(string) string
		gone      string
	}{
		"two of one size":                         {has: "a/1 b/1", asks: "c/1", disk: 2, gone: "a/1"},
		"one who has much asks":                   {has: "b/1 c/1 a/1 a/2 a/3", asks: "a/4", disk: 5, gone: "a/1"},
		"and needs the room of two":               {has: "b/1 c/1 a/1 a/2 a/3", asks: "a/4", disk: 4, gone: "a/1 a/2"},
		"one who has its share asks":              {has: "b/1 a/1 a/2 c/1", asks: "c/2", disk: 4, gone: "b/1"},
		"what is above the share goes first":      {has: "b/1 c/1 a/1 a/2", asks: "a/3", disk: 2, gone: "a/1 a/2 b/1"},
		"one who has nothing asks":                {has: "b/1 a/1 a/2 a/3", asks: "c/1", disk: 4, gone: "b/1"},
		"all are of one":                          {has: "a/1 a/2 a/3", asks: "a/4", disk: 3, gone: "a/1"},
		"many namespaces":                         {has: "b/1 a1/1 a2/1 a3/1", asks: "a4/1", disk: 4, gone: "b/1"},
		"many namespaces that are said to be one": {has: "b/1 a1/1 a2/1 a3/1", asks: "a4/1", disk: 4, gone: "a1/1", tenant: func(ns string) string { return ns[:1] }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			const size = 1 << 20
			w.mirrors.options.MaxDisk = wire.MaxPack + (tt.disk-1)*size + size/2
			w.mirrors.options.Tenant = tt.tenant
			of := func(what string) *Mirror {
				ns, name, _ := strings.Cut(what, "/")
				return w.mirrors.mirror(reconcile.Source{Name: types.NamespacedName{Namespace: ns, Name: name}, Branch: "main"})
			}
			for i, what := range strings.Fields(tt.has) {
				m := of(what)
				m.used = time.Unix(int64(i+1), 0)
				if err := os.MkdirAll(m.repo(), 0o700); err != nil {
					t.Fatal(err)
				}
				w.write(filepath.Join(m.repo(), "pack"), make([]byte, size))
			}
			asks := of(tt.asks)
			if _, err := w.mirrors.room(asks, asks.repo()); err != nil {
				t.Fatal(err)
			}
			var gone []string
			for _, what := range strings.Fields(tt.has) {
				if sizeOf(of(what).dir) == 0 {
					gone = append(gone, what)
				}
			}
			slices.Sort(gone)
			if got := strings.Join(gone, " "); got != tt.gone {
				t.Errorf("gone are %q, want %q", got, tt.gone)
			}
		})
	}
}

func TestMirrorsOfWhatIsGoneAreRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	earlier := filepath.Join(w.dir, "00000000000000000000000000000000", "repo")
	if err := os.MkdirAll(earlier, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(earlier, "pack"), []byte("x"))
	w.fetch()
	left := func() int {
		t.Helper()
		w.mirrors.Tidy(time.Hour)
		n := 0
		for _, dir := range w.glob(w.dir, "*") {
			if sizeOf(dir) > 0 {
				n++
			}
		}
		return n
	}
	if n := left(); n != 2 {
		t.Errorf("%d mirrors at the start, want 2: what an earlier process used may be asked for again", n)
	}
	w.now = w.now.Add(50 * time.Minute)
	w.fetch()
	w.now = w.now.Add(20 * time.Minute)
	if n := left(); n != 1 {
		t.Errorf("%d mirrors after an hour, want the one that is used", n)
	}
	held := w.mirrors.mirror(w.src)
	if err := held.acquire(t.Context(), w.src); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * time.Hour)
	if n := left(); n != 1 {
		t.Error("a mirror was removed under who works with it")
	}
	held.release()
	w.now = w.now.Add(2 * time.Hour)
	if n := left(); n != 0 {
		t.Errorf("%d mirrors that nobody asked for in hours", n)
	}
	w.fetch()
}

func TestMirrorFoldersAreNobodysChoice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"../../etc", "a/b", "x\x00y", strings.Repeat("n", 5000)} {
		dir := w.mirrors.mirror(reconcile.Source{Name: types.NamespacedName{Namespace: name, Name: name}, Branch: name}).dir
		if filepath.Dir(dir) != w.dir || len(filepath.Base(dir)) != 32 {
			t.Errorf("the mirror of %q is in %s", name, dir)
		}
	}
}

func TestMirrorThatGatheredPacksIsClonedAfresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fetch()
	m := w.mirrors.mirror(w.src)
	m.packs = maxPacks
	w.commits(1)
	if w.fetch(); m.packs != 1 {
		t.Errorf("%d packs", m.packs)
	}
	if got := len(w.glob(m.dir, "repo/objects/pack/*.pack")); got != 1 {
		t.Errorf("%d packs on disk", got)
	}
}

// Who renders a commit reads its files without the lock of the mirror, which others have grow meanwhile.
func TestASnapshotIsReadWhileTheMirrorChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commits(20)
	w.fetch()
	var tree fs.FS
	err := w.mirrors.With(t.Context(), w.src, func(m *Mirror) error {
		c, err := m.History().Commit(m.History().Tip)
		if err == nil {
			tree = m.History().Snapshot(c.Tree)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done, read := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(read)
		for {
			select {
			case <-done:
				return
			default:
			}
			err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				_, err = fs.ReadFile(tree, name)
				return err
			})
			if err != nil {
				read <- err
				return
			}
		}
	}()
	for range 10 {
		w.commits(1)
		w.now = w.now.Add(time.Minute)
		w.fetch()
	}
	close(done)
	if err := <-read; err != nil {
		t.Errorf("a file of the snapshot: %v", err)
	}
}
