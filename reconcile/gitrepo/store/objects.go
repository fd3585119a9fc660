package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Content reads a file; false says that it is too large to be read.
func (o *Objects) Content(blob plumbing.Hash) ([]byte, bool, error) {
	data, err := o.Blob(blob, manifest.MaxFileSize)
	if errors.Is(err, manifest.ErrTooLarge) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// Has reports whether an object is here.
func (o *Objects) Has(h plumbing.Hash) bool {
	o.mu.Lock()
	err := o.db.HasEncodedObject(h)
	o.mu.Unlock()
	return err == nil || o.below != nil && o.below.Has(h)
}

// ErrCorrupt means that the repository on disk lacks or garbles an object that must be there.
var ErrCorrupt = errors.New("the repository on disk is damaged")

// errNoCommit means that a commit is not here: beyond the shallow edge, or of another history.
var errNoCommit = errors.New("no such commit here")

// Objects reads commits, trees and blobs as raw bytes. It may be used by many goroutines, although go-git's
// repositories may not: one goroutine at a time gets at go-git, and what it gives is copied before the next one does.
// What a hash names never changes, so nobody can read half of anything.
type Objects struct {
	// mu guards all below. Nothing but what go-git does to the repository is done under it.
	mu sync.Mutex
	db storer.EncodedObjectStorer
	// below is what is read where db does not have it; nil for nothing.
	below *Objects
	// trees keeps the raw trees that were read last: neighbouring commits share most of them.
	trees map[plumbing.Hash][]byte
}

func newObjects(db storer.EncodedObjectStorer) *Objects {
	return &Objects{db: db, trees: map[plumbing.Hash][]byte{}}
}

// alone has a change made to the repository while nobody reads it: snapshots are read by whoever has one, without the
// mirror's lock, and go-git's index of the packs is no reader's own.
func (o *Objects) alone(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// maxTrees bounds the memory of objects.trees.
const maxTrees = 64

// maxObject bounds a commit or tree in bytes; git itself makes none that come near.
const maxObject = 64 << 20

// Commit is what the walks need of a commit.
type Commit struct {
	// Hash is the commit's own, and tree that of its files.
	Hash, Tree plumbing.Hash
	// Parents are the commits that it came from.
	Parents []plumbing.Hash
	// When is the committer's time.
	When time.Time
	// Author as the commit names him, with the address; data.
	Author string
	// Message as written, without the header; data.
	Message string
}

// Parent is the first parent; the zero hash for a root.
func (c *Commit) Parent() plumbing.Hash {
	if len(c.Parents) == 0 {
		return plumbing.ZeroHash
	}
	return c.Parents[0]
}

// Entry is a name in a tree.
type Entry struct {
	// Mode describes what kind of entry it is.
	Mode filemode.FileMode
	// Hash of the blob, the tree or the commit.
	Hash plumbing.Hash
}

// Regular reports whether the entry is a plain file: no tree, link or submodule.
func (e Entry) Regular() bool {
	return e.Mode == filemode.Regular || e.Mode == filemode.Executable || e.Mode == filemode.Deprecated
}

// read gives an object's content; max bounds its size in bytes.
func (o *Objects) read(t plumbing.ObjectType, h plumbing.Hash, max int64) (data []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.readLocked(t, h, max)
}

func (o *Objects) readLocked(t plumbing.ObjectType, h plumbing.Hash, max int64) (data []byte, err error) {
	obj, err := o.db.EncodedObject(t, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) && o.below != nil {
		return o.below.read(t, h, max)
	}
	if err != nil {
		return nil, err
	}
	if obj.Size() > max {
		return nil, fmt.Errorf("it has %d bytes: %w", obj.Size(), manifest.ErrTooLarge)
	}
	r, err := obj.Reader()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data = make([]byte, obj.Size())
	if _, err = io.ReadFull(r, data); err != nil {
		return nil, err
	}
	return data, nil
}

// Commit reads a commit. It wraps errNoCommit if the commit is absent.
func (o *Objects) Commit(h plumbing.Hash) (*Commit, error) {
	raw, err := o.read(plumbing.CommitObject, h, maxObject)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, fmt.Errorf("read commit %s: %w", h, errNoCommit)
	}
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w: %w", h, ErrCorrupt, err)
	}
	c, err := parseCommit(raw)
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", h, err)
	}
	c.Hash = h
	return c, nil
}

