package gitrepo

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// fluxKustomization is one of Flux, with more lines of its spec.
func fluxKustomization(name, path string, spec ...string) string {
	out := "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name + ", namespace: flux-system}\n" +
		"spec:\n  path: " + path + "\n  sourceRef: {kind: GitRepository, name: flux-system}\n"
	for _, line := range spec {
		out += "  " + line + "\n"
	}
	return out
}

func TestDefaultOfAVariableGoesBackToWhatRan(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	ks := func(set string) string {
		return fluxKustomization("web", "./apps", "postBuild:", "  substitute: {"+set+"A: b}")
	}
	for name, c := range map[string]struct{ set, former, line string }{
		"where nothing set it":  {"B: c, ", web + ":v1", "${TAG:=v1}"},
		"where a variable did":  {"TAG: v2, ", web + ":v2", "v2"},
		"where another one did": {"TAGS: v2, ", web + ":v1", "${TAG:=v1}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("add", "ks.yaml", ks(c.set), "apps/d.yaml", app("web", web+":${TAG:=v1}"))
			r.replace("default v3", "apps/d.yaml", ":=v1", ":=v3")
			r.put("unset", "ks.yaml", ks(""))
			s, diff := r.undo(ask(web + ":v3"))
			sameLines(t, diff, []string{"apps/d.yaml -image: " + web + ":${TAG:=v3}", "apps/d.yaml +image: " + web + ":" + c.line})
			former, err := r.open().Former(t.Context(), s, 8)
			if err != nil || former[0].Image != c.former {
				t.Errorf("the former image is %+v, %v, want %s", former, err, c.former)
			}
		})
	}
}

