package gitrepo

import (
	"container/heap"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

// maxAncestors bounds how many commits are looked at for the one from which two branches parted.
const maxAncestors = 100_000

// Tree is the files of the commit that is looked at. Links and submodules are told by their mode and cannot be opened.
// Any number of goroutines may read them until the repository is closed.
func (l *Local) Tree() (fs.FS, error) {
	c, err := l.history.objects.commit(l.history.tip)
	if err != nil {
		return nil, err
	}
	return treeFS{objects: l.history.objects, root: c.tree}, nil
}

// Parted is the commit at which what is looked at left another branch, tag or commit, so that what only the other one
// changed since is no difference. Where the clone is too shallow to tell it is the other one itself, and exact is
// false.
func (l *Local) Parted(rev string) (base *Local, exact bool, err error) {
	other, err := OpenLocal(l.dir, rev, l.options)
	if err != nil {
		return nil, false, err
	}
	at, err := l.history.objects.parted(l.history.tip, other.history.tip)
	switch {
	case errors.Is(err, errNoCommit):
		return other, false, nil
	case err != nil:
		return nil, false, errors.Join(err, other.Close())
	}
	other.history.tip = at
	return other, true, nil
}

// worktree opens the repository together with its files.
func (l *Local) worktree() (*gogit.Repository, error) {
	return gogit.PlainOpenWithOptions(l.dir, &gogit.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
}

// Folder is the work tree's root on this machine; empty for a bare repository.
func (l *Local) Folder() string {
	repo, err := l.worktree()
	if err != nil {
		return ""
	}
	tree, err := repo.Worktree()
	if err != nil {
		return ""
	}
	return filepath.Clean(tree.Filesystem.Root())
}

// Tracked gives a function that says whether Git knows a file, or any file of a folder.
func (l *Local) Tracked() (func(name string) bool, error) {
	repo, err := l.worktree()
	if err != nil {
		return nil, fmt.Errorf("open the Git repository %s: %w", oneLine(l.dir, 300), err)
	}
	index, err := repo.Storer.Index()
	if err != nil {
		return nil, fmt.Errorf("read the index of %s: %w", oneLine(l.dir, 300), err)
	}
	known := map[string]bool{}
	for _, e := range index.Entries {
		for name := e.Name; name != "." && !known[name]; name = path.Dir(name) {
			known[name] = true
		}
	}
	return func(name string) bool { return known[name] }, nil
}

// Remotes are the URLs that the repository is fetched from.
func (l *Local) Remotes() []string {
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

// The sides from which a commit was reached.
const (
	fromOne = 1 << iota
	fromOther
	fromBoth = fromOne | fromOther
)

// parted finds the newest commit that two histories share.
func (o *objects) parted(one, other plumbing.Hash) (plumbing.Hash, error) {
	sides := map[plumbing.Hash]int{}
	var queue byTime
	add := func(h plumbing.Hash, side int) error {
		if sides[h]|side == sides[h] {
			return nil
		}
		sides[h] |= side
		c, err := o.commit(h)
		if err == nil {
			heap.Push(&queue, walked{commit: c})
		}
		return err
	}
	if err := errors.Join(add(one, fromOne), add(other, fromOther)); err != nil {
		return plumbing.ZeroHash, err
	}
	for queue.Len() > 0 && len(sides) < maxAncestors {
		c, _ := heap.Pop(&queue).(walked)
		if sides[c.hash] == fromBoth {
			return c.hash, nil
		}
		for _, parent := range c.parents {
			if err := add(parent, sides[c.hash]); err != nil {
				return plumbing.ZeroHash, err
			}
		}
	}
	return plumbing.ZeroHash, fmt.Errorf("%s and %s have no commit in common: %w",
		short(one.String()), short(other.String()), errNoCommit)
}

// isYAML says whether image automation and Flux take a file for YAML.
func isYAML(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml" || path.Base(name) == "Kustomization"
}
