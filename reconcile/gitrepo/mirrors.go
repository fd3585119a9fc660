package gitrepo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	fluxsign "github.com/fluxcd/pkg/git/signature"
	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Options of Mirrors and Local. The zero value works.
type Options struct {
	// Now is the clock; time.Now when nil. It dates commits and holds.
	Now func() time.Time
	// Log hears of what heals itself: mirrors cloned afresh, races lost. Nothing is logged when nil.
	Log *slog.Logger
	// AuthorName and AuthorEmail are used where a source names no author.
	AuthorName, AuthorEmail string
	// MaxDisk is how many bytes all mirrors together may take; 1.5 GiB when zero.
	MaxDisk int64
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.MaxDisk = cmp.Or(o.MaxDisk, maxDisk)
	o.AuthorName = cmp.Or(ident(o.AuthorName), "backstop")
	o.AuthorEmail = cmp.Or(ident(o.AuthorEmail), "backstop@localhost")
}

// draft is a commit in the source's author's name.
func (o *Options) draft(src reconcile.Source, message string, now time.Time, sign fluxsign.Signer) draft {
	return draft{
		name: cmp.Or(ident(src.AuthorName), o.AuthorName), email: cmp.Or(ident(src.AuthorEmail), o.AuthorEmail),
		when: now, message: message, signer: sign,
	}
}

// Mirrors is reconcile.Git on one bare repository for each branch of a GitRepository object that is asked for: image
// automation may check another one out than the object names. It may be used by many goroutines: each mirror serves one
// at a time, since go-git's repositories are not safe for concurrent reads.
type Mirrors struct {
	dir     string
	options Options
	mu      sync.Mutex
	mirrors map[mirrored]*mirror
	// born is when the process began to use the folder.
	born time.Time
	// quota lets one at a time look for room on the disk.
	quota sync.Mutex
}

var _ reconcile.Git = (*Mirrors)(nil)

// mirrored is what a mirror is of.
type mirrored struct {
	source types.NamespacedName
	branch string
}

// New keeps mirrors in a folder, which it makes. No other process may use the folder at the same time.
func New(dir string, o Options) (*Mirrors, error) {
	o.fill()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the mirrors: %w", err)
	}
	return &Mirrors{dir: dir, options: o, born: o.Now(), mirrors: map[mirrored]*mirror{}}, nil
}

// mirror finds a source's mirror. The folder's name is a hash: nothing that anybody chose becomes a path.
func (g *Mirrors) mirror(src reconcile.Source) *mirror {
	of := mirrored{src.Name, strings.TrimPrefix(src.Branch, "refs/heads/")}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.mirrors[of]
	if m == nil {
		sum := sha256.Sum256([]byte(of.source.Namespace + "/" + of.source.Name + "/" + of.branch))
		m = newMirror(filepath.Join(g.dir, hex.EncodeToString(sum[:16])), g.options.Log, g.options.Now)
		m.room = g.room
		g.mirrors[of] = m
	}
	return m
}

// with runs f on a source's mirror. A repository that turns out to be damaged is cloned again, once.
func (g *Mirrors) with(ctx context.Context, src reconcile.Source, f func(m *mirror) error) error {
	m := g.mirror(src)
	if err := m.acquire(ctx, src); err != nil {
		return err
	}
	defer m.release()
	err := f(m)
	if errors.Is(err, errCorrupt) && ctx.Err() == nil {
		g.options.Log.Warn("the mirror is damaged and is cloned afresh", "source", src.Name.String(), "error", err.Error())
		m.forget()
		if err := os.RemoveAll(m.repo()); err != nil {
			return fmt.Errorf("remove the damaged mirror of %s: %w", src.Name, err)
		}
		err = f(m)
	}
	return err
}

