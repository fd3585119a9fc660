package store

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

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/reconcile"
)

// maxDisk is how many bytes all mirrors may take where nothing else is said.
const maxDisk = 1536 << 20

// Options of mirrors.
type Options struct {
	// Now is the clock.
	Now func() time.Time
	// Log hears of what heals itself: mirrors cloned afresh, races lost.
	Log *slog.Logger
	// MaxDisk is how many bytes all mirrors together may take; 1.5 GiB when zero.
	MaxDisk int64
	// Tenant names whose a namespace is; nil has each be a tenant of its own.
	Tenant func(namespace string) string
}

// Mirrors are bare repositories in one folder, one for each branch of a GitRepository object that is asked for: image
// automation may check another one out than the object names. They may be used by many goroutines: each mirror serves
// one at a time, since go-git's repositories are not safe for concurrent reads.
type Mirrors struct {
	dir     string
	options Options
	mu      sync.Mutex
	mirrors map[mirrored]*Mirror
	// born is when the process began to use the folder.
	born time.Time
	// quota lets one at a time look for room on the disk.
	quota sync.Mutex
}

// mirrored is what a mirror is of.
type mirrored struct {
	source types.NamespacedName
	branch string
}

// New keeps mirrors in a folder, which it makes. No other process may use the folder at the same time.
func New(dir string, o Options) (*Mirrors, error) {
	o.MaxDisk = cmp.Or(o.MaxDisk, maxDisk)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the mirrors: %w", err)
	}
	return &Mirrors{dir: dir, options: o, born: o.Now(), mirrors: map[mirrored]*Mirror{}}, nil
}

// mirror finds a source's mirror. The folder's name is a hash: nothing that anybody chose becomes a path.
func (g *Mirrors) mirror(src reconcile.Source) *Mirror {
	of := mirrored{src.Name, strings.TrimPrefix(src.Branch, "refs/heads/")}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.mirrors[of]
	if m == nil {
		sum := sha256.Sum256([]byte(of.source.Namespace + "/" + of.source.Name + "/" + of.branch))
		m = newMirror(filepath.Join(g.dir, hex.EncodeToString(sum[:16])), g.options.Log, g.options.Now)
		m.room, m.over = g.room, g.over
		g.mirrors[of] = m
	}
	return m
}

// With runs f on a source's mirror. A repository that turns out to be damaged is cloned again, once.
func (g *Mirrors) With(ctx context.Context, src reconcile.Source, f func(m *Mirror) error) error {
	m := g.mirror(src)
	if err := m.acquire(ctx, src); err != nil {
		return err
	}
	defer m.release()
	err := f(m)
	if errors.Is(err, ErrCorrupt) && ctx.Err() == nil {
		g.options.Log.Warn("the mirror is damaged and is cloned afresh", "source", src.Name.String(), "error", err.Error())
		m.forget()
		if err := os.RemoveAll(m.repo()); err != nil {
			return fmt.Errorf("remove the damaged mirror of %s: %w", src.Name, err)
		}
		err = f(m)
	}
	return err
}
