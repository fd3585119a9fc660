package gitrepo

import (
	"slices"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// composed is the nodes that make one reference: the group that says it, and then, each by itself, the nodes that its
// variables and the like come from.
type composed [][]manifest.Node

// filesOf lists the files of references, each once.
func filesOf(all []composed) []string {
	var out []string
	for _, c := range all {
		for _, nodes := range c {
			add(&out, nodes[0].File)
		}
	}
	return out
}

// sameNodes reports whether two references are made of the same nodes, as where two units render one file alike.
func sameNodes(a, b composed) bool {
	x, y := slices.Concat(a...), slices.Concat(b...)
	return slices.EqualFunc(x, y, func(m, n manifest.Node) bool { return m.File == n.File && m.Pointer == n.Pointer })
}

// same reports whether a composed reference is what another one is. Where values are copied into it, each of them and
// the rest count.
func (c composed) same(other composed) bool {
	if c[0][0].Variable == "" {
		return manifest.SameReference(manifest.Effective(c), manifest.Effective(other))
	}
	return slices.EqualFunc(c, other, manifest.SameReference)
}