// Blame finds the commit that brought the image in.
func (g *Mirrors) Blame(ctx context.Context, src reconcile.Source, q reconcile.Query) (v1alpha1.Suspect, error) {
	var s v1alpha1.Suspect
	err := g.with(ctx, src, func(m *mirror) error {
		err := m.fetch(ctx)
		if err == nil {
			s, err = m.history().blame(ctx, q)
		}
		return err
	})
	if err != nil {
		return v1alpha1.Suspect{}, err
	}
	s.Source = v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: src.Name.Namespace, Name: src.Name.Name}
	s.Branch, s.Applier = src.Branch, q.Root.By
	return s, nil
}

// Former lists what the suspect's nodes held before, newest first, at most max.
func (g *Mirrors) Former(ctx context.Context, src reconcile.Source, s v1alpha1.Suspect,
	max int) ([]reconcile.Former, error) {
	var out []reconcile.Former
	err := g.with(ctx, src, func(m *mirror) error {
		var err error
		if m.objects == nil || !m.objects.has(plumbing.NewHash(s.Commit)) {
			if err = m.fetch(ctx); err != nil {
				return err
			}
		}
		out, err = m.history().former(ctx, s, max)
		return err
	})
	return out, err
}

// Look fetches and describes the tip as seen from the suspect; since reaches further back for Trails.
func (g *Mirrors) Look(ctx context.Context, src reconcile.Source, s v1alpha1.Suspect, t *v1alpha1.Target,
	since time.Time) (reconcile.Branch, error) {
	var b reconcile.Branch
	err := g.with(ctx, src, func(m *mirror) error {
		err := m.fetch(ctx)
		if err == nil {
			b, err = m.history().look(ctx, s, t, since)
		}
		return err
	})
	return b, err
}

// Land pushes the reverts, as many as are permitted on one tip in one push, and answers for each by index.
func (g *Mirrors) Land(ctx context.Context, src reconcile.Source,
	reverts []reconcile.Revert) ([]reconcile.Landing, error) {
	var out []reconcile.Landing
	err := g.with(ctx, src, func(m *mirror) error {
		var err error
		out, err = m.land(ctx, src, reverts, &g.options)
		return err
	})
	return out, err
}

// Holds lists the holds below the roots at the tip.
func (g *Mirrors) Holds(ctx context.Context, src reconcile.Source, roots []reconcile.Root) ([]reconcile.Hold, error) {
	var out []reconcile.Hold
	err := g.with(ctx, src, func(m *mirror) error {
		err := m.fetch(ctx)
		if err == nil {
			out, err = m.history().holds(ctx, roots)
		}
		return err
	})
	return out, err
}

// Lift takes holds away in one push, and gives the commit; none where there is no such hold any more.
func (g *Mirrors) Lift(ctx context.Context, src reconcile.Source, l reconcile.Lift) (string, error) {
	may := pushable
	if l.Onto != "" {
		may = writable
	}
	sign, err := may(src)
	if err != nil {
		return "", err
	}
	if l.Permit == nil {
		l.Permit = func() error { return nil }
	}
	p := &proposing{src: src, options: &g.options, sign: sign}
	var commit plumbing.Hash
	err = g.with(ctx, src, func(m *mirror) error {
		p.mirror = m
		if l.Onto != "" {
			commit, err = p.liftOnto(ctx, l)
			return err
		}
		return m.attempt(ctx, func(h *history, b *builder) (plumbing.Hash, error) {
			var err error
			if commit, err = p.lifted(ctx, h, b, l); commit.IsZero() || err != nil {
				return plumbing.ZeroHash, err
			}
			return commit, l.Permit()
		}, l.Permit)
	})
	if err != nil || commit.IsZero() {
		return "", err
	}
	return commit.String(), nil
}

// Contains says whether a commit is reachable from another one that the source knows.
func (g *Mirrors) Contains(ctx context.Context, src reconcile.Source, tip, commit string) (bool, error) {
	from, to := plumbing.NewHash(tip), plumbing.NewHash(commit)
	var out bool
	err := g.with(ctx, src, func(m *mirror) error {
		if m.objects == nil || !m.objects.has(from) || !m.objects.has(to) {
			if err := m.fetch(ctx); err != nil {
				return err
			}
		}
		var err error
		out, err = m.history().contains(ctx, from, to)
		return err
	})
	return out, err
}
