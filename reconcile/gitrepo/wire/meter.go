package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
)

// What is taken from any Git server in one operation, whoever chose it. go-git bounds none of it.
const (
	// maxAdvertised is how many bytes a list of references may have, and maxKept what may be kept of it: references are
	// dropped as they arrive, but for the branch that is asked for.
	maxAdvertised, maxKept = 64 << 20, 256 << 10
	// maxAnswer bounds what a server answers beside a pack.
	maxAnswer = 4 << 20
	// MaxPack bounds a pack in bytes.
	MaxPack = 384 << 20
)

// boundError is a server that sends more than is taken from any.
type boundError struct {
	what string
	max  int64
}

func (e *boundError) Error() string {
	return fmt.Sprintf("the server sends %s: at most %d are taken", e.what, e.max)
}

// meter is how many bytes may still arrive in an operation. It remembers what was too much, since go-git loses the
// chain of some errors.
type meter struct {
	left, max atomic.Int64
	tripped   atomic.Pointer[boundError]
}

// begin begins an operation.
func (m *meter) begin() {
	m.tripped.Store(nil)
	m.Allow(maxAnswer)
}

func (m *meter) Allow(n int64) {
	m.left.Store(n)
	m.max.Store(n)
}

func (m *meter) trip(what string, most int64) error {
	e := &boundError{what, most}
	m.tripped.Store(e)
	return e
}

// metered reads what the meter allows.
type metered struct {
	r     io.Reader
	meter *meter
}

// Read reads, and fails beyond the bound.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.meter.left.Add(-int64(n)) < 0 {
		return n, m.meter.trip("too many bytes", m.meter.max.Load())
	}
	return n, err
}

// advertised lets a list of references through, one packet at a time, without the references that are not asked for.
// Nothing is read beyond the packet that is given out.
type advertised struct {
	r      io.Reader
	branch string
	// of is a commit whose pull requests are let through too; empty for none.
	of    string
	meter *meter

	packet     []byte
	rest       []byte
	read, kept int64
	first      bool
}

// Read gives the rest of a packet.
func (a *advertised) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if err := a.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// next reads a packet, and keeps it in rest where it is let through.
func (a *advertised) next() error {
	var head [4]byte
	if _, err := io.ReadFull(a.r, head[:]); err != nil {
		return err
	}
	size, err := strconv.ParseUint(string(head[:]), 16, 16)
	if err != nil {
		a.rest = bytes.Clone(head[:])
		return nil //nolint:nilerr // no packet at all, which go-git complains of with these very bytes
	}
	a.packet = append(a.packet[:0], head[:]...)
	if size > 4 {
		a.packet = append(a.packet, make([]byte, size-4)...)
		if _, err := io.ReadFull(a.r, a.packet[4:]); err != nil {
			return err
		}
	}
	if a.read += int64(len(a.packet)); a.read > maxAdvertised {
		return a.meter.trip("a list of references of too many bytes", maxAdvertised)
	}
	if !a.wanted(a.packet[4:]) {
		return nil
	}
	if a.kept += int64(len(a.packet)); a.kept > maxKept {
		return a.meter.trip("too many bytes before its references", maxKept)
	}
	a.rest = a.packet
	return nil
}

// wanted reports whether a packet is let through: all but references of other names. The first reference is kept for
// what the server says of itself behind it.
func (a *advertised) wanted(line []byte) bool {
	hash, name, found := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(" "))
	if !found || len(hash) != 40 {
		return true
	}
	if _, err := hex.DecodeString(string(hash)); err != nil {
		return true
	}
	if first := !a.first; first {
		a.first = true
		return true
	}
	return string(name) == a.branch || a.of != "" && string(hash) == a.of && pullOf(string(name)) > 0
}

// pullOf is the number of the pull request that a reference stands for; zero for others.
func pullOf(ref string) int64 {
	for _, prefix := range []string{"refs/merge-requests/", "refs/pull/"} {
		digits, is := strings.CutPrefix(ref, prefix)
		if digits, head := strings.CutSuffix(digits, "/head"); is && head {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}
