package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// Fetch brings the tip of the branch here, and what is new before it. Where many wait for the mirror at once, one fetch
// serves all who asked before it began, and those whom what is a moment old will do.
func (m *Mirror) Fetch(ctx context.Context) error {
	if m.objects != nil && m.asked.Before(m.began) {
		return nil
	}
	began := m.now()
	err := m.update(ctx, func(tip plumbing.Hash) int {
		switch {
		case m.objects == nil:
			return cloneDepth
		case tip == m.tip:
			return 0
		}
		return cloneDepth
	})
	if err == nil {
		m.began = began
	}
	return err
}

// deepen brings older commits here. It says false when the mirror is as deep as it gets.
func (m *Mirror) deepen(ctx context.Context) (bool, error) {
	if len(m.shallow) == 0 || m.depth >= maxDepth {
		return false, nil
	}
	want := max(m.depth, cloneDepth) * deepenBy
	err := m.update(ctx, func(plumbing.Hash) int { return want })
	return err == nil, err
}

// update asks for the tip with as many commits as depth says; zero is nothing.
func (m *Mirror) update(ctx context.Context, depth func(tip plumbing.Hash) int) error {
	if err := m.rest.now(m.remote.Key, m.now()); err != nil {
		return err
	}
	err := m.ask(ctx, depth)
	m.rest.after(m.remote.Key, m.now(), err)
	return err
}

func (m *Mirror) ask(ctx context.Context, depth func(tip plumbing.Hash) int) error {
	ctx, cancel := context.WithTimeout(ctx, m.remote.Timeout)
	defer cancel()
	defer m.remote.Settle()
	o, err := m.remote.Ask(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = o.Session.Close() }()
	n := depth(o.Tip)
	if n == 0 {
		return nil
	}
	if m.objects == nil || m.refused >= maxRefused || m.packs >= maxPacks || m.full() {
		return m.cloneAfresh(ctx, o, n)
	}
	err = m.grow(ctx, o, n)
	if _, refused := reconcile.AsRefusal(err); err == nil || refused || ctx.Err() != nil {
		return err
	}
	// Some servers only serve clones. That is told from a fault by trying one.
	m.log.Warn("the server adds nothing to the mirror, cloning afresh", "url", m.remote.URL, "error", err.Error())
	again, aerr := m.remote.Ask(ctx)
	if aerr != nil {
		return err
	}
	defer func() { _ = again.Session.Close() }()
	if aerr := m.cloneAfresh(ctx, again, n); aerr != nil {
		return err
	}
	m.refused++
	return nil
}

// grow adds to what is here.
func (m *Mirror) grow(ctx context.Context, o *wire.Offer, depth int) error {
	req := m.more(o.Refs, o.Tip, depth)
	if len(req.Shallows) == 0 {
		// Everything behind the tip is here: what is new is all that is wanted.
		req.Depth = packp.DepthCommits(0)
	}
	update, err := m.pull(ctx, m.remote, o.Session, req, m.repo())
	if err != nil {
		return m.remote.Failed(ctx, "fetch", err)
	}
	m.objects.alone(m.storage.Reindex)
	m.packs++
	m.refused = 0
	gap := false
	for _, h := range update.Unshallows {
		delete(m.shallow, h)
	}
	for _, h := range update.Shallows {
		// The server names the edge of what was asked for; where more is here already, it is no edge.
		if c, err := m.objects.Commit(h); err == nil && !m.complete(c) {
			m.shallow[h], gap = true, true
		}
	}
	if gap || depth > m.depth {
		m.depth = depth
	}
	m.tip = o.Tip
	return m.save(m.repo(), m.state())
}

// complete reports whether all parents of a commit are here.
func (m *Mirror) complete(c *Commit) bool {
	for _, p := range c.Parents {
		if !m.objects.has(p) {
			return false
		}
	}
	return true
}

// more asks for a commit beside what is here.
func (m *Mirror) more(refs *packp.AdvRefs, want plumbing.Hash, depth int) *packp.UploadPackRequest {
	req := request(refs, want, depth)
	req.Haves = []plumbing.Hash{m.tip}
	for h := range m.shallow {
		req.Shallows = append(req.Shallows, h)
	}
	return req
}

// request asks for a commit with as many before it as depth says; zero is all that are not here.
func request(refs *packp.AdvRefs, want plumbing.Hash, depth int) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	req.Wants = []plumbing.Hash{want}
	if refs.Capabilities.Supports(capability.Shallow) {
		_ = req.Capabilities.Set(capability.Shallow)
		req.Depth = packp.DepthCommits(depth)
	}
	if refs.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	return req
}

