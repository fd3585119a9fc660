package gate

import (
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"go.yaml.in/yaml/v3"

	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// composed lists the groups of a file, with what stands elsewhere in the values of a HelmRelease put into them:
//
//	valuesFrom: [{…, targetPath: image.tag}]    beside image.repository
func (m *model) composed(s *sources.File) [][]manifest.Node {
	var out [][]manifest.Node
	hubs := map[*sources.Object]bool{}
	for _, group := range grouped(s.Nodes) {
		o := releaseOf(s, group[0])
		if o == nil {
			out = append(out, group)
			continue
		}
		if _, looked := hubs[o]; !looked {
			under := hubbed(o, group[0])
			hubs[o] = under != nil
			out = append(out, under...)
		}
		if !hubs[o] || !underHub(group) {
			out = append(out, m.withTargetPaths(o, group))
		}
	}
	return out
}

// underHub reports whether a group of values names its image by a word alone, so that a hub goes before it.
func underHub(group []manifest.Node) bool {
	return slices.ContainsFunc(group, func(n manifest.Node) bool {
		return n.Part == manifest.PartRepository && !strings.Contains(n.Value, "/")
	})
}

// releaseOf is the HelmRelease that a node is in; nil for none.
func releaseOf(s *sources.File, n manifest.Node) *sources.Object {
	if n.Object.Kind != "HelmRelease" {
		return nil
	}
	i := slices.IndexFunc(s.Objects, func(o sources.Object) bool {
		return o.Kind == n.Object.Kind && o.Name == n.Object.Name && o.Namespace == n.Object.Namespace &&
			o.Group() == helmv2.GroupVersion.Group
	})
	if i < 0 {
		return nil
	}
	return &s.Objects[i]
}

// withTargetPaths adds to a group what valuesFrom of its release puts beside it out of ConfigMaps of the tree.
func (m *model) withTargetPaths(o *sources.Object, group []manifest.Node) []manifest.Node {
	from := sources.ValueOf(sources.ValueOf(o.Root, "spec"), "valuesFrom")
	if from == nil || from.Kind != yaml.SequenceNode {
		return group
	}
	for _, item := range from.Content {
		part, ok := manifest.TargetPart(sources.TextOf(item, "targetPath"), group)
		if !ok || sources.TextOf(item, "kind") != "ConfigMap" {
			continue
		}
		config := m.builder.config(sources.TextOf(item, "name"), group[0].File)
		if config == nil {
			continue
		}
		key := sources.TextOf(item, "valuesKey")
		if key == "" {
			key = "values.yaml"
		}
		if value := sources.TextOf(sources.ValueOf(config.Root, "data"), key); value != "" {
			n := group[0]
			n.Part, n.Value, n.Policy, n.Suffix, n.Typed = part, strings.TrimSpace(value), "", "", false
			group = append(slices.Clone(group), n)
		}
	}
	return group
}
