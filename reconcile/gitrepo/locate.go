package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// located is where the tip says the image, and the commit that says it.
type located struct {
	commit *commit
	images []composed
}

// locate finds the nodes at the tip that make the image run for the query's workload. It refuses with a sentence where
// there are none.
func (h *history) locate(ctx context.Context, q reconcile.Query) (*located, error) {
	c, err := h.at(ctx, h.tip)
	if err != nil {
		return nil, err
	}
	files, err := h.closure(c, q.Root)
	if err != nil {
		return nil, err
	}
	l := &locating{history: h, ctx: ctx, commit: c, query: q, files: files}
	found, err := l.find()
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, l.nowhere()
	}
	if n := len(slices.Concat(found...)); n > v1alpha1.MaxPlaces {
		return nil, reconcile.Refuse("%s is said in %d places below %q: too many to take back at once", oneLine(q.Image, 200),
			n, q.Root.Path)
	}
	return &located{commit: c, images: found}, nil
}

// closure lists the files that a root renders at a commit.
func (h *history) closure(c *commit, root reconcile.Root) (manifest.Files, error) {
	files, err := manifest.Closure(treeFS{objects: h.objects, root: c.tree}, rootPath(root))
	switch {
	case errors.Is(err, errCorrupt):
		return files, fmt.Errorf("list the files of %s: %w", root.By, err)
	case err != nil:
		return files, reconcile.Refuse("%s renders %q, which is not in the repository at %s", root.By, root.Path,
			short(c.hash.String()))
	}
	return files, nil
}

// rootPath is a root's folder as manifest takes it.
func rootPath(r reconcile.Root) string {
	if r.Path == "" {
		return "."
	}
	return r.Path
}

// tooLarge is why a large file is not read.
const tooLarge = "is too large to be read"

// mention reads the nodes of a file that speaks of what is looked for. why says what keeps a file from being read that
// does.
func (h *history) mention(tree plumbing.Hash, file string, speaks func([]byte) bool,
) (nodes []manifest.Node, why string, err error) {
	e, err := h.entryAt(tree, file)
	if err != nil || !e.regular() {
		return nil, "", err
	}
	data, ok, err := h.content(e.hash)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("read %s: %w", file, err)
	case !ok:
		return nil, tooLarge, nil
	case !speaks(data):
		return nil, "", nil
	}
	p, err := h.parsed(file, e.hash)
	if err != nil {
		return nil, "", err
	}
	if why := p.err; why != nil {
		return nil, "speaks of it, but: " + oneLine(why.Error(), 200), err
	}
	return p.nodes, "", nil
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

// renders says whether a root's files include one of the given ones. A folder whose kustomizations refer to nothing
// outside is not even listed, unless it holds one.
func (h *history) renders(tree plumbing.Hash, root reconcile.Root, files []string) (bool, error) {
	dir := path.Clean(root.Path)
	inside := dir == "." || slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, dir+"/") })
	if !inside {
		e, err := h.entryAt(tree, dir)
		if err != nil || e.hash.IsZero() {
			return false, err
		}
		out, err := h.escapes(e, 0)
		if err != nil || !out {
			return false, err
		}
	}
	found, err := manifest.Closure(treeFS{objects: h.objects, root: tree}, rootPath(root))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if errors.Is(err, errCorrupt) {
			return false, fmt.Errorf("list the files of %s: %w", root.By, err)
		}
		return false, nil
	}
	return slices.ContainsFunc(files, func(f string) bool {
		return slices.Contains(found.Paths, f) || slices.Contains(found.Values, f)
	}), nil
}

// escapes says whether a kustomization below a folder may refer to something outside of it.
func (h *history) escapes(dir entry, depth int) (bool, error) {
	if known, ok := h.escaping[dir.hash]; ok {
		return known, nil
	}
	if depth > 64 {
		return true, nil
	}
	l, err := h.objects.entries(dir.hash)
	if err != nil {
		return false, err
	}
	out := false
	for _, name := range l.names {
		e := l.byName[name]
		switch {
		case e.regular() && slices.Contains([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}, name):
			data, ok, err := h.content(e.hash)
			if err != nil {
				return false, err
			}
			out = out || !ok || strings.Contains(string(data), "..") || strings.Contains(string(data), `\`)
		case e.what() == "a folder":
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
	h.escaping[dir.hash] = out
	return out, nil
}
