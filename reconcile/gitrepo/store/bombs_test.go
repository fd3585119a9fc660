package store

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

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
