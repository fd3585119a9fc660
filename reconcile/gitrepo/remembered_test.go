package gitrepo

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
)

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("begin", "apps/develop/backend.yaml", deployment("develop", "backend", "ghcr.io/acme/backend:"+tag0, "develop:backend"))
	w.blame(query("ghcr.io/acme/backend:" + tag0))
	var h *history
	if err := w.mirrors.fetched(t.Context(), w.src, func(now *history) error { h = now; return nil }); err != nil {
		t.Fatal(err)
	}
	tip, err := h.At(t.Context(), h.Tip)
	if err != nil {
		t.Fatal(err)
	}
	e, err := h.EntryAt(tip.Tree, "apps/develop/backend.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxParsed {
		p, err := h.parsed(fmt.Sprintf("apps/%d.yaml", i), e.Hash)
		if err != nil || len(p.nodes) != 1 {
			t.Fatalf("%d nodes, %v", len(p.nodes), err)
		}
		if want := fmt.Sprintf("apps/%d.yaml", i); p.nodes[0].File != want {
			t.Fatalf("a node of %s in %s: files of the same content were mixed up", p.nodes[0].File, want)
		}
		if len(h.files) > maxParsed || h.nodes > maxParsed || h.nodes != len(h.files) {
			t.Fatalf("%d files and %d nodes are remembered, of files with one each", len(h.files), h.nodes)
		}
	}
	for i := range 3 * maxDescribed {
		h.remember(plumbing.ComputeHash(plumbing.BlobObject, []byte{byte(i)}), description{wrote: make([]wrote, 1)})
	}
	h.remember(plumbing.ZeroHash, description{wrote: make([]wrote, maxImages+1)})
	if _, kept := h.described[plumbing.ZeroHash]; kept || len(h.described) > maxDescribed {
		t.Errorf("%d descriptions are remembered, the largest too: %v", len(h.described), kept)
	}
}

func TestAnotherImageOfTheSameCommitIsBlamedAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(tag string) string {
		for _, name := range []string{"backend", "frontend"} {
			w.write("apps/develop/"+name+".yaml", deployment("develop", name, "ghcr.io/acme/"+name+":"+tag, "develop:"+name))
		}
		return w.commit("update to " + tag)
	}
	put(tag0)
	bad := put(tag1)
	others := map[string][]string{}
	for _, name := range []string{"backend", "frontend", "backend"} {
		s := w.blame(query("ghcr.io/acme/" + name + ":" + tag1))
		if s.Commit != bad || !s.OnlyImages {
			t.Errorf("%s: blamed %s, only images: %v", name, s.Commit, s.OnlyImages)
		}
		others[name] = s.OtherImages
	}
	want := map[string][]string{"backend": {"ghcr.io/acme/frontend:" + tag1}, "frontend": {"ghcr.io/acme/backend:" + tag1}}
	if diff := cmp.Diff(want, others); diff != "" {
		t.Errorf("other images (-want +got):\n%s", diff)
	}
}

// A fetch serves those who asked before it began, and nobody who asked later.
func TestOneFetchServesAllWhoWait(t *testing.T) {
	t.Parallel()
	const n = 20
	w := newWorld(t)
	w.put("begin", "apps/develop/backend.yaml", deployment("develop", "backend", "ghcr.io/acme/backend:"+tag0, "develop:backend"))
	s := w.blame(query("ghcr.io/acme/backend:" + tag0))
	asked := make(chan struct{}, 100)
	mirrors, err := New(t.TempDir(), Options{Now: func() time.Time {
		asked <- struct{}{}
		return time.Now()
	}})
	if err != nil {
		t.Fatal(err)
	}
	look := func(want string) {
		b, err := mirrors.Look(t.Context(), w.src, s, nil, time.Time{})
		if err != nil || b.Tip != want {
			t.Errorf("the tip is %s, %v; want %s", b.Tip, err, want)
		}
	}
	look(s.Commit)
	stop := w.hold(mirrors)
	for len(asked) > 0 {
		<-asked
	}
	tip := w.put("more", "apps/develop/other.yaml", "a: b\n")
	before := w.server.Requests()
	var waiting sync.WaitGroup
	for range n {
		waiting.Go(func() { look(tip) })
	}
	for range n {
		<-asked
	}
	stop()
	waiting.Wait()
	if got := w.server.Requests() - before; got == 0 || got >= n {
		t.Errorf("%d requests for %d who waited, want those of one fetch", got, n)
	}
	look(w.put("later", "apps/develop/other.yaml", "a: c\n"))
}

// What is only looked at may be a moment old, but never older than is said, and a commit that is not here is fetched.
func TestALookGoesByWhatWasFetchedSince(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.put("begin", "apps/develop/backend.yaml", deployment("develop", "backend", "ghcr.io/acme/backend:"+tag0, "develop:backend"))
	s := w.blame(query("ghcr.io/acme/backend:" + tag0))
	look := func(since time.Time, want string) {
		t.Helper()
		src := w.src
		src.Since = since
		if b, err := w.mirrors.Look(t.Context(), src, s, nil, time.Time{}); err != nil || b.Tip != want {
			t.Errorf("the tip is %s, %v; want %s", b.Tip, err, want)
		}
	}
	long := w.now.Add(-time.Hour)
	look(long, first)
	tip := w.put("more", "apps/develop/other.yaml", "a: b\n")
	before := w.server.Requests()
	look(long, first)
	if got := w.server.Requests() - before; got > 0 {
		t.Errorf("%d requests for what was fetched since", got)
	}
	src := w.src
	src.Since = long
	if has, err := w.mirrors.Contains(t.Context(), src, tip, first); err != nil || !has {
		t.Errorf("a commit that is not here holds the first: %v, %v", has, err)
	}
	later := w.put("later", "apps/develop/other.yaml", "a: c\n")
	look(w.now, later)
	latest := w.put("latest", "apps/develop/other.yaml", "a: d\n")
	look(time.Time{}, latest)
}
