package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// hostile is mirrors whose source is a server that means harm.
func hostile(t testing.TB, h http.HandlerFunc) (*Mirrors, reconcile.Source, *atomic.Int64) {
	requests := &atomic.Int64{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	m, err := New(t.TempDir(), Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	src := reconcile.Source{URL: srv.URL + "/x.git", Branch: "main", Timeout: 5 * time.Minute}
	src.Name.Namespace, src.Name.Name = "team-a", "evil"
	return m, src, requests
}

func TestNoServerSendsMoreThanIsTaken(t *testing.T) {
	for name, b := range bombs(1000, 40<<20) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, src, requests := hostile(t, b.handler)
			// Less than is taken otherwise, so that it is sent soon.
			m.options.MaxDisk = 8 << 20
			err := fetch(t, m, src)
			if kind := reconcile.KindOf(err); err == nil || kind != b.want {
				t.Fatalf("it gives %v of the kind %q, want %q", err, kind, b.want)
			}
			if n := sizeOf(m.dir); n > 0 {
				t.Errorf("%d bytes are left on the disk", n)
			}
			if b.want != reconcile.FaultTooLarge {
				return
			}
			// It is left alone now, until what it is reached by changes.
			asked := requests.Load()
			err = fetch(t, m, src)
			if kind := reconcile.KindOf(err); kind != b.want || requests.Load() != asked {
				t.Errorf("at once it gives %v of the kind %q with %d requests", err, kind, requests.Load()-asked)
			}
			src.Auth.Secret = map[string][]byte{"username": []byte("new"), "password": []byte("secret")}
			if err = fetch(t, m, src); requests.Load() == asked {
				t.Errorf("with another Secret it is not asked: %v", err)
			}
		})
	}
}

// What is room for one is not for two that arrive together.
func TestTwoSourcesAtOnceKeepToTheDisk(t *testing.T) {
	t.Parallel()
	const most = 16 << 20
	var peak atomic.Int64
	var m *Mirrors
	turn, gone := make(chan struct{}), [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	var of [2]reconcile.Source
	for i := range of {
		noise := make([]byte, 48<<10)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(noise)
		over := sync.OnceFunc(func() { close(gone[i]) })
		endless := sends(func(w io.Writer, n int) bool {
			if n == 0 {
				packHeader(w, wire.MaxObjects)
			}
			// Neither is ahead of the other.
			if i == 0 {
				select {
				case turn <- struct{}{}:
				case <-gone[1]:
				}
			} else {
				select {
				case <-turn:
				case <-gone[0]:
				}
			}
			binary.BigEndian.PutUint64(noise, uint64(n))
			packEntry(w, 3, int64(len(noise)), nil, func(z io.Writer) { _, _ = z.Write(noise) })
			if now := sizeOf(m.dir); now > peak.Load() {
				peak.Store(now)
			}
			return true
		})
		var first *Mirrors
		first, of[i], _ = hostile(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/info/refs") {
				defer over()
			}
			endless(w, r)
		})
		m = cmp.Or(m, first)
		of[i].Name.Name = fmt.Sprint("evil-", i)
	}
	m.options.MaxDisk = most
	var both sync.WaitGroup
	for _, src := range of {
		both.Go(func() {
			err := fetch(t, m, src)
			if kind := reconcile.KindOf(err); kind != reconcile.FaultQuota && kind != reconcile.FaultTooLarge {
				t.Errorf("it gives %v of the kind %q", err, kind)
			}
		})
	}
	both.Wait()
	if got := peak.Load(); got > most+2*askEach+1<<20 || got < most/2 {
		t.Errorf("at most %d bytes were on the disk, of %d that may be", got, most)
	}
	if n := sizeOf(m.dir); n > 0 {
		t.Errorf("%d bytes are left on the disk", n)
	}
}

func TestAServerThatDripsIsLeft(t *testing.T) {
	t.Parallel()
	m, src, _ := hostile(t, sends(func(w io.Writer, n int) bool {
		if n == 0 {
			packHeader(w, 100)
		}
		packEntry(w, 3, 4, nil, func(w io.Writer) { _, _ = w.Write([]byte("x: y")) })
		time.Sleep(20 * time.Millisecond)
		return true
	}))
	src.Timeout = 200 * time.Millisecond
	err := fetch(t, m, src)
	if err == nil || !strings.Contains(err.Error(), "no answer within 200ms") {
		t.Errorf("it gives %v", err)
	}
	src.Timeout = 10_000 * time.Minute
	r, err := wire.Dial(src, time.Now, t.TempDir())
	if err != nil || r.Timeout != wire.MaxTimeout {
		t.Errorf("a source may hold a mirror for %v, %v", r, err)
	}
}

func TestAPackThatIsTakenIsWhatGitMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commits(30)
	w.git("repack", "-adfq", "--depth=50")
	pack := w.glob(w.bare, "objects/pack/*.pack")[0]
	f, err := os.Open(pack)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	repo := filepath.Join(t.TempDir(), "repo.git")
	w.run(t.TempDir(), "init", "--quiet", "--bare", repo)
	if stored, err := wire.StorePack(t.Context(), f, repo); err != nil || !stored {
		t.Fatalf("stored: %v, %v", stored, err)
	}
	got := w.glob(repo, "objects/pack/*.pack")
	if len(got) != 1 || filepath.Base(got[0]) != filepath.Base(pack) {
		t.Errorf("packs %v, want %s", got, filepath.Base(pack))
	}
	w.run(repo, "verify-pack", got[0])
	w.run(repo, "fsck", "--strict", w.git("rev-parse", "main"))
	if left := w.glob(repo, "objects/pack/tmp_*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzPackThatIsTaken(f *testing.F) {
	var b bytes.Buffer
	deltas(3, 1000)(&b, 0)
	f.Add(b.Bytes())
	f.Add([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		n, err := wire.Spool(t.Context(), bytes.NewReader(data), &out)
		if err == nil && n > 0 && !bytes.HasPrefix(data, out.Bytes()) {
			t.Errorf("what was written is not what arrived")
		}
	})
}

// BenchmarkBombs is the most memory that each of the bombs takes.
func BenchmarkBombs(b *testing.B) {
	for name, bomb := range bombs(wire.MaxObjects, 1<<30) {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			for b.Loop() {
				m, src, _ := hostile(b, bomb.handler)
				most := peakHeap(func() { _ = fetch(b, m, src) })
				b.ReportMetric(most, "peak-MB")
				if most > 200 {
					b.Errorf("%.0f MB", most)
				}
			}
		})
	}
}

// peakHeap is the most that the heap grows by while something runs, in MB. The server is part of it.
func peakHeap(run func()) float64 {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, done := make(chan struct{}), make(chan struct{})
	var most uint64
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	run()
	close(stop)
	<-done
	return (float64(most) - float64(before.HeapInuse)) / 1e6
}
