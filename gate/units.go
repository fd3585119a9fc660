package gate

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"golang.org/x/sync/errgroup"

	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// unit is a folder that is rendered: by a Flux Kustomization, or because it has a kustomization that no other includes.
type unit struct {
	dir string
	// flux is Flux's object and origin where it was found; nil for a kustomization that none names.
	flux   *kustomizev1.Kustomization
	origin *object
	// by is the unit that renders origin; nil where a file has it.
	by *unit
	// raw says that origin was read from a file and not rendered by another unit.
	raw     bool
	closure manifest.Files
	// data is what kustomize makes, kept where variables are replaced in it.
	data []byte
	// rendered is what comes out, nil where it was not built; failed says why.
	rendered *source
	failed   *Finding
	// seen are the paths in the tree on which the rendering depends.
	seen map[string]bool
	vars render.Variables
}

// file and line that a finding about the whole unit points at.
func (u *unit) place() (string, int) {
	if u.origin != nil {
		return u.origin.file, u.origin.line
	}
	for _, name := range u.closure.Paths {
		if render.IsKustomization(name) && path.Dir(name) == u.dir {
			return name, 1
		}
	}
	return u.dir, 1
}

// origins are the files and folders that have Flux render the unit: its own Kustomization, and those that render that
// one.
func (u *unit) origins() []string {
	var out []string
	for at := u; at != nil && len(out) < 20; at = at.by {
		if at != u {
			out = append(out, at.dir+"/.")
		}
		if at.origin != nil {
			out = append(out, at.origin.file)
		}
	}
	return out
}

// sources are the files that the unit is made of.
func (u *unit) sources() []string { return slices.Concat(u.closure.Paths, u.closure.Values) }

// id is the same for what renders the same.
func (u *unit) id() string {
	if u.flux == nil {
		return u.dir
	}
	s := u.flux.Spec
	data, err := json.Marshal([]any{
		s.Images, s.Patches, s.Components, s.PostBuild, s.TargetNamespace, s.NamePrefix, s.NameSuffix,
	})
	if err != nil {
		return u.dir + " " + u.flux.Name
	}
	return fmt.Sprintf("%s %x", u.dir, sha256.Sum256(data))
}

// builder finds the units of a tree and renders them.
type builder struct {
	tree  fs.FS
	files map[string]*source
	// fetcher fetches the remote references that are allowed.
	fetcher *fetcher
	// remotes are the addresses that this repository is known by.
	remotes []string
	// earlier is the builder of another version of the tree, and changed the paths in which the two differ.
	earlier *builder
	changed map[string]bool

	// compared says that another version of the tree will be built after this one.
	compared bool

	// folders renders those of the tree.
	folders *render.Tree

	units    map[string]*unit
	queue    []*unit
	notes    []unitNote
	gitRepos []object
	configs  []object
}

// unitNote is a finding about an object of Flux, and the unit that renders it; nil for a file that has it.
type unitNote struct {
	by *unit
	Finding
}

// maxUnits bounds what is built of one tree.
const maxUnits = 20_000

// run fills units.
func (b *builder) run(names []string, step func()) {
	b.units = map[string]*unit{}
	closures, included := b.closures(names)
	for _, name := range names {
		b.note(b.files[name].objects)
	}
	for _, dir := range b.roots(closures, included) {
		b.add(&unit{dir: dir, closure: closures[dir]})
	}
	within := map[string]bool{}
	for _, c := range closures {
		for _, name := range c.Paths {
			within[name] = true
		}
	}
	for _, name := range names {
		if !within[name] {
			b.addFlux(b.files[name].objects, nil)
		}
	}
	for len(b.queue) > 0 {
		// What a unit renders may bring further ones.
		units := b.queue
		b.queue = nil
		b.buildAll(units, step)
		for _, u := range units {
			b.finish(u)
		}
	}
	b.drop()
}

// buildAll builds units on all processors. None of them depends on another.
func (b *builder) buildAll(units []*unit, step func()) {
	var g errgroup.Group
	var mu sync.Mutex
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, u := range units {
		g.Go(func() error {
			b.build(u)
			mu.Lock()
			defer mu.Unlock()
			step()
			return nil
		})
	}
	_ = g.Wait()
}

// finish takes note of what a unit rendered, in the order of the queue.
func (b *builder) finish(u *unit) {
	if u.flux != nil {
		u.vars = b.variables(u.flux, u.origin.file)
		b.substitute(u)
	}
	if u.rendered != nil {
		b.locate(u)
		b.note(u.rendered.objects)
		b.addFlux(u.rendered.objects, u)
	}
	if !b.compared {
		u.seen, u.data = nil, nil
	}
}

func (b *builder) add(u *unit) {
	if known := b.units[u.id()]; known != nil || len(b.units) >= maxUnits {
		// What a kustomization alone renders is there only where Flux applies it.
		if known != nil && known.by != nil && known.by.flux == nil && u.by != nil {
			known.by = u.by
		}
		return
	}
	b.units[u.id()] = u
	b.queue = append(b.queue, u)
}

// note remembers what other objects refer to.
func (b *builder) note(objects []object) {
	for _, o := range objects {
		switch o.kind {
		case "GitRepository":
			b.gitRepos = append(b.gitRepos, o)
		case "ConfigMap":
			b.configs = append(b.configs, o)
		}
	}
}

