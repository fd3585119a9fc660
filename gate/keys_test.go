package gate_test

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/gate"
)

// source is the GitRepository by which Flux knows this repository.
const source = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: flux-system, namespace: flux-system}\n" +
	"spec: {interval: 1m, url: 'https://git.example.org/fleet'}\n"

func TestGateKeysThatConfigMapsDoNotHave(t *testing.T) {
	release := func(from string) string {
		return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app, namespace: apps}\nspec:\n  interval: 10m\n" +
			"  chart: {spec: {chart: app, sourceRef: {kind: HelmRepository, name: x}}}\n  valuesFrom:\n  - {kind: ConfigMap, name: app-values" + from + "}\n"
	}
	generator := func(file string) string {
		return "namespace: apps\nresources: [hr.yaml]\nconfigMapGenerator:\n- name: app-values\n  files: [" + file + "]\n" +
			"generatorOptions: {disableNameSuffixHash: true}\n"
	}
	files := func(more map[string]string) map[string]string {
		out := map[string]string{
			"source.yaml": source, "ks.yaml": kustomization("app", "./app", ""), "app/kustomization.yaml": generator("vals.yaml"),
			"app/vals.yaml": "image: {tag: v9}\n", "app/hr.yaml": release(""),
		}
		for name, text := range more {
			if out[name] = text; text == "" {
				delete(out, name)
			}
		}
		return out
	}
	wrong := []string{"error key-missing app/hr.yaml:8"}
	other := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-values, namespace: apps, annotations: {a: b}}\ndata: {a.yaml: ''}\n"
	for title, c := range map[string]struct {
		more map[string]string
		want []string
		says string
	}{
		"the usual key is not there":          {want: wrong, says: "the key values.yaml of ConfigMap app-values, which has vals.yaml alone"},
		"another key is not there":            {more: map[string]string{"app/hr.yaml": release(", valuesKey: prod.yaml")}, want: wrong, says: "prod.yaml"},
		"it is there":                         {more: map[string]string{"app/kustomization.yaml": generator("values.yaml=vals.yaml")}},
		"it may be missing":                   {more: map[string]string{"app/hr.yaml": release(", optional: true")}},
		"the key has a variable":              {more: map[string]string{"app/hr.yaml": release(", valuesKey: '${KEY}'")}},
		"no Flux Kustomization is known":      {more: map[string]string{"ks.yaml": ""}, want: []string{"note key-missing app/hr.yaml:8"}},
		"the source is not known":             {more: map[string]string{"source.yaml": ""}, want: []string{"note key-missing app/hr.yaml:8"}},
		"the release is suspended":            {more: map[string]string{"app/hr.yaml": release("") + "  suspend: true\n"}},
		"the ConfigMap is nobody's here":      {more: map[string]string{"app/kustomization.yaml": "resources: [hr.yaml]\n", "app/vals.yaml": ""}},
		"something else fills the ConfigMap":  {more: map[string]string{"app/kustomization.yaml": "resources: [hr.yaml, cm.yaml]\n", "app/cm.yaml": strings.Replace(other, "data: {a.yaml: ''}\n", "", 1)}},
		"something else writes to it":         {more: map[string]string{"app/kustomization.yaml": "resources: [hr.yaml, cm.yaml]\n", "app/cm.yaml": strings.Replace(other, "a: b", "kustomize.toolkit.fluxcd.io/ssa: Merge", 1)}},
		"a plain ConfigMap of another folder": {more: map[string]string{"app/kustomization.yaml": "resources: [hr.yaml]\n", "vars.yaml": kustomization("vars", "./vars", ""), "vars/cm.yaml": other}, want: wrong, says: "has a.yaml alone"},
		"another cluster's has it": {more: map[string]string{"app/kustomization.yaml": "resources: [hr.yaml]\n", "vars.yaml": kustomization("vars", "./vars", ""), "vars/cm.yaml": other,
			"vars2.yaml": kustomization("vars2", "./vars2", ""), "vars2/cm.yaml": strings.Replace(other, "a.yaml", "values.yaml", 1)}},
	} {
		t.Run(title, func(t *testing.T) {
			got := check(t, gate.Options{Head: tree(files(c.more))})
			wantFindings(t, got, c.want...)
			wantWords(t, got, c.says)
		})
	}
}

