package gitrepo

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// maxUnits bounds the Flux Kustomizations that are followed.
const maxUnits = 5000

// reach finds what a root renders, and from there what the Flux Kustomizations among it render.
type reach struct {
	*history
	ctx    context.Context
	commit *store.Commit
	graph  *manifest.Graph
	units  []*unit
	seen   map[string]bool
	// read are the Flux Kustomizations of the files that were read: many units render one file.
	read map[string][]manifest.Reconciled
	// configs are the objects that hold variables, by kind and name.
	configs map[string][]manifest.Node
}

// reached lists the units below a root.
func (h *history) reached(ctx context.Context, c *store.Commit, root reconcile.Root, files manifest.Files,
) (*reach, error) {
	r := &reach{history: h, ctx: ctx, commit: c, seen: map[string]bool{},
		read: map[string][]manifest.Reconciled{}, graph: manifest.NewGraph(h.Snapshot(c.Tree))}
	r.units = []*unit{{dir: rootPath(root), files: files}}
	for i := 0; i < len(r.units) && i < maxUnits; i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.below(r.units[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// unitsAt lists what is rendered at a commit, from its root on.
func (h *history) unitsAt(ctx context.Context, c *store.Commit) ([]*unit, error) {
	files, err := h.closure(c, reconcile.Root{})
	if _, refused := reconcile.AsRefusal(err); err != nil && !refused {
		return nil, err
	}
	r, err := h.reached(ctx, c, reconcile.Root{}, files)
	if err != nil {
		return nil, err
	}
	return r.units, nil
}

// below adds the units of the Flux Kustomizations that a unit renders.
func (r *reach) below(u *unit) error {
	tree := r.Snapshot(r.commit.Tree)
	for _, file := range u.files.Paths {
		found, err := r.reconciled(file)
		if err != nil {
			return err
		}
		for _, k := range found {
			dir := manifest.Folder(u.expand(k.Path))
			if k.Path == "" || k.Source.Kind != "" && k.Source.Kind != "GitRepository" {
				continue
			}
			if strings.Contains(dir, "${") {
				by := u.dir
				if by == "." {
					by = path.Dir(file)
				}
				if dir = manifest.MeantFolder(tree, dir, by); dir == "" {
					continue
				}
			}
			child := &unit{dir: dir, by: file, children: k.Children}
			if child.vars, err = r.variables(u, k); err != nil {
				return err
			}
			key := dir + " " + signature(child.vars)
			if r.seen[key] {
				continue
			}
			r.seen[key] = true
			// A folder that is not there is another repository's.
			if child.files, err = r.graph.Closure(dir); err == nil {
				r.units = append(r.units, child)
			}
		}
	}
	return nil
}

// signature tells variables apart by their values.
func signature(vars map[string][]manifest.Node) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		for _, n := range vars[name] {
			out = append(out, name+"="+n.File+" "+n.Pointer)
		}
	}
	return strings.Join(out, " ")
}

// reconciled reads the Flux Kustomizations of a file at the commit.
func (r *reach) reconciled(file string) ([]manifest.Reconciled, error) {
	if known, ok := r.read[file]; ok {
		return known, nil
	}
	e, err := r.EntryAt(r.commit.Tree, file)
	if err != nil || !e.Regular() {
		return nil, err
	}
	data, ok, err := r.Content(e.Hash)
	if err != nil || !ok {
		return nil, err
	}
	r.read[file] = manifest.Reconciles(file, data)
	return r.read[file], nil
}

// variables collects what a Flux Kustomization replaces, with what its parent adds to it.
func (r *reach) variables(parent *unit, k manifest.Reconciled) (map[string][]manifest.Node, error) {
	vars := map[string][]manifest.Node{}
	put := func(name string, n manifest.Node) {
		n.Part, n.Variable = manifest.PartVariable, name
		nodes := []manifest.Node{n}
		if strings.Contains(n.Value, "$") {
			for _, used := range usedIn(n.Value) {
				nodes = append(nodes, parent.vars[used]...)
			}
		}
		vars[name] = nodes
	}
	for _, from := range slices.Concat(k.PostBuild.From, parent.children.From) {
		nodes, err := r.config(from.Kind, parent.expand(from.Name), k)
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			put(n.Variable, n)
		}
	}
	for _, n := range slices.Concat(parent.children.Substitute, k.PostBuild.Substitute) {
		put(n.Variable, n)
	}
	return vars, nil
}

// config finds the values of a ConfigMap or Secret of the tree. Flux takes the one of the Kustomization's namespace: of
// several by one name, as of several clusters, those of the file nearest to the Kustomization's own; none where two are
// as near, since one of them may be another cluster's.
func (r *reach) config(kind, name string, k manifest.Reconciled) ([]manifest.Node, error) {
	if r.configs == nil {
		if err := r.readConfigs(); err != nil {
			return nil, err
		}
	}
	best, out := -1, []manifest.Node(nil)
	for _, n := range r.configs[kind+"/"+name] {
		if in, of := n.Object.Namespace, k.Object.Namespace; n.Object.Kind == kind && in != "" && of != "" && in != of {
			continue
		}
		if near := sharedFolders(n.File, k.File); near > best {
			best, out = near, nil
		} else if near < best {
			continue
		}
		out = append(out, n)
	}
	if slices.ContainsFunc(out, func(n manifest.Node) bool { return n.File != out[0].File && n.Object.Kind == kind }) {
		return nil, nil
	}
	return out, nil
}

// readConfigs reads every ConfigMap and Secret of the tree that stands there in plain text.
func (r *reach) readConfigs() error {
	r.configs = map[string][]manifest.Node{}
	files, err := r.yamlFiles(r.commit)
	if err != nil {
		return err
	}
	for _, f := range files {
		data, ok, err := r.Content(f.entry.Hash)
		if err != nil {
			return err
		}
		if ok {
			for name, nodes := range manifest.Configs(f.path, data, r.reading(r.commit)) {
				r.configs[name] = append(r.configs[name], nodes...)
			}
		}
	}
	return nil
}

// sharedFolders counts the folders that two paths begin with.
func sharedFolders(a, b string) int {
	x, y := strings.Split(path.Dir(a), "/"), strings.Split(path.Dir(b), "/")
	n := 0
	for n < len(x) && n < len(y) && x[n] == y[n] {
		n++
	}
	return n
}
