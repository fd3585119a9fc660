package gitrepo

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
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

// The tip that hostile servers say they have.
var evilTip = strings.Repeat("a1", 20)

// advertise writes a list of references with one branch.
func advertise(w io.Writer) {
	line := evilTip + " refs/heads/main\x00 side-band-64k shallow ofs-delta no-progress\n"
	fmt.Fprintf(w, "001e# service=git-upload-pack\n0000%04x%s0000", len(line)+4, line)
}

// sends is a server that answers with a pack, given in parts until it says false or nobody listens any more.
func sends(part func(w io.Writer, n int) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			advertise(w)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "0034shallow %s00000008NAK\n", evilTip)
		var b bytes.Buffer
		for n := 0; r.Context().Err() == nil; n++ {
			more := part(&b, n)
			for b.Len() > 0 {
				piece := b.Next(65000)
				if _, err := fmt.Fprintf(w, "%04x\x01%s", len(piece)+5, piece); err != nil {
					return
				}
			}
			if !more {
				break
			}
		}
		_, _ = io.WriteString(w, "0000")
	}
}

func packHeader(w io.Writer, objects uint32) {
	_, _ = io.WriteString(w, "PACK")
	_ = binary.Write(w, binary.BigEndian, []uint32{2, objects})
}

// packEntry writes an object of a type with a size that it says.
func packEntry(w io.Writer, typ byte, size int64, base []byte, body func(io.Writer)) {
	first := typ<<4 | byte(size&0xf)
	size >>= 4
	for ; size > 0; size >>= 7 {
		_, _ = w.Write([]byte{first | 0x80})
		first = byte(size & 0x7f)
	}
	_, _ = w.Write(append([]byte{first}, base...))
	z, _ := deflaters.Get().(*zlib.Writer)
	defer deflaters.Put(z)
	z.Reset(w)
	body(z)
	_ = z.Close()
}

var deflaters = sync.Pool{New: func() any { return zlib.NewWriter(io.Discard) }}

func zeros(n int64) func(io.Writer) {
	return func(w io.Writer) {
		zero := make([]byte, 1<<20)
		for left := n; left > 0; left -= int64(len(zero)) {
			_, _ = w.Write(zero[:min(left, int64(len(zero)))])
		}
	}
}

// whole is a pack of objects with its checksum.
func whole(objects uint32, write func(io.Writer)) func(io.Writer, int) bool {
	return func(w io.Writer, _ int) bool {
		var b bytes.Buffer
		packHeader(&b, objects)
		write(&b)
		sum := sha1.Sum(b.Bytes())
		_, _ = w.Write(append(b.Bytes(), sum[:]...))
		return false
	}
}

// deltas is a blob, and deltas of it that are small and make a large one each.
func deltas(objects int, size int64) func(io.Writer, int) bool {
	return whole(uint32(objects), func(w io.Writer) {
		at := &counted{w: w, n: 12}
		packEntry(at, 3, size, nil, zeros(size))
		start := int64(12)
		for i := 1; i < objects; i++ {
			var d []byte
			d = binary.AppendUvarint(binary.AppendUvarint(d, uint64(size)), uint64(size))
			for left := size; left > 0; left -= 0xffff {
				n := min(left, 0xffff)
				d = append(d, 0x80|0x10|0x20, byte(n), byte(n>>8))
			}
			packEntry(at, 6, int64(len(d)), offsetOf(at.n-start), func(w io.Writer) { _, _ = w.Write(d) })
		}
	})
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

// offsetOf is how far back a delta's base is, as a pack has it.
func offsetOf(n int64) []byte {
	out := []byte{byte(n & 0x7f)}
	for n >>= 7; n > 0; n >>= 7 {
		n--
		out = append([]byte{byte(n&0x7f) | 0x80}, out...)
	}
	return out
}

type bomb struct {
	handler http.HandlerFunc
	want    reconcile.FaultKind
}

// bombs are what a server may do to whoever fetches from it: with so many objects, and as many bytes in one.
func bombs(objects int, bytes int64) map[string]bomb {
	noise := make([]byte, 48<<10)
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	large := reconcile.FaultTooLarge
	return map[string]bomb{
		"references without end": {func(w http.ResponseWriter, r *http.Request) {
			advertise(io.Discard)
			line := evilTip + " refs/heads/main\x00 side-band-64k\n"
			fmt.Fprintf(w, "001e# service=git-upload-pack\n0000%04x%s", len(line)+4, line)
			pad := strings.Repeat("x", 1000)
			for i := 0; r.Context().Err() == nil; i++ {
				l := fmt.Sprintf("%s refs/heads/%09d%s\n", evilTip, i, pad)
				if _, err := fmt.Fprintf(w, "%04x%s", len(l)+4, l); err != nil {
					return
				}
			}
		}, large},
		"shallow commits without end": {func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/info/refs") {
				advertise(w)
				return
			}
			for r.Context().Err() == nil {
				if _, err := fmt.Fprintf(w, "0034shallow %s", evilTip); err != nil {
					return
				}
			}
		}, large},
		"a small pack of a large blob": {sends(whole(1, func(w io.Writer) { packEntry(w, 3, bytes, nil, zeros(bytes)) })), large},
		"a blob that is larger than it says": {
			sends(whole(1, func(w io.Writer) { packEntry(w, 3, 100, nil, zeros(bytes)) })), "",
		},
		"a header that lies": {sends(func(w io.Writer, n int) bool {
			if n == 0 {
				packHeader(w, 0xffffffff)
			}
			packEntry(w, 3, 4, nil, func(w io.Writer) { _, _ = w.Write([]byte("x: y")) })
			return true
		}), large},
		"as many objects as are taken": {sends(whole(uint32(objects), func(w io.Writer) {
			for i := range objects {
				text := fmt.Sprintf("n: %d", i)
				packEntry(w, 3, int64(len(text)), nil, func(w io.Writer) { _, _ = io.WriteString(w, text) })
			}
		})), ""},
		"blobs as large as are taken": {sends(whole(4, func(w io.Writer) {
			for range 4 {
				packEntry(w, 3, wire.MaxInflated, nil, zeros(wire.MaxInflated))
			}
		})), ""},
		"small deltas that make large blobs": {sends(deltas(12, wire.MaxInflated)), ""},
		"a delta that makes too much":        {sends(deltas(2, wire.MaxInflated+1)), large},
		"a pack without end": {sends(func(w io.Writer, n int) bool {
			if n == 0 {
				packHeader(w, wire.MaxObjects)
			}
			binary.BigEndian.PutUint64(noise, uint64(n))
			packEntry(w, 3, int64(len(noise)), nil, func(z io.Writer) { _, _ = z.Write(noise) })
			return true
		}), large},
	}
}

