package gitrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// closure lists the files that a root renders at a commit. Hundreds of images of one root ask for it at once.
func (h *history) closure(c *store.Commit, root reconcile.Root) (manifest.Files, error) {
	key := c.Tree.String() + " " + rootPath(root)
	if known, ok := h.rooted[key]; ok {
		return known, nil
	}
	files, err := manifest.Closure(h.Snapshot(c.Tree), rootPath(root))
	switch {
	case errors.Is(err, store.ErrCorrupt):
		return files, fmt.Errorf("list the files of %s: %w", root.By, err)
	case err != nil:
		return files, reconcile.Refuse("%s renders %q, which is not in the repository at %s", root.By, root.Path,
			text.Short(c.Hash.String()))
	}
	if len(files.Problems) > 0 {
		// One may be of the repository on disk, which is cloned anew.
		return files, nil
	}
	if len(h.rooted) >= maxRooted {
		clear(h.rooted)
	}
	h.rooted[key] = files
	return files, nil
}

// built lists the files that a root renders at a commit; nothing where it cannot be built, which says nothing about an
// image.
func (h *history) built(c *store.Commit, root reconcile.Root) ([]string, error) {
	files, err := h.closure(c, root)
	if _, refused := reconcile.AsRefusal(err); refused {
		return nil, nil
	}
	return files.Paths, err
}

// rootPath is a root's folder as manifest takes it.
func rootPath(r reconcile.Root) string {
	if r.Path == "" {
		return "."
	}
	return r.Path
}

// sharedBy lists the roots besides the query's own whose files are among the given ones.
func (h *history) sharedBy(tree plumbing.Hash, q reconcile.Query, files []string) ([]v1alpha1.ObjectRef, error) {
	var out []v1alpha1.ObjectRef
	for _, root := range q.Others {
		if root.By == q.Root.By || slices.Contains(out, root.By) {
			continue
		}
		shares, err := h.renders(tree, root, files)
		if err != nil {
			return nil, err
		}
		if shares {
			out = append(out, root.By)
		}
	}
	return out, nil
}

// renders reports whether a root's files include one of the given ones. A folder whose kustomizations refer to nothing
// outside is not even listed, unless it holds one.
func (h *history) renders(tree plumbing.Hash, root reconcile.Root, files []string) (bool, error) {
	dir := path.Clean(root.Path)
	inside := dir == "." || slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, dir+"/") })
	if !inside {
		e, err := h.EntryAt(tree, dir)
		if err != nil || e.Hash.IsZero() {
			return false, err
		}
		out, err := h.escapes(e, 0)
		if err != nil || !out {
			return false, err
		}
	}
	found, err := manifest.Closure(h.Snapshot(tree), rootPath(root))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if errors.Is(err, store.ErrCorrupt) {
			return false, fmt.Errorf("list the files of %s: %w", root.By, err)
		}
		return false, nil
	}
	return slices.ContainsFunc(files, func(f string) bool {
		return slices.Contains(found.Paths, f) || slices.Contains(found.Values, f)
	}), nil
}

// escapes reports whether a kustomization below a folder may refer to something outside of it.
func (h *history) escapes(dir store.Entry, depth int) (bool, error) {
	if known, ok := h.escaping[dir.Hash]; ok {
		return known, nil
	}
	if depth > 64 {
		return true, nil
	}
	l, err := h.Objects.Entries(dir.Hash)
	if err != nil {
		return false, err
	}
	out := false
	for _, name := range l.Names {
		e := l.ByName[name]
		switch {
		case e.Regular() && slices.Contains(manifest.Kustomizations, name):
			data, ok, err := h.Content(e.Hash)
			if err != nil {
				return false, err
			}
			out = out || !ok || strings.Contains(string(data), "..") || strings.Contains(string(data), `\`)
		case e.Mode == filemode.Dir:
			sub, err := h.escapes(e, depth+1)
			if err != nil {
				return false, err
			}
			out = out || sub
		}
	}
	if len(h.escaping) > 50_000 {
		clear(h.escaping)
	}
	h.escaping[dir.Hash] = out
	return out, nil
}
