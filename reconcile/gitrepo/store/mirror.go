package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

const (
	// cloneDepth is how many commits a new mirror holds.
	cloneDepth = 50
	// deepenBy is the factor by which a mirror grows when a walk needs more.
	deepenBy = 4
	// maxDepth is where growing ends: the commits of an image that failed today are not that old, and the memory of
	// fetching them would be felt.
	maxDepth = cloneDepth * deepenBy * deepenBy * deepenBy * deepenBy
	// maxPacks is how many packs a mirror may gather before it is cloned afresh: every lookup asks all of them.
	maxPacks = 64
	// cacheSize bounds the memory for objects that others are deltas of.
	cacheSize = 16 * cache.MiByte
	// maxMirror is how many bytes one mirror may take before it is cloned afresh.
	maxMirror = 512 << 20
	// maxRefused is how many fetches in a row may fail where a clone works, before only clones are asked for.
	maxRefused = 2
	// stateFile holds what the mirror knows about itself. It is written last and replaced as a whole: a clone that was
	// killed halfway has none, a fetch that was killed halfway leaves the old one.
	stateFile = "mirror.json"
)

// state is what stateFile holds.
type state struct {
	// Of is a hash of URL and branch: a mirror of something else is thrown away.
	Of string `json:"of"`
	// Tip of the branch when it was fetched last.
	Tip string `json:"tip"`
	// Depth that was asked for last; 0 is everything.
	Depth int `json:"depth"`
	// Shallow are the commits whose parents are not here.
	Shallow []string `json:"shallow"`
}

// Mirror is one source's repository on disk. Everything but the lock is used only by who holds it.
type Mirror struct {
	dir  string
	log  *slog.Logger
	now  func() time.Time
	lock chan struct{}

	// remote is the way to read, and out the way to push; they are one where the source itself pushes.
	remote, out *wire.Remote
	storage     *filesystem.Storage
	objects     *Objects
	of          string
	tip         plumbing.Hash
	depth       int
	shallow     map[plumbing.Hash]bool
	packs       int
	// asked is since when the server has to have been looked at for who holds the mirror: when they asked for it, or a
	// moment before, where that will do. began is when the last look at the server began that worked.
	asked, began time.Time
	// refused counts fetches in a row that failed where a clone then worked. acks says that the server insists on a
	// capability which does not matter for a clone.
	refused int
	acks    bool
	// room is how many bytes a pack may bring into a folder of this mirror.
	room func(m *Mirror, dir string) (int64, error)
	// over refuses where all mirrors together take more than they may.
	over func() error
	rest rest
	// used is when it was asked for last.
	used time.Time
}

func newMirror(dir string, log *slog.Logger, now func() time.Time) *Mirror {
	return &Mirror{
		dir: dir, log: log, now: now, lock: make(chan struct{}, 1),
		room: func(*Mirror, string) (int64, error) { return wire.MaxPack, nil },
		over: func() error { return nil },
	}
}

// acquire waits for the mirror, and makes it ready for a source as it is described now.
func (m *Mirror) acquire(ctx context.Context, src reconcile.Source) error {
	asked := m.now()
	select {
	case m.lock <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for the mirror of %s: %w", src.Name, ctx.Err())
	}
	if err := m.prepare(src); err != nil {
		m.release()
		return err
	}
	m.asked, m.used = asked, asked
	if !src.Since.IsZero() && src.Since.Before(asked) {
		m.asked = src.Since
	}
	return nil
}

func (m *Mirror) release() { <-m.lock }

func (m *Mirror) prepare(src reconcile.Source) error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the mirror of %s: %w", src.Name, err)
	}
	if m.remote == nil || m.remote.Key != wire.RemoteKey(src) {
		r, err := wire.Dial(src, m.now, m.dir)
		if err != nil {
			return err
		}
		if m.remote != nil {
			m.remote.Close()
		}
		if !m.apart() {
			m.out = nil
		}
		m.remote, m.began = r, time.Time{}
	}
	if err := m.preparePush(src); err != nil {
		return err
	}
	of := identity(src)
	if m.objects != nil && m.of == of {
		return nil
	}
	m.forget()
	m.of = of
	if err := m.reopen(); err != nil {
		m.log.Info("the mirror is cloned afresh", "source", src.Name.String(), "why", err.Error())
		m.forget()
	}
	return nil
}

