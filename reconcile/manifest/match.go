package manifest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/internal/workload"
)

// grade is how sure it is that a group makes an image run.
type grade int

const (
	// gradeNone: it does not.
	gradeNone grade = iota
	// gradeLone: a tag or digest alone, or with a name that says nothing of the image's.
	gradeLone
	// gradePart: the name fits and the rest is elsewhere, or the tag fits under the last words of the name, as where a
	// chart puts a registry before it.
	gradePart
	// gradeSame: the same image in other words, such as docker.io/library/nginx:1 for nginx:1.
	gradeSame
	// gradeExact: the image as written.
	gradeExact
)

// group is the nodes that make one reference together.
type group struct {
	nodes []Node
	grade grade
	fit   int
}

// Match picks the nodes that make an image run for a container: whole groups, all of them if several do.
//
// What names the image in full wins over what names a part of it. Of pod templates only those of the target's workload
// count, by kind and name; since kustomize adds prefixes and suffixes to names, the longest name within the target's is
// taken where none is equal. Within the workload every container of the image counts: it fails for all of them alike. A
// tag that stands alone, without a repository, counts only if it is the only one, or if the path to it or its policy
// tells which is meant. Nodes that share an anchor with one that is picked come with it. A tag that YAML takes for a
// number counts as the chart gets it where it names no image as it stands.
func Match(nodes []Node, image string, at Target) []Node {
	found := match(nodes, image, at)
	if len(found) == 0 {
		found = match(allWritten(nodes), image, at)
	}
	if len(found) == 0 && at.Loose {
		for _, other := range loose(nodes, image) {
			found = append(found, match(nodes, other, at)...)
		}
	}
	return found
}

// loose lists the images of the nodes that are the image with another say about the digest.
func loose(nodes []Node, image string) []string {
	repository, tag, digest := Split(image)
	var out []string
	for _, g := range grouped(nodes) {
		own, ok := Reference(g.nodes, "")
		r, t, d := Split(own)
		if !ok || normalRepository(r) != normalRepository(repository) || slices.Contains(out, own) {
			continue
		}
		if tag != "" && t != "" && tag != t {
			continue
		}
		if digest != "" && d != "" && digest == d || tag != "" && tag == t && (digest == "" || d == "") {
			out = append(out, own)
		}
	}
	return out
}

func match(nodes []Node, image string, at Target) []Node {
	groups := grouped(nodes)
	best := gradeNone
	var found []*group
	for _, g := range groups {
		g.fit = fit(g.nodes[0].Object, at)
		if g.grade = gradeOf(g.nodes, image); g.grade == gradeNone || g.fit == fitNever || anothers(g.nodes[0], at) {
			continue
		}
		found = append(found, g)
		best = max(best, g.grade)
	}
	laid := laidOver(keep(found, func(g *group) bool { return g.grade == gradeLone }), groups, image)
	if found = keep(found, func(g *group) bool { return g.grade == best }); best == gradeLone {
		found = laid.versions
	}
	found = laid.inPlace(found)
	found = nearest(found, true)
	found = nearest(found, false)
	if best == gradeLone && len(laid.of) == 0 {
		found = unambiguous(found, image, at)
	}
	return withAnchors(nodes, found)
}

// grouped puts nodes together by group, in their order.
func grouped(nodes []Node) []*group {
	type key struct{ file, group string }
	var list []*group
	index := map[key]*group{}
	for _, n := range nodes {
		k := key{n.File, n.Group}
		g := index[k]
		if g == nil || n.Group == "" {
			g = &group{}
			index[k] = g
			list = append(list, g)
		}
		g.nodes = append(g.nodes, n)
	}
	return list
}

// gradeOf says how sure it is that the nodes make the image.
func gradeOf(nodes []Node, image string) grade {
	p := partsOf(nodes)
	repository, tag, digest := Split(image)
	if own, ok := Reference(nodes, ""); ok || p.image != "" {
		switch {
		case own == image:
			return gradeExact
		case normal(own) == normal(image):
			return gradeSame
		case p.image != "" || !endsWith(repository, p.repository):
			return gradeNone
		}
	}
	full, ok := Reference(nodes, image)
	fullName, fullTag, fullDigest := Split(full)
	if !ok || fullTag != tag || fullDigest != digest {
		return gradeNone
	}
	switch {
	case p.pattern != "" && !matchesName(p.pattern, repository):
		return gradeNone
	case p.pattern != "":
		return gradePart
	case p.repository == "" && p.registry != "" && p.tag+p.digest != "":
		if normalRepository(fullName) != normalRepository(repository) {
			return gradeNone
		}
		return gradePart
	}
	return gradeOfParts(&p, repository)
}

// gradeOfParts is the grade of parts that fit the image, by how many of its parts they are.
func gradeOfParts(p *parts, repository string) grade {
	named := p.repository != ""
	versioned := p.tag != "" || p.digest != ""
	switch {
	case named && !versioned && normalRepository(p.repository) == normalRepository(repository):
		return gradePart
	case named && versioned && endsWith(repository, p.repository):
		return gradePart
	case !named && versioned:
		return gradeLone
	}
	return gradeNone
}

// endsWith reports whether a repository is another one behind a registry or a path.
func endsWith(repository, end string) bool {
	return repository == end || strings.HasSuffix(repository, "/"+end)
}

// How an object of a file may stand for the target. Above zero is the length of the name within the target's.
const (
	fitNever = -1
	fitOther = 0
	fitEqual = 1 << 16
	fitBoth  = 1 << 17
)

