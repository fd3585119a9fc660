package gitrepo

import (
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/envsubst"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// unit is what one Flux Kustomization renders, or the folder that was asked for.
type unit struct {
	// dir is the folder, and by the file of the Flux Kustomization that renders it; empty for the folder that was asked
	// for.
	dir, by string
	files   manifest.Files
	// vars are the nodes that set a variable, by its name: first the one that counts, then those that its value is made
	// of.
	vars map[string][]manifest.Node
	// children is what the unit adds to the Kustomizations that it renders.
	children manifest.PostBuild
	// copies is what its kustomizations copy from one object into others; nil while that was not read.
	copies *manifest.Copies
}

// expand replaces the unit's variables in a text.
func (u *unit) expand(text string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	var made []manifest.Node
	for _, found := range named.FindAllStringSubmatch(text, -1) {
		made = append(made, u.vars[found[1]]...)
	}
	return manifest.Expand(text, made)
}

// named finds the names of variables, those of a default among them.
var named = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)`)

// usedIn lists the variables that a text names.
func usedIn(text string) []string {
	var out []string
	_, _ = envsubst.Eval(text, func(name string) (string, bool) {
		add(&out, name)
		return "x", true
	})
	return out
}