// hostile is mirrors whose source is a server that means harm.
func hostile(t testing.TB, h http.HandlerFunc) (*Mirrors, reconcile.Source, *atomic.Int64) {
	requests := &atomic.Int64{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	m, err := New(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	src := reconcile.Source{URL: srv.URL + "/x.git", Branch: "main", Timeout: time.Minute}
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
			_, err := m.Holds(t.Context(), src, []reconcile.Root{{Path: "."}})
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
			_, err = m.Holds(t.Context(), src, []reconcile.Root{{Path: "."}})
			if kind := reconcile.KindOf(err); kind != b.want || requests.Load() != asked {
				t.Errorf("at once it gives %v of the kind %q with %d requests", err, kind, requests.Load()-asked)
			}
			src.Auth.Secret = map[string][]byte{"username": []byte("new"), "password": []byte("secret")}
			if _, err = m.Holds(t.Context(), src, []reconcile.Root{{Path: "."}}); requests.Load() == asked {
				t.Errorf("with another Secret it is not asked: %v", err)
			}
		})
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
	_, err := m.Holds(t.Context(), src, []reconcile.Root{{Path: "."}})
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
	w, _ := standard(t)
	w.filler(30)
	w.git("repack", "-adfq", "--depth=50")
	pack := w.glob(w.work, ".git/objects/pack/*.pack")[0]
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
	w.run(repo, "fsck", "--strict", w.git("rev-parse", "HEAD"))
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

func TestMirrorsKeepToTheirDisk(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	deleted := filepath.Join(w.dir, "00000000000000000000000000000000", "repo")
	if err := os.MkdirAll(deleted, 0o700); err != nil {
		t.Fatal(err)
	}
	w.overwrite(filepath.Join(deleted, "pack"), make([]byte, 1<<20))
	w.mirrors.options.MaxDisk = wire.MaxPack + 1<<19
	w.blame(query(repo + ":" + tag1))
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
	_, err := w.mirrors.Blame(t.Context(), second, query(repo+":"+tag1))
	if kind := reconcile.KindOf(err); kind != reconcile.FaultQuota || !strings.Contains(err.Error(), "give their volume more room") {
		t.Errorf("without room it gives %v of the kind %q", err, kind)
	}
	if sizeOf(first.dir) == 0 {
		t.Error("a mirror that is in use was removed")
	}
	first.release()
	w.mirrors.options.MaxDisk = wire.MaxPack
	if _, err := w.mirrors.Blame(t.Context(), second, query(repo+":"+tag1)); err != nil {
		t.Errorf("with room again it gives %v", err)
	}
	if sizeOf(first.dir) != 0 {
		t.Error("a mirror that nobody uses was not removed for one that is asked for")
	}
	w.blame(query(repo + ":" + tag1))
}

// BenchmarkBombs is the most memory that each of the bombs takes.
func BenchmarkBombs(b *testing.B) {
	for name, bomb := range bombs(wire.MaxObjects, 1<<30) {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			for b.Loop() {
				m, src, _ := hostile(b, bomb.handler)
				most := peakHeap(func() { _, _ = m.Holds(b.Context(), src, []reconcile.Root{{Path: "."}}) })
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
