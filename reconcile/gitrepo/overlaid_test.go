package gitrepo

import (
	"strings"
	"testing"
)

func TestWhatWasLaidOverCountsAgain(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	digest := "sha256:" + strings.Repeat("1", 64)
	overlay := kustomization("../base")
	based := func(c *clone, files ...string) {
		c.put("add", append([]string{"base/kustomization.yaml", kustomization("d.yaml"), "base/d.yaml", app("web", web+":v1"),
			"prod/kustomization.yaml", overlay}, files...)...)
	}
	// inline is a patch in the text of a kustomization.
	inline := func(text string) string {
		return overlay + "patches:\n  - patch: |-\n" + indent(text, "      ")
	}
	const replace = "- op: replace\n  path: /spec/template/spec/containers/0/image\n  value: " + web + ":v2\n"
	flux := func(more string) string {
		return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: prod, namespace: flux-system}\n" +
			"spec:\n  path: ./prod\n  sourceRef: {kind: GitRepository, name: flux-system}\n" + more
	}
	variables := func(more string) string { return flux("  postBuild:\n    substitute:\n      REGION: eu\n" + more) }
	for _, test := range []struct {
		name    string
		history func(c *clone)
		image   string
		diff    []string
	}{
		{"a patch in a kustomization", func(c *clone) {
			based(c)
			c.put("web v2", "prod/kustomization.yaml", inline(app("web", web+":v2")))
		}, web + ":v2", []string{"prod/kustomization.yaml -image: " + web + ":v2", "prod/kustomization.yaml +image: " + web + ":v1"}},
		{"a patch in a file", func(c *clone) {
			based(c)
			c.put("web v2", "prod/kustomization.yaml", overlay+"patches: [{path: patches/web.yaml}]\n", "prod/patches/web.yaml",
				app("web", web+":v2"))
		}, web + ":v2", []string{"prod/patches/web.yaml -image: " + web + ":v2", "prod/patches/web.yaml +image: " + web + ":v1"}},
		{"a JSON patch in a file", func(c *clone) {
			based(c)
			c.put("web v2", "prod/kustomization.yaml", overlay+"patches: [{path: p.yaml, target: {kind: Deployment}}]\n",
				"prod/p.yaml", replace)
		}, web + ":v2", []string{"prod/p.yaml -value: " + web + ":v2", "prod/p.yaml +value: " + web + ":v1"}},
		{"a patch of a Flux Kustomization", func(c *clone) {
			based(c, "clusters/prod.yaml", flux(""))
			c.put("web v2", "clusters/prod.yaml", flux("  patches:\n    - target: {kind: Deployment, name: web}\n      patch: |\n"+
				indent(replace, "        ")))
		}, web + ":v2", []string{"clusters/prod.yaml -value: " + web + ":v2", "clusters/prod.yaml +value: " + web + ":v1"}},
		{"a tag in a patch of a release", func(c *clone) {
			c.put("add", "base/kustomization.yaml", kustomization("r.yaml"), "base/r.yaml",
				release("web", "image:\n  repository: "+web+"\n  tag: v1"), "prod/kustomization.yaml", overlay)
			c.put("web v2", "prod/kustomization.yaml", overlay+"patches: [{path: r.yaml}]\n", "prod/r.yaml",
				release("web", "image:\n  tag: v2\n  digest: "+digest))
		}, web + ":v2@" + digest, []string{"prod/r.yaml -tag: v2", "prod/r.yaml -digest: " + digest, "prod/r.yaml +tag: v1"}},
		{"a tag in values over those of a ConfigMap", func(c *clone) {
			from := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata:\n  values.yaml: |\n    image:\n      repository: " +
				web + "\n      tag: v1\n"
			r := strings.Replace(release("web", "replicas: 1"), "spec:\n", "spec:\n  valuesFrom: [{kind: ConfigMap, name: web}]\n", 1)
			c.put("add", "r.yaml", r, "c.yaml", from)
			c.put("web v2", "r.yaml", strings.Replace(r, "replicas: 1", "replicas: 1\n    image:\n      tag: v2", 1))
		}, web + ":v2", []string{"r.yaml -tag: v2", "r.yaml +tag: v1"}},
		{"a variable over its default", func(c *clone) {
			c.put("add", "clusters/prod.yaml", variables(""), "prod/d.yaml", app("web", web+":${TAG:-v1}"))
			c.put("web v2", "clusters/prod.yaml", variables("      TAG: v2\n"))
		}, web + ":v2", []string{"clusters/prod.yaml -TAG: v2"}},
		{"a variable over its default, the first one", func(c *clone) {
			c.put("add", "clusters/prod.yaml", flux(""), "prod/d.yaml", app("web", web+":${TAG:-v1}"))
			c.put("web v2", "clusters/prod.yaml", flux("  postBuild:\n    substitute:\n      TAG: v2\n  prune: true\n"))
		}, web + ":v2", []string{"clusters/prod.yaml -postBuild:", "clusters/prod.yaml -substitute:", "clusters/prod.yaml -TAG: v2"}},
		{"a variable that came with what uses it", func(c *clone) {
			c.put("add", "clusters/prod.yaml", variables(""), "prod/other.yaml", app("other", "other:1"))
			c.put("web v2", "clusters/prod.yaml", variables("      TAG: v2\n"), "prod/d.yaml", app("web", web+":${TAG:-v1}"))
		}, web + ":v2", nil},
		{"a variable that is used without a default too", func(c *clone) {
			c.put("add", "clusters/prod.yaml", variables(""), "prod/d.yaml", app("web", web+":${TAG:-v1}"), "prod/e.yaml",
				app("old", web+":${TAG}"))
			c.put("web v2", "clusters/prod.yaml", variables("      TAG: v2\n"))
		}, web + ":v2", nil},
		{"a digest alone in values", func(c *clone) {
			c.put("add", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v1\n  pullPolicy: Always"))
			c.put("pin", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v1\n  digest: "+digest+"\n  pullPolicy: Always"))
		}, web + ":v1@" + digest, []string{"r.yaml -digest: " + digest}},
		{"a digest alone beside a tag that only the chart knows", func(c *clone) {
			c.put("add", "r.yaml", release("web", "image:\n  repository: "+web))
			c.put("pin", "r.yaml", release("web", "image:\n  repository: "+web+"\n  digest: "+digest))
		}, web + "@" + digest, nil},
		{"a container that a patch adds", func(c *clone) {
			based(c)
			c.put("canary", "prod/kustomization.yaml", inline(strings.Replace(app("web", web+":v2"), "- name: app", "- name: canary", 1)))
		}, web + ":v2", nil},
		{"a patch over two versions", func(c *clone) {
			based(c, "base/kustomization.yaml", kustomization("d.yaml", "e.yaml"), "base/e.yaml", app("other", web+":v0"))
			c.put("web v2", "prod/kustomization.yaml", overlay+"patches: [{path: p.yaml, target: {kind: Deployment}}]\n",
				"prod/p.yaml", replace)
		}, web + ":v2", nil},
		{"a copied folder with a bump of its own", func(c *clone) {
			c.put("add", "blue/kustomization.yaml", kustomization("d.yaml"), "blue/d.yaml", app("web", web+":v1"),
				"kustomization.yaml", kustomization("blue"))
			c.put("green", "green/kustomization.yaml", kustomization("d.yaml"), "green/d.yaml", app("web", web+":v2"),
				"kustomization.yaml", kustomization("blue", "green"))
		}, web + ":v2", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			test.history(c)
			q := ask(test.image)
			q.ByPerson = true
			_, diff := c.undo(q)
			if got, want := strings.Join(diff, "\n"), strings.Join(test.diff, "\n"); got != want {
				t.Errorf("the revert is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by) + "\n"
}
