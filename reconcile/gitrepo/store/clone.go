package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/wire"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

const (
	// pathRunes and nameRunes are how much of a folder's and of another name stands in a sentence.
	pathRunes, nameRunes = 300, 100
)

// shown is a folder as sentences name it.
func shown(dir string) string { return wire.OneLine(dir, pathRunes) }

// Clone is a clone or a bare repository on this machine. It never asks a server for anything by itself.
type Clone struct {
	dir    string
	repo   *gogit.Repository
	branch plumbing.ReferenceName
	past   *History
}

// Open opens the repository that a folder is in, or is. rev is the branch, tag or commit that is looked at; empty
// is what is checked out.
func Open(dir, rev string) (*Clone, error) {
	repo, err := openPlain(dir)
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		return nil, fmt.Errorf("%s is not in a Git repository", shown(dir))
	}
	if errors.Is(err, gogit.ErrUnknownExtension) && strings.Contains(err.Error(), "objectformat") {
		return nil, fmt.Errorf("open the Git repository %s: its objects are named by SHA-256, which Backstop does not read, "+
			"nor does Flux", wire.OneLine(dir, 300))
	}
	if err != nil {
		if repo, err = openLenient(dir, err); err != nil {
			return nil, fmt.Errorf("open the Git repository %s: %w", shown(dir), err)
		}
	}
	if s, ok := repo.Storer.(*filesystem.Storage); ok {
		// The same storage again, with files that stay open, and with the repositories that it may borrow objects from.
		storage := filesystem.NewStorageWithOptions(s.Filesystem(), cache.NewObjectLRU(cacheSize),
			filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: manifest.MaxFileSize, AlternatesFS: osfs.New("/")})
		if repo, err = gogit.Open(storage, nil); err != nil {
			return nil, fmt.Errorf("open the Git repository %s: %w", shown(dir), err)
		}
	}
	l := &Clone{dir: dir, repo: repo}
	tip, err := l.resolve(rev)
	if err != nil {
		return nil, err
	}
	l.past = &History{
		Objects: newObjects(borrowing(repo.Storer)), Tip: tip,
		deeper: func(context.Context) (bool, error) { return false, nil },
		End:    "the clone is shallow: `git fetch --unshallow` brings the rest",
	}
	return l, nil
}

// resolve finds the deployed tip, and its branch where it is one.
func (l *Clone) resolve(rev string) (plumbing.Hash, error) {
	if rev == "" {
		head, err := l.repo.Head()
		if errors.Is(err, plumbing.ErrReferenceNotFound) {
			return plumbing.ZeroHash, fmt.Errorf("what is checked out in %s has no commit yet%s", wire.OneLine(l.dir, 300),
				l.has())
		}
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("read HEAD of %s: %w", shown(l.dir), err)
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
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		err = fmt.Errorf("it is neither a branch, a tag nor a commit there%s", l.has())
	}
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("find %q in %s: %w", wire.OneLine(rev, nameRunes), shown(l.dir), err)
	}
	return *hash, nil
}

// namedBranches is how many branches a sentence names.
const namedBranches = 5

// has tells which branches the repository has, for the end of a sentence.
func (l *Clone) has() string {
	refs, err := l.repo.References()
	if err != nil {
		return ""
	}
	defer refs.Close()
	var names []string
	_ = refs.ForEach(func(ref *plumbing.Reference) error {
		short, remote := strings.CutPrefix(ref.Name().String(), "refs/remotes/origin/")
		if ref.Name().IsBranch() {
			short = ref.Name().Short()
		} else if !remote || short == "HEAD" {
			return nil
		}
		if !slices.Contains(names, short) {
			names = append(names, short)
		}
		return nil
	})
	if len(names) == 0 {
		return ", and the repository has no branch"
	}
	slices.Sort(names)
	more := ""
	if n := len(names) - namedBranches; n > 0 {
		names, more = names[:namedBranches], fmt.Sprintf(" and %d more", n)
	}
	return "; the repository has " + wire.OneLine(strings.Join(names, ", "), 300) + more
}