func TestGateEntriesThatChangeNothing(t *testing.T) {
	app, flux := deployment("app", "reg.example.org/app:v1"), kustomization("app", "./app", "")
	entry := func(text string) string { return "resources: [app.yaml]\nimages:\n" + text }
	component := "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n- {name: reg.example.org/api, newTag: v2}\n"
	for title, c := range map[string]struct {
		files map[string]string
		want  []string
		says  string
	}{
		"a name that nothing has": {
			files: map[string]string{"app/app.yaml": app, "app/kustomization.yaml": entry("- {name: app, newTag: v2}\n- {name: reg.example.org/app, newTag: v2}\n")},
			want:  []string{"note entry-matches-nothing app/kustomization.yaml:3"}, says: "if it is meant for reg.example.org/app",
		},
		"a name of which an earlier entry made another": {
			files: map[string]string{"app/app.yaml": app, "app/kustomization.yaml": entry("- {name: reg.example.org/app, newName: x}\n- {name: reg.example.org/app, newTag: v2}\n")},
			want:  []string{"note entry-matches-nothing app/kustomization.yaml:4"},
		},
		"values of a release": {
			files: map[string]string{"app/app.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app}\nspec:\n  values: {image: {repository: reg.example.org/app, tag: v1}}\n",
				"app/kustomization.yaml": entry("- {name: reg.example.org/app, newTag: v2}\n")},
			want: []string{"note entry-matches-nothing app/kustomization.yaml:3"}, says: "HelmRelease app names that image where kustomize changes none",
		},
		"a base whose overlay renames its image": {
			files: map[string]string{"app/app.yaml": app, "app/kustomization.yaml": entry("- {name: reg.example.org/app, newTag: v2}\n"),
				"prod/kustomization.yaml": "resources: [../app]\nimages: [{name: reg.example.org/app, newName: mirror.example.org/x}]\n"},
		},
		"a pattern, a chain and a variable": {
			files: map[string]string{"app/app.yaml": deployment("app", "${REG}/app:v1"), "app/kustomization.yaml": "resources: [app.yaml, b.yaml]\n" +
				"images: [{name: '.*/b', newTag: v2}, {name: '[$][{]REG[}]/app', newName: one}, {name: one, newName: two}]\n", "app/b.yaml": deployment("b", "reg.example.org/b:v1")},
		},
		"a field that a configuration adds": {
			files: map[string]string{"app/app.yaml": "apiVersion: actions.example.dev/v1\nkind: Runner\nmetadata: {name: r}\nspec: {image: 'reg.example.org/app:v1'}\n",
				"app/kustomization.yaml": entry("- {name: reg.example.org/app, newTag: v2}\nconfigurations: [c.yaml]\n"), "app/c.yaml": "images:\n- {kind: Runner, path: spec/image}\n"},
		},
		"an image that a patch of the same folder sets": {
			files: map[string]string{"app/app.yaml": app, "app/kustomization.yaml": entry("- {name: reg.example.org/new, newTag: v2}\npatches:\n- target: {kind: Deployment}\n" +
				"  patch: '[{\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/image\", \"value\": \"reg.example.org/new:v0\"}]'\n")},
		},
		"a component that no Flux Kustomization includes": {
			files: map[string]string{"app/app.yaml": app, "app/kustomization.yaml": "resources: [app.yaml]\ncomponents: [../c]\n", "c/kustomization.yaml": component},
		},
		"a component that changes nothing anywhere": {
			files: map[string]string{"ks.yaml": flux, "app/app.yaml": app, "app/kustomization.yaml": "resources: [app.yaml]\ncomponents: [../c]\n", "c/kustomization.yaml": component},
			want:  []string{"note entry-matches-nothing c/kustomization.yaml:4"},
		},
		"a component that changes something elsewhere": {
			files: map[string]string{"ks.yaml": flux, "app/app.yaml": app, "app/kustomization.yaml": "resources: [app.yaml]\ncomponents: [../c]\n", "c/kustomization.yaml": component,
				"ks2.yaml": kustomization("api", "./api", "components: [../c]"), "api/api.yaml": deployment("api", "reg.example.org/api:v1")},
		},
		"an entry in the place of which Flux has one": {
			files: map[string]string{"ks.yaml": kustomization("app", "./app", "images: [{name: reg.example.org/api, newTag: v3}]"), "app/app.yaml": app,
				"app/kustomization.yaml": entry("- {name: reg.example.org/api, newTag: v2}\n")},
			want: []string{"note entry-matches-nothing app/kustomization.yaml:3"},
		},
		"an entry in the place of which Flux has one that changes something": {
			files: map[string]string{"ks.yaml": kustomization("app", "./app", "images: [{name: reg.example.org/app, newName: x}]"), "app/app.yaml": app,
				"app/kustomization.yaml": entry("- {name: reg.example.org/app, newTag: v2}\n")},
		},
		"a number in a component": {
			files: map[string]string{"ks.yaml": flux, "app/app.yaml": app, "app/kustomization.yaml": "resources: [app.yaml]\ncomponents: [../c]\n",
				"c/kustomization.yaml": strings.Replace(component, "v2", "907500", 1)},
			want: []string{"error kustomize-build c/kustomization.yaml:4"}, says: `quote it: "907500"`,
		},
	} {
		t.Run(title, func(t *testing.T) {
			got := check(t, gate.Options{Head: tree(c.files)})
			wantFindings(t, got, c.want...)
			wantWords(t, got, c.says)
		})
	}
}

func TestGateAMarkerInUpperCaseLetters(t *testing.T) {
	got := check(t, gate.Options{Head: tree(map[string]string{
		"p.yaml": scanned, "a.yaml": deployment("a", "reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:App\"}"),
	})})
	wantFindings(t, got, "error marker-unknown-policy a.yaml:12")
	wantWords(t, got, "upper-case letters", `"flux-system:app"`)
}
