package gitrepo

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestVariableThatBecameTextIsBlamedWhereItsValueCame(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	ks := func(spec ...string) string { return fluxKustomization("web", "./web", spec...) }
	set := func(tag string) string { return ks("postBuild:", "  substitute: {A: b, TAG: "+tag+"}") }
	settings := func(tag string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: flux-system}\ndata: {TAG: " + tag + "}\n"
	}
	values := func(tag string) string { return release("web", "image:\n  repository: "+web+"\n  tag: "+tag) }
	entry := func(tag string) string { return "images: [{name: " + web + ", newTag: \"" + tag + "\"}]\n" }
	copies := "configMapGenerator: [{name: v, literals: [tag=TAG]}]\nreplacements:\n" +
		"- source: {kind: ConfigMap, name: v, fieldPath: data.tag}\n  targets:\n  - select: {kind: Deployment}\n" +
		"    fieldPaths: [spec.template.spec.containers.*.image]\n    options: {delimiter: ':', index: 1}\n"
	replaced := func(tag string) string { return kustomization("d.yaml") + strings.Replace(copies, "TAG", tag, 1) }
	inputs := func(tag string) string {
		return "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {name: web}\nspec:\n  inputs: [{tag: " + tag +
			"}]\n  resources:\n" + indent("- "+strings.TrimSpace(indent(app("web", web+":<< inputs.tag >>"), "  ")), "  ")
	}
	lent := func(tag string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: v}\ndata: {tag: " + tag + "}\n"
	}
	const taken = "  valuesFrom: [{kind: ConfigMap, name: v, valuesKey: tag, targetPath: image.tag}]\n"
	const generated = "configMapGenerator: [{name: w, files: [values.yaml]}]\n"
	was := func(tag string) []string {
		return []string{"web/d.yaml -image: " + web + ":v2", "web/d.yaml +image: " + web + ":" + tag}
	}
	for name, c := range map[string]struct {
		// first, bump and plain are the files of the three commits.
		first, bump, plain []string
		want               []string
		subject            string
	}{
		"of the Flux Kustomization": {
			first: []string{"flux/ks.yaml", set("v1"), "web/d.yaml", app("web", web+":${TAG}")},
			bump:  []string{"flux/ks.yaml", set("v2")},
			plain: []string{"flux/ks.yaml", ks(), "web/d.yaml", app("web", web+":v2")}, want: was("v1"),
		},
		"which is set still": {
			first: []string{"flux/ks.yaml", set("v1"), "web/d.yaml", app("web", web+":${TAG}")},
			bump:  []string{"flux/ks.yaml", set("v2")},
			plain: []string{"web/d.yaml", app("web", web+":v2")}, want: was("v1"),
		},
		"of a ConfigMap": {
			first: []string{"flux/ks.yaml", ks("postBuild:", "  substituteFrom: [{kind: ConfigMap, name: settings}]"),
				"flux/cm.yaml", settings("v1"), "web/d.yaml", app("web", web+":${TAG}")},
			bump:  []string{"flux/cm.yaml", settings("v2")},
			plain: []string{"flux/ks.yaml", ks(), "flux/cm.yaml", "", "web/d.yaml", app("web", web+":v2")}, want: was("v1"),
		},
		"in another file": {
			first: []string{"flux/ks.yaml", set("v1"), "web/old.yaml", app("web", web+":${TAG}")},
			bump:  []string{"flux/ks.yaml", set("v2")},
			plain: []string{"flux/ks.yaml", ks(), "web/old.yaml", "", "web/d.yaml", app("web", web+":v2")}, want: was("v1"),
		},
		"in values": {
			first: []string{"flux/ks.yaml", set("v1"), "web/d.yaml", values("${TAG}")},
			bump:  []string{"flux/ks.yaml", set("v2")},
			plain: []string{"flux/ks.yaml", ks(), "web/d.yaml", values("v2")},
			want:  []string{"web/d.yaml -tag: v2", "web/d.yaml +tag: v1"},
		},
		"in an entry of images": {
			first: []string{"flux/ks.yaml", set("v1"), "web/d.yaml", app("web", web),
				"web/kustomization.yaml", kustomization("d.yaml") + entry("${TAG}")},
			bump:  []string{"flux/ks.yaml", set("v2")},
			plain: []string{"flux/ks.yaml", ks(), "web/kustomization.yaml", kustomization("d.yaml") + entry("v2")},
			want: []string{"web/kustomization.yaml -" + strings.TrimSpace(entry("v2")),
				"web/kustomization.yaml +" + strings.TrimSpace(entry("v1"))},
		},
		"whose text stood where the bump came": {
			first: []string{"flux/ks.yaml", ks(), "web/d.yaml", app("web", web+":v1")},
			bump:  []string{"flux/ks.yaml", set("v2"), "web/d.yaml", app("web", web+":${TAG}")},
			plain: []string{"flux/ks.yaml", ks(), "web/d.yaml", app("web", web+":v2")}, want: was("v1"),
		},
		"with its bump": {
			first: []string{"flux/ks.yaml", set("v1"), "web/d.yaml", app("web", web+":${TAG}")},
			bump:  []string{"flux/ks.yaml", ks(), "web/d.yaml", app("web", web+":v2")},
			plain: []string{"README.md", "a\n"}, want: was("v1"),
		},
		"of a replacement": {
			first: []string{"flux/ks.yaml", ks(), "web/kustomization.yaml", replaced("v1"), "web/d.yaml", app("web", web+":none")},
			bump:  []string{"web/kustomization.yaml", replaced("v2")},
			plain: []string{"web/kustomization.yaml", kustomization("d.yaml"), "web/d.yaml", app("web", web+":v2")},
			want:  was("v1"),
		},
		"of a ResourceSet": {
			first: []string{"flux/ks.yaml", ks(), "web/rs.yaml", inputs("v1")},
			bump:  []string{"web/rs.yaml", inputs("v2")},
			plain: []string{"web/rs.yaml", "", "web/d.yaml", app("web", web+":v2")},
			want:  was("v1"),
		},
		"which has a default alone": {
			first: []string{"flux/ks.yaml", ks(), "web/d.yaml", app("web", web+":${TAG:=v1}")},
			bump:  []string{"web/d.yaml", app("web", web+":${TAG:=v2}")},
			plain: []string{"web/d.yaml", app("web", web+":v2")}, want: was("v1"),
		},
		"in a file of values": {
			first: []string{"flux/ks.yaml", set("v1"), "web/kustomization.yaml", kustomization("d.yaml") + generated,
				"web/d.yaml", release("web", "a: b") + "  valuesFrom: [{kind: ConfigMap, name: w}]\n",
				"web/values.yaml", "image: {repository: " + web + ", tag: \"${TAG}\"}\n"},
			bump:  []string{"flux/ks.yaml", set("v2")},
			plain: []string{"flux/ks.yaml", ks(), "web/values.yaml", "image: {repository: " + web + ", tag: \"v2\"}\n"},
			want: []string{"web/values.yaml -image: {repository: " + web + ", tag: \"v2\"}",
				"web/values.yaml +image: {repository: " + web + ", tag: \"v1\"}"},
		},
		"beside another one": {
			first: []string{"flux/ks.yaml", ks("postBuild:", "  substitute: {REG: reg.example.org, TAG: v1}"),
				"web/d.yaml", app("web", "${REG}/web:${TAG}")},
			bump: []string{"flux/ks.yaml", ks("postBuild:", "  substitute: {REG: reg.example.org, TAG: v2}")},
			plain: []string{"flux/ks.yaml", ks("postBuild:", "  substitute: {REG: reg.example.org}"),
				"web/d.yaml", app("web", "${REG}/web:v2")},
			want: []string{"web/d.yaml -image: ${REG}/web:v2", "web/d.yaml +image: ${REG}/web:v1"},
		},
		"of a release's targetPath": {
			first: []string{"web/d.yaml", release("web", "image:\n  repository: "+web) + taken, "web/cm.yaml", lent("v1")},
			bump:  []string{"web/cm.yaml", lent("v2")},
			plain: []string{"web/cm.yaml", "", "web/d.yaml", values("v2")},
			want:  []string{"web/d.yaml -tag: v2", "web/d.yaml +tag: v1"},
		},
	} {
		sidecar := reconcile.Query{Image: web + ":v2", Namespace: "shop", Root: reconcile.Root{Path: "web",
			By: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "web"}}}
		person := ask(web + ":v2")
		person.ByPerson = true
		for by, q := range map[string]reconcile.Query{"a person": person, "the sidecar": sidecar} {
			t.Run(name+", asked by "+by, func(t *testing.T) {
				t.Parallel()
				r := newClone(t)
				r.put("first", c.first...)
				r.put("bump", c.bump...)
				r.put("plain", c.plain...)
				r.put("readme", "README.md", "b\n")
				s, lines := r.undo(q)
				if s.Subject != "bump" {
					t.Errorf("blamed %q: %+v", s.Subject, s.Places)
				}
				sameLines(t, lines, c.want)
			})
		}
	}
}

