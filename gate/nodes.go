package gate

import (
	"path"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// repositories joins a marker's policy with the image that it scans.
type repositories map[string]string

// groups of nodes, in their order.
func grouped(nodes []manifest.Node) [][]manifest.Node {
	var out [][]manifest.Node
	index := map[string]int{}
	for _, n := range nodes {
		i, ok := index[n.Group]
		if !ok {
			i = len(out)
			index[n.Group] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], n)
	}
	return out
}

// isObject reports whether nodes are of a Kubernetes object, so that something may run them: a kustomization is none.
func isObject(n manifest.Node) bool {
	return n.Object.Kind != "" && n.Object.APIVersion != "" &&
		!strings.HasPrefix(n.Object.APIVersion, "kustomize.config.k8s.io/")
}

// imageOf is the reference that a group makes; repos helps where a tag stands alone behind a marker.
func imageOf(group []manifest.Node, repos repositories) (string, bool) {
	image, ok := manifest.Reference(group, "")
	if ok {
		return image, image != ""
	}
	for _, n := range group {
		if base := repos[n.Policy]; n.Policy != "" && base != "" {
			return manifest.Reference(group, base)
		}
	}
	return "", false
}

// underGlobal puts a group of Helm values under the registry that the same values set for all images of a chart:
// global.imageRegistry takes the place of a registry that a group names in a key of its own, and goes before a
// repository that names none.
func underGlobal(group, nodes []manifest.Node) []manifest.Node {
	first := group[0]
	document, _, _ := strings.Cut(first.Pointer, "#")
	i := slices.IndexFunc(nodes, func(n manifest.Node) bool {
		return n.Part == manifest.PartRegistry && n.Value != "" && n.File == first.File &&
			strings.HasPrefix(n.Pointer, document+"#") && strings.HasSuffix(n.Pointer, "/global/imageRegistry")
	})
	if i < 0 || group[0].Group == nodes[i].Group {
		return group
	}
	group = slices.Clone(group)
	for k, n := range group {
		host, _, path := strings.Cut(n.Value, "/")
		switch {
		case n.Part == manifest.PartImage,
			n.Part == manifest.PartRepository && path && (strings.ContainsAny(host, ".:") || host == "localhost"):
			return group
		case n.Part == manifest.PartRegistry:
			group[k].Value = nodes[i].Value
			return group
		}
	}
	registry := nodes[i]
	registry.Group = first.Group
	return append(group, registry)
}

// fluxKustomization names the Kustomization that a node is in, be it in an inline patch: its images and patches go into
// what it renders.
func fluxKustomization(n manifest.Node) (string, bool) {
	document, _, _ := strings.Cut(n.Pointer, "#")
	if !strings.HasPrefix(document, "Kustomization/") {
		return "", false
	}
	return path.Base(document), true
}

// postRendered gives the HelmRelease whose post-renderers hold a node: what they patch is made by its chart.
func postRendered(n manifest.Node) (manifest.Object, bool) {
	document, field, _ := strings.Cut(n.Pointer, "#")
	kind, name, _ := strings.Cut(document, "/")
	if kind != "HelmRelease" || !strings.HasPrefix(field, "/spec/postRenderers") {
		return manifest.Object{}, false
	}
	o := manifest.Object{APIVersion: "helm.toolkit.fluxcd.io/v2", Kind: kind, Name: name}
	if ns, name, ok := strings.Cut(name, "/"); ok {
		o.Namespace, o.Name = ns, name
	}
	return o, true
}

// ofChart reports whether a node names a chart or another source of Flux, which no container runs.
func ofChart(n manifest.Node) bool {
	document, field, _ := strings.Cut(n.Pointer, "#")
	kind, _, _ := strings.Cut(document, "/")
	return strings.HasPrefix(n.Object.APIVersion, "source.toolkit.fluxcd.io/") ||
		kind == "HelmRelease" && (strings.HasPrefix(field, "/spec/chart/") || strings.HasPrefix(field, "/spec/chartRef/"))
}

func objectName(o manifest.Object) string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

func policyOf(group []manifest.Node) string {
	for _, n := range group {
		if n.Policy != "" {
			return n.Policy
		}
	}
	return ""
}

// lineOf is the line of a group that people change: that of the tag before that of the name.
func lineOf(group []manifest.Node) int {
	for _, part := range []manifest.Part{manifest.PartImage, manifest.PartTag, manifest.PartDigest} {
		for _, n := range group {
			if n.Part == part {
				return n.Line
			}
		}
	}
	return group[0].Line
}
