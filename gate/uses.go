package gate

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Use is an image at a place.
type Use struct {
	// Image is the reference as it would run.
	Image string `json:"image"`
	// File and Line that say so.
	File string `json:"file"`
	Line int    `json:"line"`
	// Object that runs it, and the container where it is known.
	Object    string `json:"object,omitempty"`
	Container string `json:"container,omitempty"`
	// Unit is the folder that renders it; empty for a file that no kustomization includes.
	Unit string `json:"unit,omitempty"`
	// Environments of .backstop.yaml that it runs in.
	Environments []string `json:"environments,omitempty"`
	// Policy is the ImagePolicy that writes it, as namespace:name.
	Policy string `json:"policy,omitempty"`

	// paths by which environments know the use.
	paths []string
}

// repositoryOf joins a marker's policy with the image that it scans.
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

// usesOf lists the images of a unit or, for nil, of a file that stands for itself.
func (m *model) usesOf(u *unit, s *source) []Use {
	var out []Use
	places := m.placesOf(u)
	for _, group := range grouped(s.nodes) {
		first := group[0]
		if release, ok := postRendered(first); ok {
			first.Object = release
		}
		if name, ok := fluxKustomization(first); !isObject(first) || ok && m.builder.renders(name) || m.standsFor(u, first) {
			continue
		}
		if ofChart(first) {
			continue
		}
		image, ok := imageOf(group, m.repos)
		if !ok {
			continue
		}
		if templated.MatchString(image) {
			m.notTemplated(u, first)
			continue
		}
		use := Use{Image: image, Object: objectName(first.Object), Container: first.Container}
		use.Policy = policyOf(group)
		if u == nil {
			use.File, use.Line, use.paths = first.File, lineOf(group), []string{first.File}
		} else {
			m.locate(&use, u, places, first)
		}
		m.retag(&use, group)
		out = append(out, use)
	}
	return out
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

// templated finds what a controller makes an image of later, and no YAML tool can: << inputs.tag >>, {{ .tag }}.
var templated = regexp.MustCompile(`<<|\{\{|\[\[`)

// notTemplated says that a template is not rendered.
func (m *model) notTemplated(u *unit, n manifest.Node) {
	document, _, _ := strings.Cut(n.Pointer, "#")
	f := Finding{Rule: RuleNotRendered, Level: LevelNote, File: n.File, Line: n.Line, subject: document}
	if u != nil {
		f.File, f.Line = u.place()
		for _, name := range u.sources() {
			s := m.source(name)
			if s == nil {
				continue
			}
			if i := slices.IndexFunc(s.nodes, func(o manifest.Node) bool { return o.Pointer == n.Pointer }); i >= 0 {
				f.File, f.Line = name, s.nodes[i].Line
			}
		}
		f = f.by(append([]string{u.dir + "/."}, u.origins()...))
	}
	kind, name, _ := strings.Cut(document, "/")
	f.Message = fmt.Sprintf("the template in %s %s is not rendered: its images are not looked at", kind, name)
	if !slices.ContainsFunc(m.findings, func(other Finding) bool {
		return other.print() == f.print() && other.File == f.File
	}) {
		m.findings = append(m.findings, f)
	}
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

// places are the nodes of a unit's files, found by a word of their values.
type places map[string][]manifest.Node

// wordsOf are the words by which a value is found: the end of the repository, the tag and the digest.
func wordsOf(part manifest.Part, value string) []string {
	switch part {
	case manifest.PartTag, manifest.PartDigest:
		return []string{value}
	case manifest.PartImage, manifest.PartName, manifest.PartRepository:
		repository, tag, digest := manifest.Split(value)
		words := []string{path.Base(repository), tag, digest}
		return slices.DeleteFunc(words, func(w string) bool { return w == "" })
	default:
		return nil
	}
}

// placesOf indexes the nodes of a unit's files by group: a word of one leads to all of them.
func (m *model) placesOf(u *unit) places {
	if u == nil {
		return nil
	}
	p := places{}
	files := u.sources()
	if u.origin != nil && !slices.Contains(files, u.origin.file) {
		files = append(files, u.origin.file)
	}
	for _, name := range files {
		s := m.source(name)
		if s == nil {
			continue
		}
		vars := u.vars
		if u.by != nil && u.origin.file == name {
			vars = u.by.vars // Its own Kustomization is rendered by another.
		}
		for _, group := range grouped(replaced(s.nodes, vars)) {
			seen := map[string]bool{}
			for _, n := range group {
				words := wordsOf(n.Part, n.Value)
				if n.Part != manifest.PartImage && n.Container != "" {
					words = append(words, path.Base(n.Container))
				}
				for _, word := range words {
					if !seen[word] {
						seen[word] = true
						p[word] = append(p[word], group...)
					}
				}
			}
		}
	}
	return p
}

// locate finds the file and line from which a rendered image comes, and the environments' paths.
func (m *model) locate(use *Use, u *unit, p places, n manifest.Node) {
	use.Unit = u.dir
	var near []manifest.Node
	seen := map[string]bool{}
	for _, word := range wordsOf(manifest.PartImage, use.Image) {
		for _, candidate := range p[word] {
			if at := candidate.File + candidate.Pointer; !seen[at] {
				seen[at] = true
				near = append(near, candidate)
			}
		}
	}
	at := manifest.Target{Namespace: n.Object.Namespace, Kind: n.Object.Kind, Name: n.Object.Name, Container: n.Container}
	found := manifest.Match(near, use.Image, at)
	if len(found) > 1 {
		// A tag that an overlay sets is where it is changed, not the base; nor where it is left empty.
		_, tag, digest := manifest.Split(use.Image)
		part := func(n manifest.Node) bool { return n.Part == manifest.PartTag || n.Part == manifest.PartDigest }
		best := slices.IndexFunc(found, func(n manifest.Node) bool {
			return part(n) && n.Value != "" && (n.Value == tag || n.Value == digest)
		})
		if best < 0 {
			best = slices.IndexFunc(found, part)
		}
		if best > 0 {
			found[0] = found[best]
		}
	}
	use.File, use.Line = u.place()
	if len(found) > 0 {
		use.File, use.Line = found[0].File, found[0].Line
		use.Policy = cmp.Or(use.Policy, policyOf(found))
	}
	use.paths = append([]string{u.dir + "/.", use.File}, u.origins()...)
}
