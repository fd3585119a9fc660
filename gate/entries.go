package gate

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// maxProbes bounds how many entries of a tree are tried out: each costs a build.
const maxProbes = 30

// entry is one of the images of a kustomization file.
type entry struct {
	name, newName string
	// nth counts those of the same name before it.
	nth, line int
}

// entriesOf lists the images of a kustomization file.
func entriesOf(data []byte) []entry {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
		return nil
	}
	images := sources.ValueOf(doc.Content[0], "images")
	if images == nil || images.Kind != yaml.SequenceNode {
		return nil
	}
	var out []entry
	before := map[string]int{}
	for _, item := range images.Content {
		line := item.Line
		for item.Kind == yaml.AliasNode && item.Alias != nil {
			item = item.Alias
		}
		e := entry{name: sources.TextOf(item, "name"), newName: sources.TextOf(item, "newName"), line: line}
		e.nth = before[e.name]
		before[e.name]++
		out = append(out, e)
	}
	return out
}

// checkEntries looks for entries of images that change nothing of what their kustomization makes. Kustomize itself says
// so: it builds the folder with another name in the entry.
func (m *model) checkEntries() {
	within := map[string][]*unit{}
	for _, id := range sortedKeys(m.builder.units) {
		u := m.builder.units[id]
		for _, name := range u.closure.Paths {
			if render.IsKustomization(name) && m.files[name] != nil {
				within[name] = append(within[name], u)
			}
		}
	}
	probes := 0
	for _, name := range sortedKeys(within) {
		units := within[name]
		data, err := manifest.ReadFile(m.tree.FS, name)
		if err != nil || slices.ContainsFunc(units, func(u *unit) bool { return u.rendered == nil }) {
			continue
		}
		component := m.builder.isComponent(path.Dir(name))
		if !component {
			// What a kustomization makes of its own is the same wherever it is included.
			units = units[:1]
		} else if slices.ContainsFunc(units, func(u *unit) bool { return u.flux == nil }) {
			continue
		}
		for _, e := range entriesOf(data) {
			if e.name == "" || slices.ContainsFunc(within[name], func(u *unit) bool { return u.runs(e) }) {
				continue
			}
			if probes += len(units); probes > maxProbes {
				return
			}
			if m.builder.missed(units, name, e) {
				m.findings = append(m.findings, idle(name, e, within[name]))
			}
		}
	}
}

// runs reports whether a container that a unit renders has the image that an entry makes, whatever its tag.
func (u *unit) runs(e entry) bool {
	want := image.Repository(cmp.Or(e.newName, e.name))
	return slices.ContainsFunc(u.rendered.Nodes, func(n manifest.Node) bool {
		return isPod(n) && image.Repository(n.Value) == want
	})
}

// missed reports whether an entry changes nothing in any of the units.
func (b *builder) missed(units []*unit, file string, e entry) bool {
	for _, u := range units {
		folder := b.folders.Folder(u.dir)
		if u.flux != nil && folder.Add(&u.flux.Spec) != nil || b.bring(u, folder) != nil {
			return false
		}
		if reaches, err := folder.Reaches(file, e.name, e.nth); err != nil || reaches {
			return false
		}
	}
	return true
}

// idle is the note about an entry that changes nothing.
func idle(file string, e entry, units []*unit) report.Finding {
	f := report.Finding{
		Rule: report.RuleEntry, Level: report.LevelNote, File: file, Line: e.line, Subject: e.name,
		Message: fmt.Sprintf("the entry %s of images changes nothing: no container has that image where kustomize "+
			"applies it", e.name),
		Fix: "take it out, or write the name as the manifests have it, without its tag",
	}
	for _, u := range units {
		for _, n := range u.rendered.Nodes {
			known := image.Repository(n.Value)
			switch {
			case isPod(n) && path.Base(known) == path.Base(image.Repository(e.name)):
				f.Fix = fmt.Sprintf("write the name as the manifests have it, if it is meant for %s", known)
				return f
			case known == image.Repository(e.name) && !strings.HasPrefix(n.Object.APIVersion, "kustomize."):
				f.Fix = fmt.Sprintf("take it out: %s names that image where kustomize changes none",
					objectName(n.Object))
			}
		}
	}
	return f
}

// wrongType finds what of the images of a unit's kustomizations is no text, as kustomize wants it.
func (b *builder) wrongType(u *unit) (file string, line int, value string) {
	for _, name := range u.closure.Paths {
		data, err := manifest.ReadFile(b.tree, name)
		var doc yaml.Node
		if !render.IsKustomization(name) || err != nil || yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
			continue
		}
		images := sources.ValueOf(doc.Content[0], "images")
		if images == nil || images.Kind != yaml.SequenceNode {
			continue
		}
		for _, item := range images.Content {
			for _, key := range []string{"name", "newName", "newTag", "digest", "tagSuffix"} {
				n := sources.ValueOf(item, key)
				if n != nil && n.Kind == yaml.ScalarNode && n.Tag != "!!str" && n.Tag != "!!null" {
					return name, n.Line, n.Value
				}
			}
		}
	}
	return "", 0, ""
}
