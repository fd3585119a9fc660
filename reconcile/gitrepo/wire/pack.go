package wire

import (
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

const (
	// MaxObjects is how many objects a pack may hold: go-git keeps some hundred bytes of each while it makes the index.
	MaxObjects = 250_000
	// MaxInflated bounds one object. go-git holds a delta, its base and what comes out at the same time.
	MaxInflated = 24 << 20
	// maxInflatedSum bounds all objects together, which is what they cost in time.
	maxInflatedSum = 8 << 30
)

// packCheck reads a pack as it arrives and writes down what it read. go-git sees no pack with false contents, and none
// that grows beyond the limit.
type packCheck struct {
	ctx  context.Context
	from io.Reader
	out  io.Writer
	sum  hash.Hash
	zlib io.ReadCloser
	// buf holds what arrived: up to mark it is written down, up to at it is read.
	buf      []byte
	mark, at int
	total    int64
}

// Spool checks a pack and writes it to a file. It gives no objects for an empty pack.
func Spool(ctx context.Context, from io.Reader, to io.Writer) (objects uint32, err error) {
	p := &packCheck{ctx: ctx, from: from, out: to, buf: make([]byte, 0, 64<<10)}
	p.sum = sha1.New() //nolint:gosec // see above
	if err := p.fill(); errors.Is(err, io.EOF) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if objects, err = p.header(); err != nil {
		return 0, err
	}
	for range objects {
		if err := p.object(); err != nil {
			return 0, err
		}
	}
	if err := p.write(); err != nil {
		return 0, err
	}
	want := p.sum.Sum(nil)
	var got [20]byte
	if err := p.full(got[:]); err != nil {
		return 0, err
	}
	if string(want) != string(got[:]) {
		return 0, errors.New("the pack's checksum is wrong")
	}
	return objects, p.write()
}

// write writes down what was read.
func (p *packCheck) write() error {
	_, _ = p.sum.Write(p.buf[p.mark:p.at])
	_, err := p.out.Write(p.buf[p.mark:p.at])
	p.mark = p.at
	if err != nil {
		return fmt.Errorf("write the pack: %w", err)
	}
	return nil
}

// fill waits for more, once all is read.
func (p *packCheck) fill() error {
	if err := p.write(); err != nil {
		return err
	}
	p.mark, p.at = 0, 0
	for range 100 {
		n, err := p.from.Read(p.buf[:cap(p.buf)])
		p.buf = p.buf[:n]
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// ReadByte reads one byte. That it is there keeps zlib from reading ahead.
func (p *packCheck) ReadByte() (byte, error) {
	if p.at == len(p.buf) {
		if err := p.fill(); err != nil {
			return 0, err
		}
	}
	b := p.buf[p.at]
	p.at++
	return b, nil
}

// Read reads what is here.
func (p *packCheck) Read(b []byte) (int, error) {
	if p.at == len(p.buf) {
		if err := p.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.buf[p.at:])
	p.at += n
	return n, nil
}

func (p *packCheck) full(b []byte) error {
	_, err := io.ReadFull(p, b)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (p *packCheck) header() (uint32, error) {
	var head [12]byte
	if err := p.full(head[:]); err != nil {
		return 0, err
	}
	if string(head[:4]) != "PACK" || binary.BigEndian.Uint32(head[4:]) != 2 {
		return 0, errors.New("the server sends no pack of version 2")
	}
	n := binary.BigEndian.Uint32(head[8:])
	if n > MaxObjects {
		return 0, &boundError{fmt.Sprintf("a pack of %d objects", n), MaxObjects}
	}
	return n, nil
}

// object reads one entry: its header, the base of a delta, and the deflated content, which has to be as long as said.
func (p *packCheck) object() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	b, err := p.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	kind, size := plumbing.ObjectType(b>>4&7), int64(b&15)
	if size, err = p.varint(b, size, 4); err != nil {
		return err
	}
	switch kind {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
	case plumbing.OFSDeltaObject:
		if err := p.offset(); err != nil {
			return err
		}
	case plumbing.REFDeltaObject:
		var base [20]byte
		if err := p.full(base[:]); err != nil {
			return err
		}
	default:
		return fmt.Errorf("the pack holds an object of the unknown type %d", kind)
	}
	return p.content(kind.IsDelta(), size)
}

// varint reads the rest of a size of which the first byte was read.
func (p *packCheck) varint(b byte, size int64, shift uint) (int64, error) {
	for b&0x80 != 0 {
		var err error
		if b, err = p.ReadByte(); err != nil {
			return 0, unexpected(err)
		}
		size |= int64(b&0x7f) << shift
		if shift += 7; shift > 56 {
			return 0, &boundError{"an object of too many bytes", MaxInflated}
		}
	}
	return size, p.fits(size)
}

func (p *packCheck) fits(size int64) error {
	if size > MaxInflated {
		return &boundError{fmt.Sprintf("an object of %d bytes", size), MaxInflated}
	}
	if p.total += size; p.total > maxInflatedSum {
		return &boundError{"objects of too many bytes", maxInflatedSum}
	}
	return nil
}

// offset reads where the base of a delta is.
func (p *packCheck) offset() error {
	for range 10 {
		b, err := p.ReadByte()
		if err != nil {
			return unexpected(err)
		}
		if b&0x80 == 0 {
			return nil
		}
	}
	return errors.New("the pack holds a delta of a base that is too far away")
}

// content inflates and drops an object. A delta says first how long its base is and what comes out of it.
func (p *packCheck) content(delta bool, size int64) error {
	var err error
	if p.zlib == nil {
		p.zlib, err = zlib.NewReader(p)
	} else if reset, ok := p.zlib.(zlib.Resetter); ok {
		err = reset.Reset(p, nil)
	}
	if err != nil {
		return unexpected(err)
	}
	var head [20]byte
	n, err := io.ReadFull(p.zlib, head[:min(size, int64(len(head)))])
	if err != nil {
		return unexpected(err)
	}
	if delta {
		if err := p.delta(head[:n]); err != nil {
			return err
		}
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(p.zlib, size-int64(n)+1))
	if err != nil {
		return unexpected(err)
	}
	if rest != size-int64(n) {
		return fmt.Errorf("the pack holds an object that is not as long as it says: %d bytes", size)
	}
	return nil
}

// delta reads the two sizes at the start of a delta.
func (p *packCheck) delta(head []byte) error {
	for range 2 {
		size, n := binary.Uvarint(head)
		if n <= 0 || size > MaxInflated {
			return &boundError{fmt.Sprintf("a delta that makes %d bytes", size), MaxInflated}
		}
		if err := p.fits(int64(size)); err != nil {
			return err
		}
		head = head[n:]
	}
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ending ends reads with a context. go-git's parser knows none.
type ending struct {
	*os.File
	ctx context.Context
}

// Read reads from the file.
func (e *ending) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.File.Read(p)
}

// StorePack brings a pack into a repository: checked, with an index of its own, and as a whole or not at all. It says
// false for a pack without objects.
func StorePack(ctx context.Context, from io.Reader, repo string) (stored bool, err error) {
	dir := filepath.Join(repo, "objects", "pack")
	f, err := os.CreateTemp(dir, "tmp_pack_")
	if err != nil {
		return false, fmt.Errorf("make a file for the pack: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	objects, err := Spool(ctx, from, f)
	if err != nil || objects == 0 {
		return false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, fmt.Errorf("read the pack: %w", err)
	}
	made := new(idxfile.Writer)
	parser, err := packfile.NewParser(packfile.NewScanner(&ending{f, ctx}), made)
	if err != nil {
		return false, fmt.Errorf("index the pack: %w", err)
	}
	sum, err := parser.Parse()
	if err != nil {
		return false, fmt.Errorf("index the pack: %w", err)
	}
	index, err := made.Index()
	if err != nil {
		return false, fmt.Errorf("index the pack: %w", err)
	}
	name := filepath.Join(dir, "pack-"+sum.String())
	if err := os.Rename(f.Name(), name+".pack"); err != nil {
		return false, fmt.Errorf("keep the pack: %w", err)
	}
	return true, writeIndex(index, dir, name+".idx")
}

// writeIndex writes the index last: a pack without one is not looked at.
func writeIndex(index *idxfile.MemoryIndex, dir, name string) (err error) {
	f, err := os.CreateTemp(dir, "tmp_idx_")
	if err != nil {
		return fmt.Errorf("make a file for the index: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	if _, err := idxfile.NewEncoder(f).Encode(index); err != nil {
		return fmt.Errorf("write the index of the pack: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write the index of the pack: %w", err)
	}
	return os.Rename(f.Name(), name)
}
