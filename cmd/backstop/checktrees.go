package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
)

// openTrees are what is checked, and what must be closed.
type openTrees struct {
	repos []*gitrepo.Local
	notes []string
}

func (t *openTrees) close() {
	for _, r := range t.repos {
		_ = r.Close()
	}
}

// trees opens the files to check and those to compare with, and makes the paths start at their root.
func (f *checkFlags) trees(paths []string, o *gate.Options) (*openTrees, error) {
	t := &openTrees{}
	root, repo, err := f.open(paths)
	if err != nil {
		return nil, err
	}
	if repo != nil {
		t.repos = append(t.repos, repo)
		o.Remotes = repo.Remotes()
	}
	if o.Paths, err = below(root, paths); err != nil {
		return nil, err
	}
	switch {
	case f.head != "":
		o.Head.FS, err = repo.Tree()
	default:
		err = f.folder(t, root, repo, o)
	}
	if err != nil || f.base == "" {
		return t, err
	}
	if repo == nil {
		return nil, badUsage("--base: %s is not in a Git repository", root)
	}
	base, exact, err := repo.Parted(f.base)
	if err != nil {
		return nil, badUsage("--base: %s; %s", oneLine(err.Error()), lacking(f.base))
	}
	t.repos = append(t.repos, base)
	if !exact {
		t.notes = append(t.notes, fmt.Sprintf(
			"the clone is too shallow to tell where the change left %s: compared with %s itself",
			f.base, text.Short(base.Tip())))
	}
	o.Base.FS, err = base.Tree()
	return t, err
}

// folder opens the files of a work tree, or of a folder that is in no repository.
func (f *checkFlags) folder(t *openTrees, root string, repo *gitrepo.Local, o *gate.Options) error {
	if repo != nil && repo.Folder() == "" {
		return badUsage("%s is a bare repository, which has no files to check: --head BRANCH checks those of a branch", root)
	}
	var err error
	if o.Head.FS, err = sources.OpenFolder(root); err != nil || repo == nil {
		return err
	}
	var sparse int
	if o.Head.Tracked, o.Head.LeftOut, sparse, err = repo.Tracked(); sparse > 0 {
		t.notes = append(t.notes, fmt.Sprintf(
			"the checkout is sparse: it lacks %s of the commit; --head HEAD checks all of it",
			report.Plural(sparse, "file")))
	}
	return err
}

// lacking describes what to do about a revision that a clone does not have.
func lacking(rev string) string {
	if strings.ContainsAny(rev, "~^@:") {
		return "a clone that CI made may lack it: fetch more of the history, as with git fetch --deepen=50"
	}
	return "a clone that CI made may lack it: git fetch --depth=1 origin " + strings.TrimPrefix(rev, "origin/") +
		", then --base FETCH_HEAD"
}

// open finds the root of the repository that a path is in; of what is in none, the folder that rootOf gives.
func (f *checkFlags) open(paths []string) (root string, repo *gitrepo.Local, err error) {
	p := paths[0]
	dir := p
	info, err := os.Stat(p)
	if err != nil {
		return "", nil, badUsage("%s: %s", p, pathWords(err))
	}
	if !info.IsDir() {
		dir = filepath.Dir(p)
	}
	repo, err = gitrepo.OpenLocal(dir, f.head, gitrepo.Options{Now: time.Now})
	if err != nil {
		if f.head != "" {
			return "", nil, badUsage("--head: %s", err)
		}
		if f.base != "" {
			return "", nil, badUsage("--base: %s", err)
		}
		root, err = rootOf(paths)
		return root, nil, err
	}
	if root = repo.Folder(); root == "" {
		root, err = filepath.Abs(dir)
	}
	return root, repo, err
}

// rootOf finds the root of files that Git knows nothing of: the nearest folder above that has guardrails or a .git
// without a commit, or else the one that all paths are in.
func rootOf(paths []string) (string, error) {
	root := ""
	for _, p := range paths {
		dir, err := filepath.Abs(p)
		if err != nil {
			return "", fmt.Errorf("find %s: %w", p, err)
		}
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			dir = filepath.Dir(dir)
		}
		if root == "" {
			root = dir
		}
		for rel, err := filepath.Rel(root, dir); err != nil || !filepath.IsLocal(rel); rel, err = filepath.Rel(root, dir) {
			root = filepath.Dir(root)
		}
	}
	for at := root; ; at = filepath.Dir(at) {
		for _, sign := range []string{".git", gate.ConfigFile} {
			if _, err := os.Lstat(filepath.Join(at, sign)); err == nil {
				return at, nil
			}
		}
		if at == filepath.Dir(at) {
			return root, nil
		}
	}
}

func pathWords(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// below makes paths start at the root.
func below(root string, paths []string) ([]string, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", root, err)
	}
	var out []string
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err == nil {
			// The last part may be a link, which is then named and not followed.
			var dir string
			if dir, err = filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
				abs = filepath.Join(dir, filepath.Base(abs))
			}
		}
		if _, serr := os.Lstat(p); err != nil || serr != nil {
			return nil, badUsage("%s: no such file or folder", p)
		}
		rel, err := filepath.Rel(root, abs)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			return nil, badUsage("%s is not below %s: check one repository at a time", p, root)
		}
		out = append(out, filepath.ToSlash(rel))
	}
	return out, nil
}
