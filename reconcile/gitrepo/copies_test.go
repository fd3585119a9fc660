package gitrepo

import (
	"strings"
	"testing"
)

// configMap holds one value.
func configMap(name, key, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata:\n  " + key + ": " + value + "\n"
}

func TestAValueThatIsCopiedIsBlamedAndUndoneAtItsSource(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	copied := "replacements:\n- source: {kind: ConfigMap, name: versions, fieldPath: data.web}\n  targets:\n" +
		"  - select: {kind: Deployment, name: web}\n    fieldPaths: [\"spec.template.spec.containers.[name=app].image\"]\n" +
		"    options: {delimiter: \":\", index: 1}\n"
	byIndex := strings.Replace(copied, "[name=app]", "0", 1)
	rset := func(tag string) string {
		return "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {name: jobs}\nspec:\n  inputs:\n" +
			"  - {tenant: red, tag: v0}\n  - {tenant: blue, tag: " + tag + "}\n  resources:\n  - apiVersion: apps/v1\n" +
			"    kind: Deployment\n    metadata: {name: << inputs.tenant >>}\n    spec: {template: {spec: {containers: " +
			"[{name: app, image: \"reg.example.org/<< inputs.tenant >>:<< inputs.tag >>\"}]}}}\n"
	}
	for _, test := range []struct {
		name  string
		files []string
		// file, before and after of the commit to blame, "bump".
		file, before, after, image string
		diff                       []string
	}{
		{
			name: "a replacement of the tag",
			files: []string{"a/kustomization.yaml", kustomization("d.yaml", "v.yaml") + copied, "a/d.yaml", app("web", web+":none"),
				"a/v.yaml", configMap("versions", "web", "v1")},
			file: "a/v.yaml", before: "v1", after: "v2", image: web + ":v2",
			diff: []string{"a/v.yaml -web: v2", "a/v.yaml +web: v1"},
		},
		{
			name: "a replacement in a file of its own, of a literal, and by index",
			files: []string{
				"a/kustomization.yaml", kustomization("d.yaml") + "replacements: [{path: r.yaml}]\nconfigMapGenerator:\n- name: versions\n" +
					"  literals:\n  - web=v1\n",
				"a/r.yaml", strings.TrimPrefix(byIndex, "replacements:\n"), "a/d.yaml", app("web", web+":none")},
			file: "a/kustomization.yaml", before: "web=v1", after: "web=v2", image: web + ":v2",
			diff: []string{"a/kustomization.yaml -- web=v2", "a/kustomization.yaml +- web=v1"},
		},
		{
			name: "two environments that copy versions of their own into one base",
			files: []string{
				"base/kustomization.yaml", kustomization("d.yaml"), "base/d.yaml", app("web", web+":none"),
				"red/kustomization.yaml", kustomization("../base", "v.yaml") + copied, "red/v.yaml", configMap("versions", "web", "v0"),
				"blue/kustomization.yaml", kustomization("../base", "v.yaml") + copied, "blue/v.yaml", configMap("versions", "web", "v1"),
				"ks.yaml", fluxKustomization("red", "./red") + "---\n" + fluxKustomization("blue", "./blue"),
			},
			file: "blue/v.yaml", before: "v1", after: "v2", image: web + ":v2",
			diff: []string{"blue/v.yaml -web: v2", "blue/v.yaml +web: v1"},
		},
		{
			name: "a var",
			files: []string{
				"a/kustomization.yaml", kustomization("d.yaml", "v.yaml") + "vars:\n- name: TAG\n  objref: {kind: ConfigMap, name: versions, " +
					"apiVersion: v1}\n  fieldref: {fieldpath: data.web}\n", "a/d.yaml", app("web", web+":$(TAG)"),
				"a/v.yaml", configMap("versions", "web", "v1")},
			file: "a/v.yaml", before: "v1", after: "v2", image: web + ":v2",
			diff: []string{"a/v.yaml -web: v2", "a/v.yaml +web: v1"},
		},
		{
			name: "an input of a ResourceSet", files: []string{"r.yaml", rset("v1")},
			file: "r.yaml", before: "v1}", after: "v2}", image: "reg.example.org/blue:v2",
			diff: []string{"r.yaml -- {tenant: blue, tag: v2}", "r.yaml +- {tenant: blue, tag: v1}"},
		},
		{
			name:  "an input of a ResourceSet, through functions that change nothing",
			files: []string{"r.yaml", strings.Replace(rset("v1"), "<< inputs.tag >>", `<< inputs.tag | default \"v0\" | trim >>`, 1)},
			file:  "r.yaml", before: "v1}", after: "v2}", image: "reg.example.org/blue:v2",
			diff: []string{"r.yaml -- {tenant: blue, tag: v2}", "r.yaml +- {tenant: blue, tag: v1}"},
		},
		{
			name: "the version of the app in a chart of the repository",
			files: []string{"c/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: \"1.0\"\n",
				"c/values.yaml", "image:\n  repository: " + web + "\n  tag: \"\"\n"},
			file: "c/Chart.yaml", before: `"1.0"`, after: `"2.0"`, image: web + ":2.0",
			diff: []string{`c/Chart.yaml -appVersion: "2.0"`, `c/Chart.yaml +appVersion: "1.0"`},
		},
		{
			name:  "the registry is a variable of a Secret",
			files: []string{"d.yaml", app("web", "${REGISTRY}/acme/web:v1")},
			file:  "d.yaml", before: "web:v1", after: "web:v2", image: "reg.example.org/acme/web:v2",
			diff: []string{"d.yaml -image: ${REGISTRY}/acme/web:v2", "d.yaml +image: ${REGISTRY}/acme/web:v1"},
		},
		{
			name:  "a key that is an alias",
			files: []string{"r.yaml", release("web", "x: &app main\ncontrollers:\n  *app :\n    image:\n      repository: "+web+"\n      tag: v1")},
			file:  "r.yaml", before: "v1", after: "v2", image: web + ":v2",
			diff: []string{"r.yaml -tag: v2", "r.yaml +tag: v1"},
		},
		{
			name:  "a repository that is cut in two",
			files: []string{"r.yaml", release("web", "controller:\n  repository: reg.example.org/acme\n  image: web\n  tag: v1")},
			file:  "r.yaml", before: "v1", after: "v2", image: "reg.example.org/acme/web:v2",
			diff: []string{"r.yaml -tag: v2", "r.yaml +tag: v1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("add", test.files...)
			c.replace("bump", test.file, test.before, test.after)
			c.undoneByPerson(t, test.image, test.diff)
		})
	}
}