func TestComposedImageIsBlamedAndUndoneAtItsSource(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	digest := "sha256:" + strings.Repeat("1", 64)
	for _, test := range []struct {
		name  string
		files []string
		// file, before and after of the commit to blame, "bump"; one that came after it is named "later".
		file, before, after string
		later               []string
		image               string
		diff                []string
	}{
		{
			name: "the default of a variable", files: []string{"d.yaml", app("web", web+":${TAG:=v1}")},
			file: "d.yaml", before: ":=v1", after: ":=v2", image: web + ":v2",
			diff: []string{"d.yaml -image: " + web + ":${TAG:=v2}", "d.yaml +image: " + web + ":${TAG:=v1}"},
		},
		{
			name: "a variable of the Flux Kustomization",
			files: []string{"cluster/ks.yaml", fluxKustomization("web", "./apps/web", "postBuild:", "  substitute:", "    TAG: v1"),
				"apps/web/kustomization.yaml", kustomization("d.yaml"), "apps/web/d.yaml", app("web", web+":${TAG}")},
			file: "cluster/ks.yaml", before: "TAG: v1", after: "TAG: v2", image: web + ":v2",
			diff: []string{"cluster/ks.yaml -TAG: v2", "cluster/ks.yaml +TAG: v1"},
		},
		{
			name: "a variable in a ConfigMap that is named by the parent's patch",
			files: []string{
				"flux/cluster.yaml", fluxKustomization("cluster", "./apps", "patches:", "  - target: {kind: Kustomization}", "    patch: |",
					"      kind: Kustomization", "      metadata: {name: x}", "      spec:", "        postBuild:",
					"          substituteFrom: [{kind: ConfigMap, name: settings}]"),
				"flux/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: flux-system}\ndata:\n  WEB_TAG: v1\n",
				"apps/kustomization.yaml", kustomization("web/ks.yaml"), "apps/web/ks.yaml", fluxKustomization("web", "./apps/web/app"),
				"apps/web/app/kustomization.yaml", kustomization("d.yaml"), "apps/web/app/d.yaml", app("web", web+":${WEB_TAG}"),
			},
			file: "flux/settings.yaml", before: "v1", after: "v2", image: web + ":2", later: nil,
		},
		{
			name: "a variable of the parent that the child's variable is made of",
			files: []string{
				"flux/cluster.yaml", fluxKustomization("cluster", "./apps", "postBuild:", "  substitute:", "    RELEASE: \"1\""),
				"apps/ks.yaml", fluxKustomization("web", "./web", "postBuild:", "  substitute:", "    TAG: r-${RELEASE}"),
				"web/kustomization.yaml", kustomization("d.yaml"), "web/d.yaml", app("web", web+":${TAG}"),
			},
			file: "flux/cluster.yaml", before: `"1"`, after: `"2"`, image: web + ":r-2",
			diff: []string{`flux/cluster.yaml -RELEASE: "2"`, `flux/cluster.yaml +RELEASE: "1"`},
		},
		{
			name: "the path of a child is made of the parent's variable",
			files: []string{
				"flux/cluster.yaml", fluxKustomization("cluster", "./apps", "postBuild:", "  substitute:", "    ENV: prod"),
				"apps/kustomization.yaml", kustomization("ks.yaml"), "apps/ks.yaml", fluxKustomization("web", "./web/${ENV}"),
				"web/prod/d.yaml", app("web", web+":1"),
			},
			file: "web/prod/d.yaml", before: "web:1", after: "web:2", image: web + ":2",
			diff: []string{"web/prod/d.yaml -image: " + web + ":2", "web/prod/d.yaml +image: " + web + ":1"},
		},
		{
			name: "the path of a child is made of a variable that only the cluster knows",
			files: []string{
				"clusters/prod/ks.yaml", fluxKustomization("apps", "./apps", "postBuild:", "  substituteFrom: [{kind: ConfigMap, name: cluster}]"),
				"apps/kustomization.yaml", kustomization("../all"), "all/kustomization.yaml", kustomization("ks.yaml"),
				"all/ks.yaml", fluxKustomization("web", "./web/${ENV}"),
				"clusters/prod/web.yaml", fluxKustomization("own", "./web/${ENV}", "postBuild:", "  substitute: {TAG: v1}"),
				"web/prod/d.yaml", app("web", web+":${TAG}"), "web/dev/d.yaml", app("web", web+":${TAG}"),
			},
			file: "clusters/prod/web.yaml", before: "TAG: v1", after: "TAG: v2", image: web + ":v2",
			diff: []string{"clusters/prod/web.yaml -substitute: {TAG: v2}", "clusters/prod/web.yaml +substitute: {TAG: v1}"},
		},
		{
			name: "one file that two clusters render with tags of their own",
			files: []string{
				"clusters/blue/ks.yaml", fluxKustomization("blue", "./web", "postBuild:", "  substitute: {TAG: v1}"),
				"clusters/red/ks.yaml", fluxKustomization("red", "./web", "postBuild:", "  substitute: {TAG: v1}"),
				"web/kustomization.yaml", kustomization("d.yaml"), "web/d.yaml", app("web", web+":${TAG}"),
			},
			file: "clusters/blue/ks.yaml", before: "TAG: v1", after: "TAG: v2", image: web + ":v2",
			diff: []string{"clusters/blue/ks.yaml -substitute: {TAG: v2}", "clusters/blue/ks.yaml +substitute: {TAG: v1}"},
		},
		{
			name: "the image became a template after the bump",
			files: []string{"cluster/ks.yaml", fluxKustomization("web", "./web"), "web/kustomization.yaml", kustomization("d.yaml"),
				"web/d.yaml", app("web", web+":v1")},
			file: "web/d.yaml", before: "web:v1", after: "web:v2", image: web + ":v2",
			later: []string{"web/d.yaml", app("web", web+":${TAG}"),
				"cluster/ks.yaml", fluxKustomization("web", "./web", "postBuild:", "  substitute: {TAG: v2}")},
			diff: []string{"cluster/ks.yaml -substitute: {TAG: v2}", "cluster/ks.yaml +substitute: {TAG: v1}"},
		},
		{
			name:  "the registry of all images of a chart",
			files: []string{"r.yaml", release("web", "global:\n  imageRegistry: old.example.org\nimage:\n  repository: acme/web\n  tag: v1")},
			file:  "r.yaml", before: "old.example.org", after: "reg.example.org", image: "reg.example.org/acme/web:v1",
			diff: []string{"r.yaml -imageRegistry: reg.example.org", "r.yaml +imageRegistry: old.example.org"},
		},
		{
			name:  "a tag below the registry of all images of a chart",
			files: []string{"r.yaml", release("web", "global:\n  imageRegistry: reg.example.org\nimage:\n  repository: acme/web\n  tag: v1")},
			file:  "r.yaml", before: "v1", after: "v2", image: "reg.example.org/acme/web:v2",
			later: []string{"r.yaml", release("web", "image:\n  repository: acme/web\n  tag: v2\nglobal:\n  imageRegistry: reg.example.org\n  more: true")},
			diff:  []string{"r.yaml -tag: v2", "r.yaml +tag: v1"},
		},
		{
			name: "a variable in a file of environment variables that a generator loads",
			files: []string{
				"cluster/kustomization.yaml", kustomization("ks.yaml") + "configMapGenerator: [{name: tags, envs: [tags.env]}]\n",
				"cluster/tags.env", "# tags of all apps\nDB_TAG=v1\n  WEB_TAG=v1\n", "cluster/ks.yaml",
				fluxKustomization("web", "./web", "postBuild:", "  substituteFrom: [{kind: ConfigMap, name: tags}]"),
				"web/d.yaml", app("web", web+":${WEB_TAG}"),
			},
			file: "cluster/tags.env", before: "WEB_TAG=v1", after: "WEB_TAG=v2", image: web + ":v2",
			diff: []string{"cluster/tags.env -WEB_TAG=v2", "cluster/tags.env +WEB_TAG=v1"},
		},
		{
			name: "two replacements from a file of environment variables",
			files: []string{
				"kustomization.yaml", kustomization("d.yaml") + "configMapGenerator: [{name: tags, env: versions}]\n" +
					"replacements:\n  - source: {kind: ConfigMap, name: tags, fieldPath: data.WEB}\n    targets:\n" +
					"      - select: {kind: Deployment}\n        fieldPaths: [spec.template.spec.containers.0.image]\n" +
					"        options: {delimiter: \":\", index: 1}\n",
				"versions", "WEB=v1\nOTHER=v1\n", "d.yaml", app("web", web+":x"),
			},
			file: "versions", before: "WEB=v1", after: "WEB=v2", image: web + ":v2",
			diff: []string{"versions -WEB=v2", "versions +WEB=v1"},
		},
		{
			name: "a value of a ConfigMap that Helm puts to a path",
			files: []string{
				"r.yaml", strings.Replace(release("web", "image:\n  repository: "+web), "  values:",
					"  valuesFrom: [{kind: ConfigMap, name: tags, valuesKey: web, targetPath: image.tag}]\n  values:", 1),
				"c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tags}\ndata:\n  web: v1\n  db: v1\n",
			},
			file: "c.yaml", before: "web: v1", after: "web: v2", image: web + ":v2",
			diff: []string{"c.yaml -web: v2", "c.yaml +web: v1"},
		},
		{
			name:  "one tag of all images of a chart",
			files: []string{"r.yaml", release("web", "global:\n  imageTag: v1\nweb:\n  image: "+web)},
			file:  "r.yaml", before: "v1", after: "v2", image: web + ":v2",
			diff: []string{"r.yaml -imageTag: v2", "r.yaml +imageTag: v1"},
		},
		{
			name:  "a registry that the one of all images replaces",
			files: []string{"r.yaml", release("web", "global: {imageRegistry: reg.example.org}\nimage:\n  registry: docker.io\n  repository: acme/web\n  tag: v1")},
			file:  "r.yaml", before: "v1", after: "v2", image: "reg.example.org/acme/web:v2",
			diff: []string{"r.yaml -tag: v2", "r.yaml +tag: v1"},
		},
		{
			name:  "a repository and a tag by other words",
			files: []string{"r.yaml", release("web", "image:\n  repo: "+web+"\n  version: v1")},
			file:  "r.yaml", before: "v1", after: "v2", image: web + ":v2",
			diff: []string{"r.yaml -version: v2", "r.yaml +version: v1"},
		},
		{
			name: "the text of all resources of a ResourceSet",
			files: []string{"r.yaml", "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {name: web}\nspec:\n" +
				"  inputs:\n    - tag: v1\n  resourcesTemplate: |\n    kind: Deployment\n    metadata: {name: web}\n    spec:\n" +
				"      template: {spec: {containers: [{name: web, image: \"" + web + ":<< inputs.tag >>\"}]}}\n"},
			file: "r.yaml", before: "tag: v1", after: "tag: v2", image: web + ":v2",
			diff: []string{"r.yaml -- tag: v2", "r.yaml +- tag: v1"},
		},
		{
			name: "a hub and a tag", files: []string{"r.yaml", release("mesh", "global:\n  hub: docker.io/mesh\n  tag: 1.23.0")},
			file: "r.yaml", before: "1.23.0", after: "1.24.0", image: "docker.io/mesh/pilot:1.24.0",
			diff: []string{"r.yaml -tag: 1.24.0", "r.yaml +tag: 1.23.0"},
		},
		{
			name: "the name of an entry that is a pattern",
			files: []string{"kustomization.yaml", kustomization("d.yaml") + "images:\n  - name: .*/web\n    newTag: v1\n",
				"d.yaml", app("web", web+":v0")},
			file: "kustomization.yaml", before: "newTag: v1", after: "newTag: v2", image: web + ":v2",
			diff: []string{"kustomization.yaml -newTag: v2", "kustomization.yaml +newTag: v1"},
		},
		{
			name: "a reference of an image that an operator mounts",
			files: []string{"c.yaml", "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: db}\nspec:\n  postgresql:\n" +
				"    extensions:\n      - name: x\n        image:\n          reference: " + web + ":v1\n"},
			file: "c.yaml", before: "web:v1", after: "web:v2", image: web + ":v2",
			diff: []string{"c.yaml -reference: " + web + ":v2", "c.yaml +reference: " + web + ":v1"},
		},
		{
			name:  "an argument",
			files: []string{"d.yaml", app("operator", "reg.example.org/operator:1") + "          args:\n            - --x\n            - --web=" + web + ":v1\n"},
			file:  "d.yaml", before: "web:v1", after: "web:v2", image: web + ":v2",
			later: []string{"d.yaml", app("operator", "reg.example.org/operator:1") + "          args:\n            - --web=" + web + ":v2\n"},
			diff:  []string{"d.yaml -- --web=" + web + ":v2", "d.yaml +- --web=" + web + ":v1"},
		},
		{
			name:  "a text of values",
			files: []string{"r.yaml", release("sso", "extraInitContainers: |\n  - name: theme\n    image: "+web+":v1 # why\n    command: [cp]")},
			file:  "r.yaml", before: "web:v1", after: "web:v2", image: web + ":v2",
			diff: []string{"r.yaml -image: " + web + ":v2 # why", "r.yaml +image: " + web + ":v1 # why"},
		},
		{
			name:  "a text of values, whose digest nobody asks for",
			files: []string{"r.yaml", release("sso", "pods:\n  one: |\n    image: "+web+":v1@"+digest+"\n")},
			file:  "r.yaml", before: "web:v1", after: "web:v2", image: web + ":v2",
			diff: []string{"r.yaml -image: " + web + ":v2@" + digest, "r.yaml +image: " + web + ":v1@" + digest},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("add", test.files...)
			c.replace("bump", test.file, test.before, test.after)
			if test.later != nil {
				c.put("later", test.later...)
			}
			if test.diff == nil {
				test.image, test.diff = web+":v2", []string{test.file + " -WEB_TAG: v2", test.file + " +WEB_TAG: v1"}
			}
			c.undoneByPerson(t, test.image, test.diff)
		})
	}
}