// has reports whether a commit is here.
func (o *Objects) has(h plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.db.HasEncodedObject(h) == nil
}

// size is how many bytes a blob has; zero for one that is not here.
func (o *Objects) size(h plumbing.Hash) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	obj, err := o.db.EncodedObject(plumbing.BlobObject, h)
	switch {
	case err == nil:
		return obj.Size()
	case o.below != nil:
		return o.below.size(h)
	}
	return 0
}

// parseCommit reads the header lines that matter and the message. Signatures and unknown headers are passed over.
func parseCommit(raw []byte) (*Commit, error) {
	c := &Commit{When: time.Unix(0, 0).UTC()}
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		raw = rest
		if len(line) == 0 {
			c.Message = string(raw)
			break
		}
		key, value, _ := bytes.Cut(line, []byte(" "))
		switch string(key) {
		case "tree":
			c.Tree = plumbing.NewHash(string(value))
		case "parent":
			c.Parents = append(c.Parents, plumbing.NewHash(string(value)))
		case "author":
			c.Author, _ = parseIdent(value)
		case "committer":
			_, c.When = parseIdent(value)
		}
	}
	if c.Tree.IsZero() {
		return nil, fmt.Errorf("%w: a commit without a tree", ErrCorrupt)
	}
	return c, nil
}

// parseIdent cuts "name <address> seconds zone". A time that cannot be read, or is
// thousands of years away, is the epoch: such commits exist.
func parseIdent(value []byte) (who string, when time.Time) {
	when = time.Unix(0, 0).UTC()
	end := bytes.LastIndexByte(value, '>')
	if end < 0 {
		return string(value), when
	}
	who = string(value[:end+1])
	seconds, _, _ := bytes.Cut(bytes.TrimSpace(value[end+1:]), []byte(" "))
	if n, err := strconv.ParseInt(string(seconds), 10, 64); err == nil && n > 0 && n < 1<<37 {
		when = time.Unix(n, 0).UTC()
	}
	return who, when
}

// tree gives the raw bytes of a tree. Nobody may write to them.
func (o *Objects) tree(h plumbing.Hash) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if raw, ok := o.trees[h]; ok {
		return raw, nil
	}
	raw, err := o.readLocked(plumbing.TreeObject, h, maxObject)
	if err != nil {
		return nil, fmt.Errorf("read tree %s: %w: %w", h, ErrCorrupt, err)
	}
	if len(o.trees) >= maxTrees {
		clear(o.trees)
	}
	o.trees[h] = raw
	return raw, nil
}

// Blob gives the content of a file; max bounds its size in bytes.
func (o *Objects) Blob(h plumbing.Hash, max int64) ([]byte, error) {
	raw, err := o.read(plumbing.BlobObject, h, max)
	switch {
	case errors.Is(err, manifest.ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("read blob %s: %w: %w", h, ErrCorrupt, err)
	}
	return raw, nil
}

// nextEntry cuts the first entry off raw tree bytes. It says false at the end, and where the bytes are no tree.
func nextEntry(raw []byte) (name []byte, e Entry, rest []byte, ok bool) {
	sp := modeLength(raw)
	nul := bytes.IndexByte(raw, 0)
	if sp == 0 || nul < sp+2 || len(raw) < nul+21 {
		return nil, Entry{}, nil, false
	}
	for _, d := range raw[:sp] {
		e.Mode = e.Mode<<3 | filemode.FileMode(d-'0')
	}
	copy(e.Hash[:], raw[nul+1:])
	return raw[sp+1 : nul], e, raw[nul+21:], true
}

// modeLength is how many octal digits stand before the blank: five or six; zero where there is no mode.
func modeLength(raw []byte) int {
	for i, d := range raw[:min(len(raw), 7)] {
		if d == ' ' && i >= 5 {
			return i
		}
		if d < '0' || d > '7' {
			return 0
		}
	}
	return 0
}

// find looks one name up in raw tree bytes. Most of a walk's time is spent here.
func find(raw []byte, name string) (Entry, bool) {
	for {
		sp := modeLength(raw)
		nul := bytes.IndexByte(raw, 0)
		if sp == 0 || nul < sp+2 || len(raw) < nul+21 {
			return Entry{}, false
		}
		if string(raw[sp+1:nul]) == name {
			_, e, _, ok := nextEntry(raw)
			return e, ok
		}
		raw = raw[nul+21:]
	}
}