// preparePush makes the way to push ready, which is another one than to read where another GitRepository pushes.
func (m *Mirror) preparePush(src reconcile.Source) error {
	if m.apart() && (src.Push == nil || m.out.Key != wire.RemoteKey(Pushing(src))) {
		m.out.Close()
		m.out = nil
	}
	switch {
	case src.Push == nil:
		m.out = m.remote
	case !m.apart():
		r, err := wire.Dial(Pushing(src), m.now, m.dir)
		if err != nil {
			return err
		}
		m.out = r
	}
	return nil
}

// apart reports whether another GitRepository pushes than is read.
func (m *Mirror) apart() bool { return m.out != nil && m.out != m.remote }

// Pushing is the source as whoever pushes describes it.
func Pushing(src reconcile.Source) reconcile.Source {
	if p := src.Push; p != nil {
		src.Name, src.URL, src.Timeout, src.Auth = p.Name, p.URL, p.Timeout, p.Auth
	}
	return src
}

// identity is a hash of what the mirror mirrors. Credentials in the URL are no part of it.
func identity(src reconcile.Source) string {
	sum := sha256.Sum256([]byte(wire.WithoutUser(src.URL) + "\x00" + wire.BranchRef(src.Branch).String()))
	return hex.EncodeToString(sum[:])
}

// repo is the folder of the repository.
func (m *Mirror) repo() string { return filepath.Join(m.dir, "repo") }

// forget closes what is open. The next fetch clones.
func (m *Mirror) forget() {
	if m.storage != nil {
		m.objects.alone(func() { _ = m.storage.Close() })
	}
	m.storage, m.objects, m.shallow, m.depth, m.packs = nil, nil, nil, 0, 0
	m.tip, m.began = plumbing.ZeroHash, time.Time{}
}

// reopen opens what an earlier process left.
func (m *Mirror) reopen() error {
	// What a killed process was about to write.
	for _, pattern := range []string{"clone-*", "known_hosts-*", "repo/objects/pack/tmp_*", "repo/objects/??/tmp_*"} {
		left, err := filepath.Glob(filepath.Join(m.dir, pattern))
		if err != nil {
			return fmt.Errorf("list what was left: %w", err)
		}
		for _, path := range left {
			_ = os.RemoveAll(path)
		}
	}
	raw, err := os.ReadFile(filepath.Join(m.repo(), stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no state is kept yet")
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", stateFile, err)
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read %s: %w", stateFile, err)
	}
	if s.Of != m.of {
		return errors.New("it is a mirror of another URL or branch")
	}
	m.open(m.repo(), s)
	if _, err := m.objects.Commit(m.tip); err != nil {
		return err
	}
	return nil
}

// open takes a folder of objects into use.
func (m *Mirror) open(dir string, s state) {
	m.storage = openStorage(dir)
	m.objects = newObjects(m.storage)
	m.tip, m.depth, m.shallow = plumbing.NewHash(s.Tip), s.Depth, map[plumbing.Hash]bool{}
	for _, h := range s.Shallow {
		m.shallow[plumbing.NewHash(h)] = true
	}
	packs, _ := filepath.Glob(filepath.Join(dir, "objects", "pack", "*.pack"))
	m.packs = len(packs)
}

func openStorage(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(cacheSize),
		filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: manifest.MaxFileSize})
}

func (m *Mirror) state() state {
	s := state{Of: m.of, Tip: m.tip.String(), Depth: m.depth, Shallow: []string{}}
	for h := range m.shallow {
		s.Shallow = append(s.Shallow, h.String())
	}
	slices.Sort(s.Shallow)
	return s
}

// save writes the state, as a whole or not at all.
func (m *Mirror) save(dir string, s state) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode %s: %w", stateFile, err)
	}
	tmp := filepath.Join(dir, stateFile+".tmp")
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	return nil
}

// TakesPushes asks the server, without pushing anything, whether it takes pushes to the branch.
func (m *Mirror) TakesPushes(ctx context.Context) error { return m.out.TakesPushes(ctx) }

// sizeOf is how many bytes the files below a folder have.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // what is gone meanwhile has no size
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}
