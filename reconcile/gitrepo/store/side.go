package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
)

// Side is another branch of the repository that a mirror is of: that of a pull request.
type Side struct {
	mirror *Mirror
	to     *wire.Remote
	// asks go with each push.
	asks []string
}

// Aside opens the way to another branch of where a source pushes. The caller closes it.
func (m *Mirror) Aside(src reconcile.Source, branch string) (*Side, error) {
	target := Pushing(src)
	target.Branch = branch
	to, err := wire.Dial(target, m.now, m.dir)
	if err != nil {
		return nil, err
	}
	return &Side{mirror: m, to: to, asks: src.Asks}, nil
}

// Close ends the way to the branch.
func (s *Side) Close() { s.to.Close() }

// Name is the branch's, as sentences name it.
func (s *Side) Name() string { return s.to.Branch.Short() }

// URL is the repository's, as sentences name it.
func (s *Side) URL() string { return s.to.URL }

// Until tries until nobody else moves the branch meanwhile: once gives wire.ErrLost where somebody did.
func (s *Side) Until(ctx context.Context, once func() error) error {
	for try := range maxTries {
		err := once()
		if !errors.Is(err, wire.ErrLost) {
			return err
		}
		s.mirror.began = time.Time{}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
	return fmt.Errorf("push %s of %s: somebody else pushed first, %d times in a row", s.Name(), s.URL(), maxTries)
}

// Push puts a new head with what was built on the branch, if that is still as it was; old is the zero hash for a branch
// that is not there yet. Where the answer does not arrive the branch itself reports whether the push did: it is lost,
// and looked at anew.
func (s *Side) Push(ctx context.Context, b *Builder, old, head plumbing.Hash) error {
	u := b.update(old, head)
	u.Options = s.asks
	err := s.to.Push(ctx, u)
	if errors.Is(err, wire.ErrUnsure) {
		return fmt.Errorf("%w: %w", wire.ErrLost, err)
	}
	return err
}

// Head fetches the branch, and gives its newest commit; the zero hash where there is no such branch.
func (s *Side) Head(ctx context.Context) (plumbing.Hash, error) {
	m := s.mirror
	ctx, cancel := context.WithTimeout(ctx, s.to.Timeout)
	defer cancel()
	defer s.to.Settle()
	o, err := s.to.Open(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer func() { _ = o.Session.Close() }()
	if o.Tip.IsZero() || m.objects.has(o.Tip) {
		return o.Tip, nil
	}
	if _, err := m.pull(ctx, s.to, o.Session, m.more(o.Refs, o.Tip, 0), m.repo()); err != nil {
		return plumbing.ZeroHash, s.to.Failed(ctx, "fetch", err)
	}
	m.objects.alone(m.storage.Reindex)
	m.packs++
	return o.Tip, nil
}