func TestTheImageBeforeIsNamedThoughItsRegistryIsAVariable(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.put("add", "d.yaml", app("web", "${REGISTRY}/acme/web:v1"))
	c.replace("bump", "d.yaml", "web:v1", "web:v2")
	l := c.open()
	s, err := l.Blame(t.Context(), ask("reg.example.org/acme/web:v2"))
	if err != nil {
		t.Fatal(err)
	}
	former, err := l.Former(t.Context(), s, 1)
	if err != nil || len(former) != 1 || former[0].Image != "reg.example.org/acme/web:v1" {
		t.Errorf("before it was %+v, %v", former, err)
	}
}

func TestAFileThatCannotBeReadIsNamedBeforeTheCommitThatMadeItSo(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	c := newClone(t)
	c.put("add", "d.yaml", app("web", web+":v1"))
	c.replace("bump", "d.yaml", "web:v1", "web:v2")
	c.put("a template", "d.yaml", "{{ if .x }}\n"+app("web", web+":v2")+"{{ end }}\n")
	q := ask(web + ":v2")
	q.ByPerson = true
	s, err := c.open().Blame(t.Context(), q)
	if err == nil || !strings.Contains(err.Error(), "d.yaml:13") {
		t.Errorf("blamed %q, gone since %+v, %v", s.Subject, s.GoneSince, err)
	}
}
