package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// Wanted finds the image that the nodes of a root have a container run: the other way round of Match. candidates are
// images that the container had, newest first; they tell values that may be meant in more than one way, as those of a
// chart or of a template that kustomize changes. Where the image cannot be told, why says so and nothing is guessed.
func Wanted(nodes []Node, at Target, candidates []string) (image, why string) {
	own := templatesOf(nodes, at)
	overrides := overridesOf(nodes, own)
	if len(own) == 1 && len(overrides) == 0 && !strings.Contains(own[0], "${") {
		return own[0], ""
	}
	// Another container of the workload does not mention this one.
	rest := slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool {
		return n.Part == PartImage && isTemplate(n.Object.Kind) && n.Container != "" && n.Container != at.Container
	})
	for _, c := range candidates {
		if len(Match(rest, c, at)) > 0 {
			return c, ""
		}
	}
	if len(own) == 1 && len(overrides) == 1 {
		if image, ok := Reference(overrides[0], own[0]); ok {
			return image, ""
		}
	}
	switch {
	case len(own) > 1:
		return "", fmt.Sprintf("the files say %s for container %s, and which of them counts cannot be told",
			strings.Join(own, " and "), at.Container)
	case len(own) == 1:
		return "", fmt.Sprintf("the files say %s for container %s, and something else changes that", own[0], at.Container)
	}
	return "", fmt.Sprintf("no file says an image for container %s that it has or had", at.Container)
}

// templatesOf lists the images that templates of the target's workload say for its container, each once.
func templatesOf(nodes []Node, at Target) []string {
	best := fitOther
	var out []string
	for _, n := range nodes {
		if n.Part != PartImage || n.Container != at.Container || !isTemplate(n.Object.Kind) {
			continue
		}
		switch f := fit(n.Object, at); {
		case f == fitNever || f == fitOther || f < best:
		case f > best:
			best, out = f, []string{n.Value}
		case !slices.Contains(out, n.Value):
			out = append(out, n.Value)
		}
	}
	return out
}

// overridesOf lists the kustomize images entries that change one of the images.
func overridesOf(nodes []Node, images []string) [][]Node {
	var out [][]Node
	for _, g := range grouped(nodes) {
		n := g.nodes[0]
		if n.Part == PartImage || n.Container == "" {
			continue
		}
		if slices.ContainsFunc(images, func(image string) bool {
			repository, _, _ := Split(image)
			return normalRepository(repository) == normalRepository(n.Container)
		}) {
			out = append(out, g.nodes)
		}
	}
	return out
}
