package gitrepo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Local is a clone or a bare repository on this machine, for commands that work without a cluster. It never asks a
// server for anything by itself.
type Local struct {
	dir     string
	options Options
	repo    *gogit.Repository
	branch  plumbing.ReferenceName
	history *history
}

// OpenLocal opens the repository that a folder is in, or is. rev is the branch, tag or commit that is deployed; empty
// is what is checked out.
func OpenLocal(dir, rev string, o Options) (*Local, error) {
	o.fill()
	// A bare repository is only found as itself, a clone from any folder in it.
	repo, err := gogit.PlainOpenWithOptions(dir, &gogit.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		repo, err = gogit.PlainOpenWithOptions(dir, &gogit.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	}
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		return nil, fmt.Errorf("%s is not in a Git repository", oneLine(dir, 300))
	}
	if err != nil {
		return nil, fmt.Errorf("open the Git repository %s: %w", oneLine(dir, 300), err)
	}
	if s, ok := repo.Storer.(*filesystem.Storage); ok {
		// The same storage again, with files that stay open, and with the repositories that it may borrow objects from.
		storage := filesystem.NewStorageWithOptions(s.Filesystem(), cache.NewObjectLRU(cacheSize),
			filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: manifest.MaxFileSize, AlternatesFS: osfs.New("/")})
		if repo, err = gogit.Open(storage, nil); err != nil {
			return nil, fmt.Errorf("open the Git repository %s: %w", oneLine(dir, 300), err)
		}
	}
	l := &Local{dir: dir, options: o, repo: repo}
	tip, err := l.resolve(rev)
	if err != nil {
		return nil, err
	}
	l.history = &history{
		objects: newObjects(borrowing(repo.Storer)), tip: tip, remembered: newRemembered(), known: map[string][]note{},
		deeper: func(context.Context) (bool, error) { return false, nil },
		end:    "the clone is shallow: `git fetch --unshallow` brings the rest",
	}
	return l, nil
}

// resolve finds the deployed tip, and its branch where it is one.
func (l *Local) resolve(rev string) (plumbing.Hash, error) {
	if rev == "" {
		head, err := l.repo.Head()
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("read HEAD of %s: %w", oneLine(l.dir, 300), err)
		}
		if head.Name().IsBranch() {
			l.branch = head.Name()
		}
		return head.Hash(), nil
	}
	for _, name := range []plumbing.ReferenceName{wire.BranchRef(rev), plumbing.NewRemoteReferenceName("origin", rev)} {
		if ref, err := l.repo.Reference(name, true); err == nil {
			l.branch = wire.BranchRef(rev)
			return ref.Hash(), nil
		}
	}
	hash, err := l.repo.ResolveRevision(plumbing.Revision(rev))
	if errors.Is(err, io.EOF) {
		err = errors.New("the history is not as long")
	}
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("find %q in %s: %w", oneLine(rev, 100), oneLine(l.dir, 300), err)
	}
	return *hash, nil
}

// Close closes the repository's files.
func (l *Local) Close() error {
	if s, ok := l.repo.Storer.(*filesystem.Storage); ok {
		return s.Close()
	}
	return nil
}

// Tip is the hash of the commit that is looked at, and Branch the name of its branch; empty where it is none.
func (l *Local) Tip() string { return l.history.tip.String() }

// Branch is the short name of the branch that is looked at; empty where it is none.
func (l *Local) Branch() string { return l.branch.Short() }

// Blame finds the commit that brought the image in. A Refusal says why none is to be found.
func (l *Local) Blame(ctx context.Context, q reconcile.Query) (v1alpha1.Suspect, error) {
	s, err := l.history.blame(ctx, q)
	err = l.lacks(err)
	if err == nil {
		s.Branch, s.Applier = l.Branch(), q.Root.By
	}
	return s, err
}

// Former lists what the suspect's nodes held before, newest first, at most max.
func (l *Local) Former(ctx context.Context, s v1alpha1.Suspect, max int) ([]reconcile.Former, error) {
	out, err := l.history.former(ctx, s, max)
	return out, l.lacks(err)
}

// lacks tells the objects that a partial clone leaves to the server from those that a damaged one lost.
func (l *Local) lacks(err error) error {
	if !errors.Is(err, plumbing.ErrObjectNotFound) {
		return err
	}
	c, cerr := l.repo.Config()
	if cerr != nil {
		return err
	}
	for _, remote := range c.Raw.Section("remote").Subsections {
		if remote.Option("promisor") == "true" || remote.HasOption("partialclonefilter") {
			return fmt.Errorf("the clone is partial: it lacks files of its history, and Backstop fetches nothing by itself: "+
				"`git -c remote.%s.partialclonefilter= fetch --refetch %[1]s` brings the rest", oneLine(remote.Name, 100))
		}
	}
	return err
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
	build *builder
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
	l, name := p.local, wire.BranchRef(branch)
	if err := name.Validate(); branch == "" || err != nil {
		return fmt.Errorf("%q is not a branch name", oneLine(branch, 100))
	}
	if head, err := l.repo.Head(); err == nil && head.Name() == name {
		if c, err := l.repo.Config(); err != nil || !c.Core.IsBare {
			return fmt.Errorf("%s is checked out: give another branch, and merge it", name.Short())
		}
	}
	if err := p.store(); err != nil {
		return err
	}
	next := plumbing.NewHashReference(name, plumbing.NewHash(p.Head))
	old, err := l.repo.Reference(name, true)
	switch {
	case errors.Is(err, plumbing.ErrReferenceNotFound):
		old = nil
	case err != nil:
		return fmt.Errorf("read branch %s: %w", name.Short(), err)
	case old.Hash() != l.history.tip:
		return fmt.Errorf("%s is at %s, not at %s: give another branch", name.Short(), short(old.Hash().String()),
			short(l.Tip()))
	}
	if err := l.repo.Storer.CheckAndSetReference(next, old); err != nil {
		return fmt.Errorf("write branch %s: %w", name.Short(), err)
	}
	return nil
}

// Push sends the plan to a branch of a remote of the repository, never by force. It is git itself that pushes, with the
// credentials of the user who runs it.
func (p *Plan) Push(ctx context.Context, remote, branch string) error {
	name := wire.BranchRef(branch)
	if err := name.Validate(); branch == "" || err != nil {
		return fmt.Errorf("%q is not a branch name", oneLine(branch, 100))
	}
	if _, err := p.local.repo.Remote(remote); err != nil {
		return fmt.Errorf("the repository has no remote %q", oneLine(remote, 100))
	}
	if err := p.store(); err != nil {
		return err
	}
	spec := p.Head + ":" + name.String()
	cmd := exec.CommandContext(ctx, "git", "-C", p.local.dir, "push", "--porcelain", "--", remote, spec)
	out, err := cmd.CombinedOutput()
	if err != nil {
		words := (&wire.Redactor{}).Clean(wire.ServerLines(string(out)), 500)
		return fmt.Errorf("push %s to %s: %s", name.Short(), remote, cmp.Or(strings.TrimSpace(words), err.Error()))
	}
	return nil
}

func (p *Plan) store() error {
	if p.Head == "" {
		return errors.New("there is nothing to commit")
	}
	return p.build.store(p.local.repo.Storer)
}
