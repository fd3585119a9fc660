package gitrepo

import (
	"strings"
	"testing"
)

func TestImagesAreFoundAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	digest, other := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	entry := func(text string) string { return kustomization("d.yaml") + "images:\n" + text }
	for _, test := range []struct {
		name    string
		history func(c *clone)
		image   string
		subject string
		diff    []string
	}{
		{"a bump that was reverted and made again", func(c *clone) {
			c.put("add", "d.yaml", app("web", web+":1"))
			c.put("web 2", "d.yaml", app("web", web+":2"))
			c.put("revert", "d.yaml", app("web", web+":1"))
			c.put("revert the revert", "d.yaml", app("web", web+":2"))
		}, web + ":2", "revert the revert", []string{"d.yaml -image: " + web + ":2", "d.yaml +image: " + web + ":1"}},
		{"an older tag that came back", func(c *clone) {
			c.put("add", "d.yaml", app("web", web+":2023.1"))
			c.put("2023.3", "d.yaml", app("web", web+":2023.3"))
			c.put("2023.1 again", "d.yaml", app("web", web+":2023.1"))
		}, web + ":2023.1", "2023.1 again", []string{"d.yaml -image: " + web + ":2023.1", "d.yaml +image: " + web + ":2023.3"}},
		{"a namespace that came after the bump", func(c *clone) {
			c.put("add", "d.yaml", strings.Replace(app("web", web+":1"), "namespace: shop", "labels: {a: b}", 1))
			c.replace("web 2", "d.yaml", "web:1", "web:2")
			c.put("namespaces", "d.yaml", app("web", web+":2"))
		}, web + ":2", "web 2", []string{"d.yaml -image: " + web + ":2", "d.yaml +image: " + web + ":1"}},
		{"a copied environment, which never had another", func(c *clone) {
			c.put("add", "blue/d.yaml", app("web", web+":1"))
			c.replace("web 2", "blue/d.yaml", "web:1", "web:2")
			c.put("green", "green/d.yaml", app("web", web+":2"))
		}, web + ":2", "web 2", []string{"blue/d.yaml -image: " + web + ":2", "blue/d.yaml +image: " + web + ":1"}},
		{"an entry that changes what another one made", func(c *clone) {
			two := func(tag string) string {
				return entry("  - {name: web, newName: " + web + ", newTag: v1}\n  - name: " + web + "\n    newTag: " + tag + "\n")
			}
			c.put("add", "kustomization.yaml", two("v2"), "d.yaml", app("web", "web"))
			c.put("to v3", "kustomization.yaml", two("v3"))
		}, web + ":v3", "to v3", []string{"kustomization.yaml -newTag: v3", "kustomization.yaml +newTag: v2"}},
		{"a registry with a port", func(c *clone) {
			named := "  - name: localhost:5001/web\n    newName: reg.example.org:443/acme/web\n    newTag: "
			c.put("add", "kustomization.yaml", entry(named+"v1\n"), "d.yaml", app("web", "localhost:5001/web"))
			c.put("web v2", "kustomization.yaml", entry(named+"v2\n"))
		}, "reg.example.org:443/acme/web:v2", "web v2", []string{"kustomization.yaml -newTag: v2", "kustomization.yaml +newTag: v1"}},
		{"a List in a JSON file", func(c *clone) {
			list := func(tag string) string {
				return "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}, " +
					"\"spec\": {\"containers\": [{\"name\": \"c\",\n\"image\": \"" + web + ":" + tag + "\"\n}]}}]}\n"
			}
			c.put("add", "kustomization.yaml", kustomization("all.json"), "all.json", list("v1"))
			c.put("web v2", "all.json", list("v2"))
		}, web + ":v2", "web v2", []string{`all.json -"image": "` + web + `:v2"`, `all.json +"image": "` + web + `:v1"`}},
		{"a tag that moved from the manifest into an entry", func(c *clone) {
			c.put("add", "kustomization.yaml", kustomization("d.yaml"), "d.yaml", app("web", web+":1"))
			c.replace("web 2", "d.yaml", "web:1", "web:2")
			c.put("pin in one place", "kustomization.yaml", entry("  - name: "+web+"\n    newTag: \"2\"\n"), "d.yaml", app("web", web))
		}, web + ":2", "web 2", []string{`kustomization.yaml -newTag: "2"`, `kustomization.yaml +newTag: "1"`}},
		{"an entry above an image without a tag is nothing to take out", func(c *clone) {
			c.put("add", "kustomization.yaml", kustomization("d.yaml"), "d.yaml", app("web", web))
			c.put("pin", "kustomization.yaml", entry("  - name: "+web+"\n    newTag: \"2\"\n"))
		}, web + ":2", "pin", nil},
		{"an added list of entries in one line", func(c *clone) {
			c.put("add", "kustomization.yaml", kustomization("d.yaml"), "d.yaml", app("web", web+":1"))
			c.put("pin", "kustomization.yaml", kustomization("d.yaml")+"images: [{name: "+web+", newTag: \"2\"}] # hotfix\n")
		}, web + ":2", "pin", []string{`kustomization.yaml -images: [{name: ` + web + `, newTag: "2"}] # hotfix`}},
		{"an added entry among others in one line", func(c *clone) {
			c.put("add", "kustomization.yaml", kustomization("d.yaml")+"images: [{name: db, newTag: \"9\"}]\n", "d.yaml", app("web", web+":1"))
			c.put("pin", "kustomization.yaml", kustomization("d.yaml")+"images: [{name: db, newTag: \"9\"}, {name: "+web+", newTag: \"2\"}]\n")
		}, web + ":2", "pin", []string{
			`kustomization.yaml -images: [{name: db, newTag: "9"}, {name: ` + web + `, newTag: "2"}]`,
			`kustomization.yaml +images: [{name: db, newTag: "9"}]`,
		}},
		{"a JSON file that became YAML", func(c *clone) {
			pod := func(tag string) string {
				return "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"},\n\"spec\": {\"containers\": [" +
					"{\"name\": \"c\", \"image\": \"" + web + ":" + tag + "\"}]}}\n"
			}
			c.put("add", "kustomization.yaml", kustomization("a.json"), "a.json", pod("v1"))
			c.put("web v2", "a.json", pod("v2"))
			c.put("as YAML", "a.json", "", "kustomization.yaml", kustomization("a.yaml"), "a.yaml",
				"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - name: c\n      image: "+web+":v2\n")
		}, web + ":v2", "web v2", []string{"a.yaml -image: " + web + ":v2", "a.yaml +image: " + web + ":v1"}},
		{"a digest that came with the bump", func(c *clone) {
			c.put("add", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v1\n  pullPolicy: Always"))
			c.put("web v2", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v2\n  digest: "+digest+"\n  pullPolicy: Always"))
		}, web + ":v2@" + digest, "web v2", []string{"r.yaml -tag: v2", "r.yaml -digest: " + digest, "r.yaml +tag: v1"}},
		{"a digest before which the chart writes its algorithm", func(c *clone) {
			values := "image:\n  repository: " + web + "\n  digest: "
			c.put("add", "r.yaml", release("web", values+strings.Repeat("2", 63)+"a"))
			c.put("web v2", "r.yaml", release("web", values+strings.Repeat("1", 63)+"a"))
		}, web + "@sha256:" + strings.Repeat("1", 63) + "a", "web v2", []string{
			"r.yaml -digest: " + strings.Repeat("1", 63) + "a", "r.yaml +digest: " + strings.Repeat("2", 63) + "a",
		}},
		{"a digest that came with the bump of an entry", func(c *clone) {
			c.put("add", "kustomization.yaml", entry("  - name: "+web+"\n    newTag: v1\n"), "d.yaml", app("web", web))
			c.put("web v2", "kustomization.yaml", entry("  - name: "+web+"\n    newTag: v2\n    digest: "+digest+"\n"))
		}, web + ":v2@" + digest, "web v2", []string{"kustomization.yaml -newTag: v2", "kustomization.yaml -digest: " + digest,
			"kustomization.yaml +newTag: v1"}},
		{"a digest in the place of the tag of an entry", func(c *clone) {
			c.put("add", "kustomization.yaml", entry("  - name: "+web+"\n    newTag: v1\n"), "d.yaml", app("web", web+":v0"))
			c.put("web v2", "kustomization.yaml", entry("  - name: "+web+"\n    digest: "+digest+" # pinned\n"))
		}, web + "@" + digest, "web v2", []string{"kustomization.yaml -digest: " + digest + " # pinned", "kustomization.yaml +newTag: v1 # pinned"}},
		{"a digest in the place of the tag, with another registry", func(c *clone) {
			c.put("add", "kustomization.yaml", entry("  - name: web\n    newName: docker.io/acme/web\n    newTag: \"1\"\n"), "d.yaml", app("web", "web"))
			c.put("web v2", "kustomization.yaml", entry("  - {name: web, newName: "+web+", digest: "+digest+"}\n"))
		}, web + "@" + digest, "web v2", []string{"kustomization.yaml -- {name: web, newName: " + web + ", digest: " + digest + "}",
			`kustomization.yaml +- {name: web, newName: docker.io/acme/web, newTag: "1"}`}},
		{"a tag in the place of the digest of an entry", func(c *clone) {
			c.put("add", "kustomization.yaml", entry("  - name: "+web+"\n    digest: "+digest+"\n"), "d.yaml", app("web", web+":v0"))
			c.put("web v2", "kustomization.yaml", entry("  - name: "+web+"\n    newTag: v2\n"))
		}, web + ":v2", "web v2", []string{"kustomization.yaml -newTag: v2", "kustomization.yaml +digest: " + digest}},
		{"a digest in the place of the tag of values", func(c *clone) {
			c.put("add", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v1\n  pullPolicy: Always"))
			c.put("web v2", "r.yaml", release("web", "image:\n  repository: "+web+"\n  digest: "+digest+"\n  pullPolicy: Always"))
		}, web + "@" + digest, "web v2", []string{"r.yaml -digest: " + digest, "r.yaml +tag: v1"}},
		{"a digest that left the tag for a key of its own", func(c *clone) {
			c.put("add", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v1@"+digest+"\n  pullPolicy: Always"))
			c.put("web v2", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v2\n  digest: "+other+"\n  pullPolicy: Always"))
		}, web + ":v2@" + other, "web v2", []string{"r.yaml -tag: v2", "r.yaml -digest: " + other, "r.yaml +tag: v1@" + digest}},
		{"an image in CEL that is folded text", func(c *clone) {
			policy := func(tag string) string {
				return "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\nmetadata: {name: p}\nspec:\n  mutations:\n" +
					"    - patchType: ApplyConfiguration\n      applyConfiguration:\n        expression: >\n          Object{spec: Object.spec{containers: [\n" +
					"            Object.spec.containers{name: \"web\", image: \"" + web + ":" + tag + "\"}]}}\n"
			}
			c.put("add", "p.yaml", policy("v1"))
			c.put("web v2", "p.yaml", policy("v1.2"))
		}, web + ":v1.2", "web v2", []string{`p.yaml -Object.spec.containers{name: "web", image: "` + web + `:v1.2"}]}}`,
			`p.yaml +Object.spec.containers{name: "web", image: "` + web + `:v1"}]}}`}},
		{"items of a list without names in another order", func(c *clone) {
			list := func(images ...string) string {
				return release("web", "containers:\n  - image: "+strings.Join(images, "\n  - image: "))
			}
			c.put("add", "r.yaml", list("db:v1", web+":v1"))
			c.put("web v2", "r.yaml", list("db:v1", web+":v2"))
			c.put("sort", "r.yaml", list(web+":v2", "db:v1"))
		}, web + ":v2", "web v2", []string{"r.yaml -- image: " + web + ":v2", "r.yaml +- image: " + web + ":v1"}},
		{"an item before others in a list without names", func(c *clone) {
			c.put("add", "r.yaml", release("web", "containers:\n  - image: db:v1"))
			c.put("web v2", "r.yaml", release("web", "containers:\n  - image: "+web+":v2\n  - image: db:v1"))
		}, web + ":v2", "web v2", nil},
		{"a patch in folded text", func(c *clone) {
			patch := func(tag string) string {
				return kustomization("d.yaml") + "patches:\n  - target: {kind: Deployment, name: web}\n    patch: >\n" +
					"      [{\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/image\",\n      \"value\": \"" + web + ":" + tag + "\"}]\n"
			}
			c.put("add", "kustomization.yaml", patch("v1"), "d.yaml", app("web", web+":v0"))
			c.put("web v2", "kustomization.yaml", patch("v2"))
		}, web + ":v2", "web v2", []string{`kustomization.yaml -"value": "` + web + `:v2"}]`, `kustomization.yaml +"value": "` + web + `:v1"}]`}},
		{"a patch that is one quoted line", func(c *clone) {
			patch := func(tag string) string {
				return kustomization("d.yaml") + "patches:\n  - target: {kind: Deployment, name: web}\n    patch: \"- op: replace\\n" +
					"  path: /spec/template/spec/containers/0/image\\n  value: " + web + ":" + tag + "\\n\"\n"
			}
			c.put("add", "kustomization.yaml", patch("v1"), "d.yaml", app("web", web+":v0"))
			c.put("web v2", "kustomization.yaml", patch("v2"))
		}, web + ":v2", "web v2", []string{
			`kustomization.yaml -patch: "- op: replace\n  path: /spec/template/spec/containers/0/image\n  value: ` + web + `:v2\n"`,
			`kustomization.yaml +patch: "- op: replace\n  path: /spec/template/spec/containers/0/image\n  value: ` + web + `:v1\n"`,
		}},
		{"a custom resource that no entry reaches", func(c *clone) {
			runner := func(tag string) string {
				return "apiVersion: actions.example.dev/v1\nkind: RunnerDeployment\nmetadata: {name: r}\nspec:\n  template:\n    spec:\n" +
					"      image: " + web + ":" + tag + "\n"
			}
			c.put("add", "d.yaml", runner("v1"), "kustomization.yaml", entry("  - {name: "+web+", newTag: v9}\n"))
			c.put("web v2", "d.yaml", runner("v2"))
		}, web + ":v2", "web v2", []string{"d.yaml -image: " + web + ":v2", "d.yaml +image: " + web + ":v1"}},
		{"one of several images of a repository in a variable", func(c *clone) {
			images := func(version string) string {
				return strings.Replace(app("op", "op:1"), "ports:", "env: [{name: IMAGES, value: \"3.6="+web+":"+version+"-3.6,3.7="+web+":"+
					version+"-3.7\"}]\n          ports:", 1)
			}
			c.put("add", "d.yaml", images("v1"))
			c.put("web v2", "d.yaml", images("v2"))
		}, web + ":v2-3.7", "web v2", []string{
			`d.yaml -env: [{name: IMAGES, value: "3.6=` + web + `:v2-3.6,3.7=` + web + `:v2-3.7"}]`,
			`d.yaml +env: [{name: IMAGES, value: "3.6=` + web + `:v2-3.6,3.7=` + web + `:v1-3.7"}]`,
		}},
		{"another image in the same place, whose namespace went", func(c *clone) {
			values := "containers:\n  app:\n    image:\n      repository: "
			c.put("add", "r.yaml", strings.Replace(release("web", values+"reg.example.org/front\n      tag: v1"), "{name: web}",
				"{name: web, namespace: shop}", 1))
			c.put("web", "r.yaml", release("web", values+web+"\n      tag: v2"))
		}, web + ":v2", "web", []string{"r.yaml -repository: " + web, "r.yaml -tag: v2",
			"r.yaml +repository: reg.example.org/front", "r.yaml +tag: v1"}},
		{"a file that a link leads to is looked at once", func(c *clone) {
			c.put("add", "shared.yaml", "image: "+web+":v1 # {\"$imagepolicy\": \"flux-system:web\"}\n")
			c.replace("web v2", "shared.yaml", "v1", "v2")
		}, web + ":v2", "web v2", []string{`shared.yaml -image: ` + web + `:v2 # {"$imagepolicy": "flux-system:web"}`,
			`shared.yaml +image: ` + web + `:v1 # {"$imagepolicy": "flux-system:web"}`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			test.history(c)
			q := ask(test.image)
			q.ByPerson = true
			s, diff := c.undo(q)
			if s.Subject != test.subject {
				t.Errorf("blamed %q, want %q", s.Subject, test.subject)
			}
			if got, want := strings.Join(diff, "\n"), strings.Join(test.diff, "\n"); got != want {
				t.Errorf("the revert is\n%s\nwant\n%s", got, want)
			}
		})
	}
}
