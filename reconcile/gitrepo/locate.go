package gitrepo

import (
	"bytes"
	"context"
	"path"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// located is where the tip says the image, and the commit that says it.
type located struct {
	commit *store.Commit
	images []composed
	// files are those that were looked through.
	files []string
}

// maxPersonsPlaces bounds the nodes that are reverted at once where nothing is recorded.
const maxPersonsPlaces = 1000

// locate finds the nodes at the tip that make the image run for the query's workload. It refuses with a sentence where
// there are none.
func (h *history) locate(ctx context.Context, q reconcile.Query) (*located, error) {
	c, err := h.At(ctx, h.Tip)
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
	if found, err = l.ofNamespace(found); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, l.nowhere()
	}
	most := v1alpha1.MaxPlaces
	if q.ByPerson {
		// What a person asks for is not recorded.
		most = maxPersonsPlaces
	}
	if n := len(slices.Concat(found...)); n > most {
		return nil, reconcile.Refuse("%s is said in %d places below %q: too many to revert at once",
			oneLine(q.Image, nameRunes), n, q.Root.Path)
	}
	out := &located{commit: c, images: found}
	for _, u := range l.units {
		out.files = append(out.files, slices.Concat(u.files.Paths, u.files.Values)...)
	}
	slices.Sort(out.files)
	out.files = slices.Compact(out.files)
	return out, nil
}

// ofNamespace drops what stands in a workload of another namespace, where the files have one of the query's namespace
// too. Whoever may write in one namespace could run there what the files say for another, and have that reverted. A
// namespace in a file is no proof by itself: kustomizations may replace it.
func (l *locating) ofNamespace(found []composed) ([]composed, error) {
	q := l.query
	if q.Namespace == "" || len(found) == 0 {
		return found, nil
	}
	put, err := l.putInto()
	if err != nil {
		return nil, err
	}
	// into are the namespaces of a node, as far as they are known.
	into := func(n manifest.Node) []string {
		out := slices.Clone(put[n.File])
		if i := slices.Index(out, ""); i >= 0 || len(out) == 0 {
			out = append(slices.DeleteFunc(out, func(ns string) bool { return ns == "" }), n.Object.Namespace)
		}
		return out
	}
	stands := func(n manifest.Node) bool {
		named := q.Workload.Name == "" || n.Object.Kind == q.Workload.Kind && n.Object.Name == q.Workload.Name
		changes := put != nil && slices.Contains(manifest.Kustomizations, path.Base(n.File))
		return (n.Object.RunsPods() && named || changes) && !slices.Contains(into(n), "")
	}
	elsewhere := func(c composed) bool {
		return slices.ContainsFunc(slices.Concat(c...), func(n manifest.Node) bool {
			return stands(n) && !slices.Contains(into(n), q.Namespace)
		})
	}
	if !slices.ContainsFunc(found, elsewhere) {
		return found, nil
	}
	wanted := reconcile.Wanted{Root: q.Root, Namespace: q.Namespace, Workload: q.Workload}
	all, _, err := l.speaking(l.ctx, l.commit.Hash, wanted)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(all, func(n manifest.Node) bool { return stands(n) && slices.Contains(into(n), q.Namespace) }) {
		found = slices.DeleteFunc(found, elsewhere)
	}
	return found, nil
}

// putInto are the namespaces that kustomizations put files into; nil where fewer than two kustomizations name one, so
// that nothing is told apart by them.
func (l *locating) putInto() (map[string][]string, error) {
	named := 0
	for _, file := range l.files.Paths {
		if !slices.Contains(manifest.Kustomizations, path.Base(file)) {
			continue
		}
		e, err := l.EntryAt(l.commit.Tree, file)
		if err != nil {
			return nil, err
		}
		if data, ok, err := l.Content(e.Hash); err != nil {
			return nil, err
		} else if ok && (bytes.HasPrefix(data, []byte("namespace:")) || bytes.Contains(data, []byte("\nnamespace:"))) {
			named++
		}
	}
	if named < 2 {
		return nil, nil
	}
	return manifest.Namespaces(l.Snapshot(l.commit.Tree), rootPath(l.query.Root))
}
