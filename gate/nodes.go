package gate

import (
	"path"
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

// isObject says whether nodes are of a Kubernetes object, so that something may run them.
func isObject(n manifest.Node) bool { return n.Object.Kind != "" && n.Object.APIVersion != "" }

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

// ofChart says whether a node names a chart or another source of Flux, which no container runs.
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
