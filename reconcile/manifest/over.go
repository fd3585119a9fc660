package manifest

import (
	"slices"
	"strings"
)

// over is what is known of versions that stand alone.
//
//	base     image: {repository: reg/web}        prod     image: {tag: v2}        makes reg/web:v2
type over struct {
	// versions are those that may be the image's.
	versions []*group
	// of are those that are laid over its repository, by the group that names it; empty where nobody can tell.
	of map[*group][]*group
}

// laidOver keeps the versions that are laid over the image's repository, which another file names at the same place of
// the same object, or of the values of one release: these are sure. Where there are none, it keeps those of which
// nobody can tell what they are laid over.
func laidOver(lone, all []*group, image string) over {
	out := over{of: map[*group][]*group{}}
	if len(lone) == 0 {
		return out
	}
	repository, _, _ := Split(image)
	named := keep(all, func(g *group) bool {
		p := partsOf(g.nodes)
		return p.image == "" && p.repository != ""
	})
	var open []*group
	for _, l := range lone {
		beneath := keep(named, func(g *group) bool { return LiesUnder(g.nodes, l.nodes, false) })
		if len(beneath) == 0 {
			beneath = beneathValues(l, named)
		}
		known := len(beneath) > 0
		beneath = keep(beneath, func(g *group) bool { return lastOf(partsOf(g.nodes).repository) == lastOf(repository) })
		for _, g := range beneath {
			out.of[g] = append(out.of[g], l)
		}
		switch {
		case len(beneath) > 0:
			out.versions = append(out.versions, l)
		case !known:
			open = append(open, l)
		}
	}
	if len(out.versions) == 0 {
		out.versions = open
	}
	return out
}

// beneathValues is the one group that a version in values is laid over, as where a HelmRelease has the repository and a
// ConfigMap the tag; none where the way to the version tells of none or of several that it is theirs: two releases have
// values of one shape.
func beneathValues(l *group, named []*group) []*group {
	beneath := keep(named, func(g *group) bool {
		n, version := g.nodes[0], l.nodes[0]
		if !ofValues(n) || !ofValues(version) || n.Object.Kind == helmRelease && version.Object.Kind == helmRelease {
			return false
		}
		words := []string{lastOf(partsOf(g.nodes).repository), n.Object.Name}
		return LiesUnder(g.nodes, l.nodes, true) &&
			slices.ContainsFunc(words, func(w string) bool { return w != "" && passes(version, w) })
	})
	if len(beneath) != 1 {
		return nil
	}
	return beneath
}

// ofValues reports whether a node is one of the values of a release: in a HelmRelease, in a ConfigMap, or in a file
// that is no object.
func ofValues(n Node) bool {
	switch n.Object.Kind {
	case "", "ConfigMap":
		return !IsEntry(n)
	case helmRelease:
		return strings.Contains(n.Pointer, "#/spec/values/")
	}
	return false
}

// lastOf is the last word of a repository.
func lastOf(repository string) string { return repository[strings.LastIndexByte(repository, '/')+1:] }

// inPlace puts versions in the place of repositories that say none.
func (o over) inPlace(found []*group) []*group {
	var out []*group
	for _, g := range found {
		versions := o.of[g]
		if p := partsOf(g.nodes); g.grade != gradePart || p.tag+p.digest != "" || len(versions) == 0 {
			versions = []*group{g}
		}
		for _, v := range versions {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out
}