func TestSidecarFindsTheVariablesOfTheKustomization(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const web = "reg.example.org/web"
	c.put("add", "clusters/one.yaml", fluxKustomization("web", "./web", "postBuild:", "  substitute: {TAG: v1}"),
		"clusters/two.yaml", strings.Replace(fluxKustomization("other", "./web", "postBuild:", "  substitute: {TAG: v2}"), "flux-system}", "b}", 1),
		"web/kustomization.yaml", kustomization("d.yaml"), "web/d.yaml", app("web", web+":${TAG}"))
	c.replace("bump", "clusters/one.yaml", "TAG: v1", "TAG: v2")
	s, diff := c.undo(reconcile.Query{Image: web + ":v2", Namespace: "shop",
		Workload: v1alpha1.Workload{Kind: "Deployment", Name: "web"},
		Root:     reconcile.Root{Path: "web", By: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "web"}}})
	if s.Subject != "bump" || len(diff) != 2 || diff[1] != "clusters/one.yaml +substitute: {TAG: v1}" {
		t.Errorf("blamed %q, the revert is %q", s.Subject, diff)
	}
}

func TestImageIsFoundWithoutItsDigest(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	one, two := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	for _, test := range []struct {
		name, before, after, image string
		byPerson, found            bool
	}{
		{"the tag of a tag and digest", web + ":1@" + one, web + ":2@" + two, web + ":2", true, true},
		{"the digest of a tag and digest", web + ":1@" + one, web + ":2@" + two, web + "@" + two, true, true},
		{"a digest that Git does not say", web + ":1", web + ":2", web + ":2@" + two, true, true},
		{"another digest than Git's", web + ":1@" + one, web + ":2@" + two, web + ":2@" + one, true, false},
		{"the sidecar knows the whole image", web + ":1@" + one, web + ":2@" + two, web + ":2", false, false},
		{"another name of Docker Hub", "nginx:1", "nginx:2", "index.docker.io/library/nginx:2", true, true},
		{"the port of HTTPS", web + ":1", web + ":2", "reg.example.org:443/web:2", true, true},
		{"another name of Docker Hub in Git", "registry-1.docker.io/library/nginx:1", "registry-1.docker.io/library/nginx:2", "nginx:2", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("add", "d.yaml", app("web", test.before))
			c.put("bump", "d.yaml", app("web", test.after))
			q := ask(test.image)
			q.ByPerson = test.byPerson
			s, err := c.open().Blame(t.Context(), q)
			if (err == nil) != test.found || test.found && s.Subject != "bump" {
				t.Errorf("blamed %q, %v", s.Subject, err)
			}
		})
	}
}