func TestTextThatBecameAVariableIsUndoneThere(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	ks := func(spec ...string) string { return fluxKustomization("web", "./web", spec...) }
	set := func(name, tag string) string { return ks("postBuild:", "  substitute: {"+name+": "+tag+"}") }
	plain := []string{"flux/ks.yaml", ks(), "web/kustomization.yaml", kustomization("d.yaml"), "web/d.yaml", app("web", web+":v1")}
	bump := []string{"web/d.yaml", app("web", web+":v2")}
	rs := "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {name: web}\nspec:\n  inputs: [{tag: v2}]\n  resources:\n" +
		indent("- "+strings.TrimSpace(indent(app("web", web+":<< inputs.tag >>"), "  ")), "  ")
	for name, c := range map[string]struct{ first, bump, later, last, want []string }{
		"of an entry of images": {plain, bump, []string{"flux/ks.yaml", set("TAG", "v2"), "web/d.yaml", app("web", web),
			"web/kustomization.yaml", kustomization("d.yaml") + "images:\n- name: " + web + "\n  newTag: ${TAG}\n"}, nil,
			[]string{"flux/ks.yaml -substitute: {TAG: v2}", "flux/ks.yaml +substitute: {TAG: v1}"}},
		"of a replacement": {plain, bump, []string{"web/d.yaml", app("web", web+":none"),
			"web/kustomization.yaml", kustomization("d.yaml") + "configMapGenerator: [{name: v, literals: [tag=v2]}]\n" +
				"replacements:\n- source: {kind: ConfigMap, name: v, fieldPath: data.tag}\n  targets:\n  - select: {kind: Deployment}\n" +
				"    fieldPaths: [spec.template.spec.containers.*.image]\n    options: {delimiter: ':', index: 1}\n"}, nil,
			[]string{"web/kustomization.yaml -configMapGenerator: [{name: v, literals: [tag=v2]}]",
				"web/kustomization.yaml +configMapGenerator: [{name: v, literals: [tag=v1]}]"}},
		"of a ResourceSet": {plain, bump, []string{"web/d.yaml", "", "web/rs.yaml", rs, "web/kustomization.yaml", kustomization("rs.yaml")}, nil,
			[]string{"web/rs.yaml -inputs: [{tag: v2}]", "web/rs.yaml +inputs: [{tag: v1}]"}},
		"again, under another name": {
			[]string{"flux/ks.yaml", set("TAG", "v1"), "web/d.yaml", app("web", web+":${TAG}")}, []string{"flux/ks.yaml", set("TAG", "v2")},
			[]string{"web/d.yaml", app("web", web+":v2")}, []string{"flux/ks.yaml", set("VER", "v2"), "web/d.yaml", app("web", web+":${VER}")},
			[]string{"flux/ks.yaml -substitute: {VER: v2}", "flux/ks.yaml +substitute: {VER: v1}"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("first", c.first...)
			r.put("bump", c.bump...)
			r.put("later", c.later...)
			if c.last != nil {
				r.put("last", c.last...)
			}
			r.undoneByPerson(t, web+":v2", c.want)
		})
	}
}
