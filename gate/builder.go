package gate

import (
	"io/fs"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// builder finds the units of a tree and renders them.
type builder struct {
	tree fs.FS
	// left says of a file or folder that a sparse checkout leaves it out; nil where nothing is left out.
	left  func(name string) bool
	files map[string]*sources.File
	// fetcher fetches the remote references that are allowed.
	fetcher *fetcher
	// remotes are the addresses that this repository is known by.
	remotes []string
	// earlier is the builder of another version of the tree, and changed the paths in which the two differ.
	earlier *builder
	changed map[string]bool

	// compared means that another version of the tree will be built after this one.
	compared bool

	// folders renders those of the tree.
	folders *render.Tree

	// laxity is what lax found; nil before it was asked.
	laxity *bool

	units    map[string]*unit
	queue    []*unit
	notes    []unitNote
	gitRepos []sources.Object
	configs  []sources.Object
}

// unitNote is a finding about an object of Flux, and the unit that renders it; nil for a file that has it.
type unitNote struct {
	by *unit
	report.Finding
	// folder that the object has Flux build and that is not there; empty for another finding.
	folder string
}

// renders reports whether a Flux Kustomization of this name was built.
func (b *builder) renders(name string) bool {
	for _, u := range b.units {
		if u.flux != nil && u.flux.Name == name && u.rendered != nil {
			return true
		}
	}
	return false
}