// addFlux adds the units of Flux's Kustomizations that a unit renders or, for nil, files have.
func (b *builder) addFlux(objects []object, by *unit) {
	for i := range objects {
		o := &objects[i]
		if o.kind != "Kustomization" || o.group() != "kustomize.toolkit.fluxcd.io" {
			continue
		}
		k := &kustomizev1.Kustomization{}
		if err := o.decode(k); err != nil {
			b.notes = append(b.notes, unitNote{by, undecodable(o, err)})
			continue
		}
		if !b.ours(k) {
			continue
		}
		dir := path.Clean(strings.TrimLeft(k.Spec.Path, "/"))
		files, err := manifest.Closure(b.tree, k.Spec.Path)
		if err != nil {
			b.notes = append(b.notes, unitNote{by, Finding{
				Rule: RuleNotBuilt, Level: LevelNote, File: o.file, Line: o.lineOf("spec", "path"),
				Message: fmt.Sprintf("%s is not built: %s", o, pathWords(k.Spec.Path, err)),
				Fix:     "nothing, if its source is another repository; otherwise correct spec.path",
			}})
			continue
		}
		for _, component := range k.Spec.Components {
			files = b.withComponent(files, o, dir, component)
		}
		b.add(&unit{dir: dir, flux: k, origin: o, by: by, raw: by == nil, closure: files})
	}
}

// ours says whether a Kustomization renders this repository, as far as the tree tells.
func (b *builder) ours(k *kustomizev1.Kustomization) bool {
	ref := k.Spec.SourceRef
	return (ref.Kind == "GitRepository" || ref.Kind == "") && b.oursByName(ref.Name)
}

// oursByName says whether a GitRepository is this repository, as far as the tree tells.
func (b *builder) oursByName(name string) bool {
	known := slices.Clone(b.remotes)
	var url string
	var urls []string
	for i := range b.gitRepos {
		o := &b.gitRepos[i]
		at := address(textOf(valueOf(o.root, "spec"), "url"))
		if o.name == "flux-system" {
			known = append(known, at)
		}
		if o.name == name {
			url = at
		}
		urls = append(urls, at)
	}
	if url == "" || len(known) == 0 || slices.Contains(known, url) {
		return true
	}
	// Where none of the sources is known to be this repository, because it was renamed or cloned from a mirror, a folder
	// that is there decides.
	return !overlap(known, urls)
}

// address makes one of the ways to write a repository's URL.
func address(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		rest = strings.Replace(url, ":", "/", 1)
	}
	if user, host, ok := strings.Cut(rest, "@"); ok && !strings.Contains(user, "/") {
		rest = host
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(rest, "/"), ".git"))
}

// drop takes away the units that another one stands for: kustomizations that a Flux Kustomization builds or includes,
// and Flux Kustomizations as a file has them where another unit renders that file.
func (b *builder) drop() {
	flux, any := map[string]bool{}, map[string]bool{}
	for _, u := range b.units {
		for _, name := range u.closure.Paths {
			if render.IsKustomization(name) && u.flux != nil {
				flux[path.Dir(name)] = true
			}
			if u.origin == nil || u.origin.file != name {
				any[name] = true
			}
		}
	}
	gone := map[*unit]bool{}
	for id, u := range b.units {
		if u.flux == nil && flux[u.dir] || u.raw && any[u.origin.file] && b.again(u) {
			gone[u] = true
			delete(b.units, id)
		}
	}
	// What only they render is not there: Flux renders it with its variables.
	for id, u := range b.units {
		if gone[u.by] && b.again(u) {
			delete(b.units, id)
		}
	}
	b.notes = slices.DeleteFunc(b.notes, func(n unitNote) bool {
		return gone[n.by] || n.by == nil && any[n.File]
	})
}

// again says whether a Flux Kustomization of the same name was rendered too: with the same path, or one that a variable
// of its parent makes.
func (b *builder) again(u *unit) bool {
	for _, other := range b.units {
		if other == u || other.flux == nil || other.raw || u.flux == nil || other.flux.Name != u.flux.Name {
			continue
		}
		if other.dir == u.dir || strings.Contains(u.flux.Spec.Path, "$") {
			return true
		}
	}
	return false
}

// locate finds the file and line of rendered objects in the files that they were made of.
func (b *builder) locate(u *unit) {
	byName := map[string]*object{}
	for _, name := range u.closure.Paths {
		if s := b.files[name]; s != nil {
			for i := range s.objects {
				o := &s.objects[i]
				byName[o.kind+"/"+o.name] = o
			}
		}
	}
	file, line := u.place()
	for i := range u.rendered.objects {
		o := &u.rendered.objects[i]
		o.file, o.line = file, line
		if known := byName[o.kind+"/"+o.name]; known != nil {
			o.file, o.line = known.file, known.line
		}
	}
}

// renders says whether a Flux Kustomization of this name was built.
func (b *builder) renders(name string) bool {
	for _, u := range b.units {
		if u.flux != nil && u.flux.Name == name && u.rendered != nil {
			return true
		}
	}
	return false
}
