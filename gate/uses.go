package gate

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// usesOf lists the images of a unit or, for nil, of a file that stands for itself.
func (m *model) usesOf(u *unit, s *sources.File) []report.Use {
	var out []report.Use
	places := m.placesOf(u)
	for _, group := range m.composed(s) {
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
		group = underGlobal(group, s.Nodes)
		image, ok := imageOf(group, m.repos)
		if !ok {
			continue
		}
		if sources.Templated.MatchString(image) {
			m.notTemplated(u, first)
			continue
		}
		use := report.Use{Image: image, Object: objectName(first.Object), Container: first.Container}
		use.Policy = policyOf(group)
		if u == nil {
			use.File, use.Line, use.Paths = first.File, lineOf(group), []string{first.File}
		} else {
			m.locate(&use, u, places, first)
			if strings.Contains(image, "${") {
				use.Literal, use.Certain = u.literal(first)
			}
		}
		m.retag(&use, group)
		out = append(out, use)
	}
	return out
}

// notTemplated reports that a template is not rendered.
func (m *model) notTemplated(u *unit, n manifest.Node) {
	document, _, _ := strings.Cut(n.Pointer, "#")
	f := report.Finding{
		Rule: report.RuleNotRendered, Level: report.LevelNote, File: n.File, Line: n.Line, Subject: document,
	}
	if u != nil {
		f.File, f.Line = u.place()
		for _, name := range u.sources() {
			s := m.source(name)
			if s == nil {
				continue
			}
			if i := slices.IndexFunc(s.Nodes, func(o manifest.Node) bool { return o.Pointer == n.Pointer }); i >= 0 {
				f.File, f.Line = name, s.Nodes[i].Line
			}
		}
		f = f.By(append([]string{u.dir + "/."}, u.origins()...))
	}
	kind, name, _ := strings.Cut(document, "/")
	f.Message = fmt.Sprintf("the template in %s %s is not rendered: its images are not looked at", kind, name)
	if !slices.ContainsFunc(m.findings, func(other report.Finding) bool {
		return other.Print() == f.Print() && other.File == f.File
	}) {
		m.findings = append(m.findings, f)
	}
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
	if u.origin != nil && !slices.Contains(files, u.origin.File) {
		files = append(files, u.origin.File)
	}
	for _, name := range files {
		s := m.source(name)
		if s == nil {
			continue
		}
		vars := u.vars
		if u.by != nil && u.origin.File == name {
			vars = u.by.vars // Its own Kustomization is rendered by another.
		}
		for _, group := range grouped(replaced(s, vars)) {
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
func (m *model) locate(use *report.Use, u *unit, p places, n manifest.Node) {
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
	use.Paths = append([]string{u.dir + "/.", use.File}, u.origins()...)
}
