package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// Local is a clone or a bare repository on this machine, for commands that work without a cluster. It never asks a
// server for anything by itself.
type Local struct {
	*store.Clone
	options Options
	history *history
}

// OpenLocal opens the repository that a folder is in, or is. rev is the branch, tag or commit that is deployed; empty
// is what is checked out.
func OpenLocal(dir, rev string, o Options) (*Local, error) {
	o.fill()
	c, err := store.Open(dir, rev)
	if err != nil {
		return nil, err
	}
	return local(c, o), nil
}

func local(c *store.Clone, o Options) *Local {
	return &Local{Clone: c, options: o, history: newHistory(c.History(), newRemembered())}
}

// Parted is the commit at which the branch left another branch, tag or commit (the merge base). Changes that only the
// other one has since are then no difference. If the clone is too shallow to tell, Parted is the other one itself, and
// exact is false.
func (l *Local) Parted(rev string) (base *Local, exact bool, err error) {
	c, exact, err := l.Clone.Parted(rev)
	if err != nil {
		return nil, false, err
	}
	return local(c, l.options), exact, nil
}

// Blame finds the commit that brought the image in. A Refusal explains why none is to be found.
func (l *Local) Blame(ctx context.Context, q reconcile.Query) (v1alpha1.Suspect, error) {
	s, err := l.history.blame(ctx, q)
	err = l.Lacks(err)
	if err == nil {
		s.Branch, s.Reconciler = l.Branch(), q.Root.By
	}
	return s, err
}

// Former lists what the suspect's nodes held before, newest first, at most max.
func (l *Local) Former(ctx context.Context, s v1alpha1.Suspect, max int) ([]reconcile.Former, error) {
	out, err := l.history.former(ctx, s, max)
	return out, l.Lacks(err)
}

// FileChange is a file that a Plan changes.
type FileChange struct {
	// Path from the root of the repository.
	Path string
	// Before and After are its contents.
	Before, After []byte
}

// Plan is a revert, and a hold on top of it, that were made and are in nobody's history yet.
type Plan struct {
	// Reverted and Held are the files of the two commits; Held is empty where there is nothing to hold.
	Reverted, Held []FileChange
	// Messages of the commits.
	Messages []string
	// Landings answer for each revert: its error, or the change as it will be.
	Landings []reconcile.Landing
	// Head is the last commit, to be put on a branch; empty when every revert was refused.
	Head string
	// Tip is the commit that the plan is made on.
	Tip string
	// Tree is the files before the plan, as Snapshot gives them.
	Tree fs.FS

	local *Local
	build *store.Builder
}

// After are the contents of the files that the plan changes, as it leaves them.
func (p *Plan) After() map[string][]byte {
	out := map[string][]byte{}
	for _, f := range slices.Concat(p.Reverted, p.Held) {
		out[f.Path] = f.After
	}
	return out
}

func fileChanges(before, after map[string][]byte) []FileChange {
	var out []FileChange
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if !bytes.Equal(before[path], after[path]) {
			out = append(out, FileChange{Path: path, Before: before[path], After: after[path]})
		}
	}
	return out
}

// Commit puts the plan on a branch of the local repository: a new one, or one that stands at the planned tip. A branch
// that is checked out is refused: its work tree would fall behind it.
func (p *Plan) Commit(branch string) error {
	if p.Head == "" {
		return errNothing
	}
	return p.local.Put(p.build, p.Head, branch)
}

// Push sends the plan to a branch of a remote of the repository, never by force. It is git itself that pushes, with the
// credentials of the user who runs it.
func (p *Plan) Push(ctx context.Context, remote, branch string) error {
	if p.Head == "" {
		return errNothing
	}
	return p.local.Push(ctx, p.build, p.Head, remote, branch)
}

// errNothing means that a plan changes nothing.
var errNothing = errors.New("there is nothing to commit")