// isTemplate reports whether a kind of Kubernetes itself runs pods, so that another name is another workload.
func isTemplate(kind string) bool {
	k, ok := workload.Of(kind)
	return ok && k.Builtin() || kind == workload.Pod || kind == "ReplicationController"
}

// RunsPods reports whether it is of a kind of Kubernetes itself that runs pods.
func (o Object) RunsPods() bool { return isTemplate(o.Kind) }

// fit says how an object fits the target: never, by a part of its name, by its name, by name and namespace, or in a way
// that its name says nothing of (values, kustomizations, charts).
func fit(o Object, at Target) int {
	if isTemplate(o.Kind) && isTemplate(at.Kind) && o.Kind != at.Kind && !(o.Kind == "CronJob" && at.Kind == "Job") {
		return fitNever
	}
	if o.Name == "" || at.Name == "" {
		return fitOther
	}
	switch {
	case o.Name == at.Name && o.Namespace != "" && o.Namespace == at.Namespace:
		return fitBoth
	case o.Name == at.Name:
		return fitEqual
	case within(o.Name, at.Name):
		return len(o.Name)
	case isTemplate(o.Kind) && isTemplate(at.Kind) && !matchesName(o.Name, at.Name):
		return fitNever
	}
	return fitOther
}

// anothers reports whether a node can have no part in a workload that a HelmRelease made: it stands in another
// HelmRelease, in an object that is applied as it stands, or in a namespace that the HelmRelease takes no values from.
// What is inside of a HelmRelease, such as a patch of what its chart makes, is of the document that holds it.
func anothers(n Node, at Target) bool {
	r := at.Release
	if r.Name == "" {
		return false
	}
	id, _, _ := strings.Cut(n.Pointer, "#")
	of := strings.Split(id, "/")
	in := Object{Kind: of[0], Name: of[len(of)-1]}
	if len(of) == 3 {
		in.Namespace = of[1]
	}
	switch in.Kind {
	case r.Kind:
		return in.Name != r.Name && !within(in.Name, r.Name) || in.Namespace != "" && in.Namespace != r.Namespace
	case "ConfigMap", "Secret":
		return in.Namespace != "" && in.Namespace != r.Namespace
	}
	return isTemplate(n.Object.Kind)
}

// within reports whether a name may be the target's before a prefix, a suffix or both were added, whole words each.
func within(name, target string) bool { return strings.Contains("-"+target+"-", "-"+name+"-") }

// matchesName reports whether the name of a kustomize patch's target, which is a pattern, fits.
func matchesName(pattern, name string) bool {
	if !isPattern(pattern) {
		return false
	}
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	return err == nil && re.MatchString(name)
}

// nearest drops workloads (or, asked for the others, charts and custom resources) whose name fits less well than that
// of the best. A patch for any name stays; a chart whose name says nothing only where no other's does.
func nearest(found []*group, templates bool) []*group {
	best := map[string]int{}
	class := func(g *group) (string, bool) {
		kind := g.nodes[0].Object.Kind
		if templates {
			return "", isTemplate(kind) && g.fit != fitOther
		}
		return kind, !isTemplate(kind) && kind != "" && kind != "ConfigMap" && kind != "Secret" && kind != "Kustomization"
	}
	for _, g := range found {
		if name, ok := class(g); ok {
			best[name] = max(best[name], g.fit)
		}
	}
	return keep(found, func(g *group) bool {
		name, ok := class(g)
		return !ok || g.fit == best[name]
	})
}

// unambiguous keeps lone tags only where it is clear which is meant: a false blame is worse than none.
func unambiguous(found []*group, image string, at Target) []*group {
	if len(found) < 2 {
		return found
	}
	policy := found[0].nodes[0].Policy
	same := keep(found, func(g *group) bool { return policy != "" && g.nodes[0].Policy == policy })
	if len(same) == len(found) {
		return found
	}
	repository, _, _ := Split(image)
	words := []string{lastOf(repository), at.Container, at.Name}
	for _, word := range words {
		named := keep(found, func(g *group) bool { return word != "" && passes(g.nodes[0], word) })
		if len(named) == 1 {
			return named
		}
	}
	return nil
}

// passes reports whether the way to a node leads over a word: a key, an item's name, or a file or folder of it.
func passes(n Node, word string) bool {
	between := func(r rune) bool { return strings.ContainsRune("/#[]=!", r) }
	for _, part := range strings.FieldsFunc(n.File+"/"+n.Pointer, between) {
		if part == word || strings.TrimSuffix(strings.TrimSuffix(part, ".yaml"), ".yml") == word {
			return true
		}
	}
	return false
}

// withAnchors gives the nodes of the groups in the order of nodes, with those that share an anchor with one of them.
func withAnchors(nodes []Node, found []*group) []Node {
	type key struct{ file, at string }
	picked, anchors := map[[3]string]bool{}, map[key]bool{}
	for _, g := range found {
		for _, n := range g.nodes {
			// One node is in several groups where variables make several images of it.
			picked[[3]string{n.File, n.Pointer, n.Group}] = true
			if n.Anchor != "" {
				anchors[key{n.File, n.Anchor}] = true
			}
		}
	}
	var list []Node
	for _, n := range nodes {
		if picked[[3]string{n.File, n.Pointer, n.Group}] || n.Anchor != "" && anchors[key{n.File, n.Anchor}] {
			list = append(list, n)
		}
	}
	return list
}

func keep(list []*group, want func(*group) bool) []*group {
	var kept []*group
	for _, g := range list {
		if want(g) {
			kept = append(kept, g)
		}
	}
	return kept
}