// pull asks for a pack and stores it in a repository.
func (m *Mirror) pull(
	ctx context.Context, from *wire.Remote, s transport.UploadPackSession, req *packp.UploadPackRequest, repo string,
) (update packp.ShallowUpdate, err error) {
	room, err := m.room(m, repo)
	if err != nil {
		return update, err
	}
	res, err := s.UploadPack(ctx, req)
	if err != nil {
		return update, err
	}
	defer func() { err = errors.Join(err, res.Close()) }()
	from.Meter.Allow(room)
	var pack io.Reader = res
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, res)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, res)
	}
	arriving := &within{r: pack, over: m.over}
	if _, err := wire.StorePack(ctx, arriving, repo); err != nil {
		return update, fmt.Errorf("store the pack: %w", cmp.Or(arriving.err, err))
	}
	return res.ShallowUpdate, nil
}

// cloneAfresh replaces the mirror. What is here stays until the clone is whole.
func (m *Mirror) cloneAfresh(ctx context.Context, o *wire.Offer, depth int) error {
	tmp, err := os.MkdirTemp(m.dir, "clone-")
	if err != nil {
		return fmt.Errorf("make a folder for the clone: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	s, err := m.clone(ctx, o, tmp, depth)
	if _, refused := reconcile.AsRefusal(err); err != nil && !refused && ctx.Err() == nil && !m.acks {
		// Azure DevOps and CodeCommit turn clients away that do not claim a way of negotiating of which a clone makes no
		// use.
		m.acks = true
		again, aerr := m.remote.Ask(ctx)
		if aerr == nil {
			s, aerr = m.clone(ctx, again, tmp, depth)
			_ = again.Session.Close()
		}
		if m.acks = aerr == nil; m.acks {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	m.forget()
	if err := m.save(tmp, s); err != nil {
		return err
	}
	repo := m.repo()
	if err := os.RemoveAll(repo); err != nil {
		return fmt.Errorf("replace the mirror: %w", err)
	}
	if err := os.Rename(tmp, repo); err != nil {
		return fmt.Errorf("replace the mirror: %w", err)
	}
	m.open(repo, s)
	return nil
}

func (m *Mirror) clone(ctx context.Context, o *wire.Offer, dir string, depth int) (state, error) {
	if err := os.MkdirAll(filepath.Join(dir, "objects", "pack"), 0o700); err != nil {
		return state{}, fmt.Errorf("make a folder for the clone: %w", err)
	}
	req := request(o.Refs, o.Tip, depth)
	if m.acks {
		_ = req.Capabilities.Set(capability.MultiACKDetailed)
	}
	update, err := m.pull(ctx, m.remote, o.Session, req, dir)
	if err != nil {
		return state{}, m.remote.Failed(ctx, "clone", err)
	}
	storage := openStorage(dir)
	defer func() { _ = storage.Close() }()
	if err := storage.HasEncodedObject(o.Tip); err != nil {
		return state{}, fmt.Errorf("clone %s of %s: the server sent no commit %s", m.remote.Branch.Short(), m.remote.URL,
			text.Short(o.Tip.String()))
	}
	out := state{Of: m.of, Tip: o.Tip.String(), Depth: depth, Shallow: []string{}}
	for _, h := range update.Shallows {
		out.Shallow = append(out.Shallow, h.String())
	}
	return out, nil
}

// History of the branch at the tip that was fetched last.
func (m *Mirror) History() *History {
	h := &History{
		Objects: m.objects, Tip: m.tip,
		End: fmt.Sprintf("only the last %d commits of a branch are read", maxDepth),
	}
	h.deeper = func(ctx context.Context) (bool, error) {
		ok, err := m.deepen(ctx)
		h.Objects = m.objects
		return ok, err
	}
	return h
}

// full reports whether the mirror has no room to grow and has to be cloned afresh.
func (m *Mirror) full() bool { return m.objects != nil && sizeOf(m.repo()) >= maxMirror }

// Bring fetches unless all commits are here.
func (m *Mirror) Bring(ctx context.Context, commits ...plumbing.Hash) error {
	lacks := func(h plumbing.Hash) bool { return !m.objects.has(h) }
	if m.objects != nil && !slices.ContainsFunc(commits, lacks) {
		return nil
	}
	// What is a moment old lacks them.
	m.asked = m.used
	return m.Fetch(ctx)
}

// Contains reports whether a commit is reachable from another one, and fetches unless both are here.
func (m *Mirror) Contains(ctx context.Context, tip, commit plumbing.Hash) (bool, error) {
	if err := m.Bring(ctx, tip, commit); err != nil {
		return false, err
	}
	return m.History().Contains(ctx, tip, commit)
}

// Named gives the hash of a commit that is brought here; that of the tip, which is fetched, where none is named.
func (m *Mirror) Named(ctx context.Context, commit string) (plumbing.Hash, error) {
	if commit == "" {
		err := m.Fetch(ctx)
		return m.tip, err
	}
	at := plumbing.NewHash(commit)
	return at, m.Bring(ctx, at)
}
