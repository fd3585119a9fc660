package gate

import (
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"golang.org/x/sync/errgroup"

	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// maxUnits bounds what is built of one tree.
const maxUnits = 20_000

// run fills units.
func (b *builder) run(names []string, step func()) {
	b.units = map[string]*unit{}
	closures, included := b.closures(names)
	for _, name := range names {
		b.note(b.files[name].Objects)
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
			b.addFlux(b.files[name].Objects, nil)
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
		u.vars = b.variables(u.flux, u.origin.File)
		if b.unbuilt(u) {
			u.vars.On, u.vars.Open = true, true
		}
		b.substitute(u)
	}
	if u.rendered != nil {
		b.locate(u)
		b.note(u.rendered.Objects)
		b.addFlux(u.rendered.Objects, u)
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
		// Nor does anything else change a Kustomization that comes out as its file has it.
		if known != nil && known.by == nil && known.raw && u.by != known && u.by != nil && u.by.flux != nil {
			known.by = u.by
		}
		return
	}
	b.units[u.id()] = u
	b.queue = append(b.queue, u)
}

// note remembers what other objects refer to.
func (b *builder) note(objects []sources.Object) {
	for _, o := range objects {
		switch o.Kind {
		case "GitRepository":
			b.gitRepos = append(b.gitRepos, o)
		case "ConfigMap":
			b.configs = append(b.configs, o)
		}
	}
}

// addFlux adds the units of Flux's Kustomizations that a unit renders or, for nil, files have.
func (b *builder) addFlux(objects []sources.Object, by *unit) {
	for i := range objects {
		o := &objects[i]
		if o.Kind != "Kustomization" || o.Group() != "kustomize.toolkit.fluxcd.io" {
			continue
		}
		k := &kustomizev1.Kustomization{}
		if err := o.Decode(k); err != nil {
			b.notes = append(b.notes, unitNote{by: by, Finding: undecodable(o, err)})
			continue
		}
		// Without a source it is a patch of one.
		if k.Spec.SourceRef.Name == "" || !b.ours(k) {
			continue
		}
		dir := b.folderOf(k, o, by)
		files, err := manifest.Closure(b.tree, dir)
		if err != nil {
			b.notes = append(b.notes, unitNote{by, b.noFolder(k, o, by, err), dir})
			continue
		}
		for _, component := range k.Spec.Components {
			files = b.withComponent(files, o, dir, component)
		}
		b.add(&unit{dir: dir, flux: k, origin: o, by: by, raw: by == nil, closure: files})
	}
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
			if u.origin == nil || u.origin.File != name {
				any[name] = true
			}
		}
	}
	gone := map[*unit]bool{}
	for id, u := range b.units {
		if u.flux == nil && flux[u.dir] || u.raw && any[u.origin.File] && b.again(u) {
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

// again reports whether a Flux Kustomization of the same name was rendered too: with the same path, or one that a
// variable of its parent makes.
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
	byName := map[string]*sources.Object{}
	for _, name := range u.closure.Paths {
		if s := b.files[name]; s != nil {
			for i := range s.Objects {
				o := &s.Objects[i]
				byName[o.Kind+"/"+o.Name] = o
			}
		}
	}
	file, line := u.place()
	for i := range u.rendered.Objects {
		o := &u.rendered.Objects[i]
		o.File, o.Line, o.Text = file, line, nil
		if known := byName[o.Kind+"/"+o.Name]; known != nil {
			o.File, o.Line, o.Text = known.File, known.Line, known.Text
		}
	}
}