// Close closes the repository's files.
func (l *Clone) Close() error {
	if s, ok := l.repo.Storer.(*filesystem.Storage); ok {
		return s.Close()
	}
	return nil
}

// Tip is the hash of the commit that is looked at.
func (l *Clone) Tip() string { return l.past.Tip.String() }

// Branch is the short name of the branch that is looked at; empty if it is no branch.
func (l *Clone) Branch() string { return l.branch.Short() }

// History is that of the commit that is looked at.
func (l *Clone) History() *History { return l.past }

// Tree is the files of the commit that is looked at. Links and submodules are told by their mode and cannot be opened.
// Any number of goroutines may read them until the repository is closed.
func (l *Clone) Tree() (fs.FS, error) {
	c, err := l.past.Commit(l.past.Tip)
	if err != nil {
		return nil, l.Lacks(err)
	}
	if err := l.whole(c); err != nil {
		return nil, l.Lacks(err)
	}
	return l.past.Snapshot(c.Tree), nil
}

// whole reports what a partial clone lacks of the manifests of a commit: whoever goes on without them finds what is not
// so.
func (l *Clone) whole(c *Commit) error {
	if l.promisor() == "" {
		return nil
	}
	files, err := l.past.Diff(plumbing.ZeroHash, c.Tree, math.MaxInt)
	if err != nil {
		return err
	}
	for _, f := range files {
		switch path.Ext(f.Path) {
		case ".yaml", ".yml", ".json", ".env":
			if f.After.Regular() && !l.past.Has(f.After.Hash) {
				return fmt.Errorf("read %s: %w", f.Path, plumbing.ErrObjectNotFound)
			}
		}
	}
	return nil
}

// Parted opens the repository at the commit at which what is looked at left another branch, tag or commit. Where the
// clone is too shallow to tell it is the other one itself, and exact is false.
func (l *Clone) Parted(rev string) (base *Clone, exact bool, err error) {
	other, err := Open(l.dir, rev)
	if err != nil {
		return nil, false, err
	}
	at, err := l.past.parted(l.past.Tip, other.past.Tip)
	switch {
	case errors.Is(err, errNoCommit):
		return other, false, nil
	case err != nil:
		return nil, false, errors.Join(err, other.Close())
	}
	other.past.Tip = at
	return other, true, nil
}

// Folder is the work tree's root on this machine; empty for a bare repository.
func (l *Clone) Folder() string {
	at, err := filepath.Abs(l.dir)
	if err != nil {
		return ""
	}
	bare := false
	if c, err := l.repo.Config(); err == nil {
		bare = c.Core.IsBare
	}
	for {
		switch _, err := os.Lstat(filepath.Join(at, ".git")); {
		case err == nil:
			return at
		case bare || at == filepath.Dir(at):
			return ""
		}
		at = filepath.Dir(at)
	}
}

// Tracked gives functions that report whether Git knows a file, or any file of a folder, and whether a sparse checkout
// leaves one out, with how many it does.
func (l *Clone) Tracked() (known, left func(name string) bool, sparse int, err error) {
	index, err := l.repo.Storer.Index()
	if err != nil {
		return nil, nil, 0, fmt.Errorf("read the index of %s: %w", shown(l.dir), err)
	}
	names, out := map[string]bool{}, map[string]bool{}
	note := func(in map[string]bool, name string) {
		for ; name != "." && !in[name]; name = path.Dir(name) {
			in[name] = true
		}
	}
	for _, e := range index.Entries {
		note(names, e.Name)
		if e.SkipWorktree {
			sparse++
			note(out, e.Name)
		}
	}
	return func(name string) bool { return names[name] }, func(name string) bool { return out[name] }, sparse, nil
}

