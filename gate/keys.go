package gate

import (
	"fmt"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
)

// checkKeys looks for HelmReleases that take their values from a key that their ConfigMap does not have, which
// helm-controller refuses. What only the cluster knows, and a ConfigMap that others write to, is left out.
func (m *model) checkKeys() {
	configs := map[string][]placed{}
	var releases []placed
	for _, p := range m.placedObjects() {
		switch {
		case p.Kind == "ConfigMap" && p.unit != nil:
			configs[p.Namespace+"/"+p.Name] = append(configs[p.Namespace+"/"+p.Name], p)
		case p.Kind == helmv2.HelmReleaseKind && p.Group() == helmv2.GroupVersion.Group && p.unit != nil:
			releases = append(releases, p)
		}
	}
	for _, p := range releases {
		var hr helmv2.HelmRelease
		if p.Decode(&hr) != nil || hr.Spec.Suspend {
			continue
		}
		for i := range hr.Spec.ValuesFrom {
			from := &hr.Spec.ValuesFrom[i]
			if from.Kind == "ConfigMap" && !from.Optional && !strings.Contains(from.Name+from.GetValuesKey(), "$") {
				m.checkKey(p, i, from, configs[p.Namespace+"/"+from.Name])
			}
		}
	}
}

// checkKey reports a key of the nth of valuesFrom that none of the ConfigMaps of one name has. It is an error where
// Flux applies both out of this repository.
func (m *model) checkKey(p placed, nth int, from *helmv2.ValuesReference, configs []placed) {
	ours := func(u *unit) bool { return u.flux != nil && m.builder.surelyOurs(u.flux.Spec.SourceRef.Name) }
	level := report.LevelNote
	if ours(p.unit) && !slices.ContainsFunc(configs, func(c placed) bool { return !ours(c.unit) }) {
		level = report.LevelError
	}
	var has []string
	for _, c := range configs {
		keys, known := keysOf(c.Object)
		// What no Flux Kustomization renders may be one of another cluster.
		if !known || slices.Contains(keys, from.GetValuesKey()) || c.unit != p.unit && level == report.LevelNote {
			return
		}
		has = union(has, keys)
	}
	if len(has) == 0 {
		return
	}
	m.findings = append(m.findings, report.Finding{
		Rule: report.RuleKey, Level: level, File: p.File, Line: lineOfItem(&p.Object, nth, "spec", "valuesFrom"),
		Subject: p.String() + " " + from.Name + " " + from.GetValuesKey(),
		Message: fmt.Sprintf("%s takes its values from the key %s of ConfigMap %s, which has %s alone: Flux cannot install "+
			"or upgrade it", &p.Object, from.GetValuesKey(), from.Name, some(has, 5)),
		Fix: "name the file so in configMapGenerator (" + from.GetValuesKey() + "=FILE), or correct valuesKey",
	}.By(p.paths))
}

// lineOfItem is the line of an item of a list, as far as the file has it.
func lineOfItem(o *sources.Object, nth int, keys ...string) int {
	list := o.Text
	for _, key := range keys {
		list = sources.ValueOf(list, key)
	}
	if list == nil || nth >= len(list.Content) {
		return o.LineOf(keys...)
	}
	return list.Content[nth].Line
}

// keysOf lists the keys of a ConfigMap, and reports whether it has no others in the cluster: not where something else
// fills it or writes to it.
func keysOf(o sources.Object) (keys []string, known bool) {
	meta := sources.ValueOf(o.Root, "metadata")
	for _, in := range []string{"annotations", "labels"} {
		for _, word := range []string{"ssa", "reconcile"} {
			if sources.TextOf(sources.ValueOf(meta, in), "kustomize.toolkit.fluxcd.io/"+word) != "" {
				return nil, false
			}
		}
	}
	data := sources.ValueOf(o.Root, "data")
	for i := 0; data != nil && i+1 < len(data.Content); i += 2 {
		keys = append(keys, data.Content[i].Value)
	}
	open := func(key string) bool { return key == "<<" || strings.Contains(key, "$") }
	return keys, len(keys) > 0 && !slices.ContainsFunc(keys, open)
}
