package gate

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// unit is a folder that is rendered: by a Flux Kustomization, or because it has a kustomization that no other includes.
type unit struct {
	dir string
	// flux is Flux's object and origin where it was found; nil for a kustomization that none names.
	flux   *kustomizev1.Kustomization
	origin *sources.Object
	// by is the unit that renders origin; nil where a file has it.
	by *unit
	// raw means that origin was read from a file and not rendered by another unit.
	raw     bool
	closure manifest.Files
	// data is what kustomize makes, kept where variables are replaced in it.
	data []byte
	// rendered is what comes out, nil where it was not built; failed explains why.
	rendered *sources.File
	failed   *report.Finding
	// seen are the paths in the tree on which the rendering depends.
	seen map[string]bool
	vars render.Variables
}

// file and line that a finding about the whole unit points at.
func (u *unit) place() (string, int) {
	if u.origin != nil {
		return u.origin.File, u.origin.Line
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
			out = append(out, at.origin.File)
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