// Remotes are the URLs that the repository is fetched from.
func (l *Clone) Remotes() []string {
	remotes, err := l.repo.Remotes()
	if err != nil {
		return nil
	}
	var urls []string
	for _, r := range remotes {
		urls = append(urls, r.Config().URLs...)
	}
	return urls
}

// Lacks tells the objects that a partial clone leaves to the server from those that a damaged one lost.
func (l *Clone) Lacks(err error) error {
	if !errors.Is(err, plumbing.ErrObjectNotFound) {
		return err
	}
	remote := l.promisor()
	if remote == "" {
		return err
	}
	return fmt.Errorf("the clone is partial: it lacks files of its history, and Backstop fetches nothing by itself: "+
		"`git -c remote.%s.partialclonefilter= fetch --refetch %[1]s` brings the rest", wire.OneLine(remote, nameRunes))
}

// promisor is the remote that has what a partial clone lacks; empty for a whole clone.
func (l *Clone) promisor() string {
	c, err := l.repo.Config()
	if err != nil {
		return ""
	}
	for _, remote := range c.Raw.Section("remote").Subsections {
		if remote.Option("promisor") == "true" || remote.HasOption("partialclonefilter") {
			return remote.Name
		}
	}
	return ""
}

// Put puts what was built on a branch of the repository: a new one, or one that stands at the commit that is looked at.
// A branch that is checked out is refused: its work tree would fall behind it.
func (l *Clone) Put(b *Builder, head, branch string) error {
	name, err := branchName(branch)
	if err != nil {
		return err
	}
	if head, err := l.repo.Head(); err == nil && head.Name() == name {
		if c, err := l.repo.Config(); err != nil || !c.Core.IsBare {
			return fmt.Errorf("%s is checked out: give another branch, and merge it", name.Short())
		}
	}
	if err := b.store(l.repo.Storer); err != nil {
		return err
	}
	next := plumbing.NewHashReference(name, plumbing.NewHash(head))
	old, err := l.repo.Reference(name, true)
	switch {
	case errors.Is(err, plumbing.ErrReferenceNotFound):
		old = nil
	case err != nil:
		return fmt.Errorf("read branch %s: %w", name.Short(), err)
	case old.Hash() != l.past.Tip:
		return fmt.Errorf("%s is at %s, not at %s: give another branch", name.Short(), text.Short(old.Hash().String()),
			text.Short(l.Tip()))
	}
	if err := l.repo.Storer.CheckAndSetReference(next, old); err != nil {
		return fmt.Errorf("write branch %s: %w", name.Short(), err)
	}
	return nil
}

// Push sends what was built to a branch of a remote of the repository, never by force. It is git itself that pushes,
// with the credentials of the user who runs it.
func (l *Clone) Push(ctx context.Context, b *Builder, head string, remote, branch string) error {
	name, err := branchName(branch)
	if err != nil {
		return err
	}
	if _, err := l.repo.Remote(remote); err != nil {
		return fmt.Errorf("the repository has no remote %q", wire.OneLine(remote, nameRunes))
	}
	if err := b.store(l.repo.Storer); err != nil {
		return err
	}
	spec := head + ":" + name.String()
	cmd := exec.CommandContext(ctx, "git", "-C", l.dir, "push", "--porcelain", "--", remote, spec)
	out, err := cmd.CombinedOutput()
	if err != nil {
		words := (&wire.Redactor{}).Clean(wire.ServerLines(string(out)), 500)
		return fmt.Errorf("push %s to %s: %s", name.Short(), remote, cmp.Or(strings.TrimSpace(words), err.Error()))
	}
	return nil
}

// branchName is the full name of a branch that somebody chose.
func branchName(branch string) (plumbing.ReferenceName, error) {
	name := wire.BranchRef(branch)
	if err := name.Validate(); branch == "" || err != nil {
		return "", fmt.Errorf("%q is not a branch name", wire.OneLine(branch, nameRunes))
	}
	return name, nil
}
