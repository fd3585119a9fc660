package gitrepo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestValueIsFollowedThroughMoves(t *testing.T) {
	t.Parallel()
	const web, worker = "reg.example.org/web", "reg.example.org/worker"
	for _, test := range []struct {
		name    string
		history func(c *clone)
		image   string
		// subject of the commit to blame, and the lines of the revert; none where there is nothing to go back to.
		subject string
		diff    []string
	}{
		{"a folder is moved with everything in it", func(c *clone) {
			c.put("add", "core/web/d.yaml", app("web", web+":1"), "core/worker/d.yaml", app("worker", worker+":1"))
			c.replace("web 2", "core/web/d.yaml", "web:1", "web:2")
			c.move("move", "core", "apps/core")
		}, web + ":2", "web 2", []string{"apps/core/web/d.yaml -image: " + web + ":2", "apps/core/web/d.yaml +image: " + web + ":1"}},
		{"a file is moved twice, and edited the second time", func(c *clone) {
			c.put("add", "a/d.yaml", app("web", web+":1"))
			c.replace("web 2", "a/d.yaml", "web:1", "web:2")
			c.move("first", "a/d.yaml", "b/d.yaml")
			c.put("second", "b/d.yaml", "", "c/web.yaml", strings.Replace(app("web", web+":2"), "replicas: 2", "replicas: 3", 1))
		}, web + ":2", "web 2", []string{"c/web.yaml -image: " + web + ":2", "c/web.yaml +image: " + web + ":1"}},
		{"a file is split", func(c *clone) {
			c.put("add", "all.yaml", app("api", "reg.example.org/api:1")+"---\n"+app("web", web+":1"))
			c.replace("web 2", "all.yaml", "web:1", "web:2")
			c.put("split", "all.yaml", app("api", "reg.example.org/api:1"), "web.yaml", app("web", web+":2"))
		}, web + ":2", "web 2", []string{"web.yaml -image: " + web + ":2", "web.yaml +image: " + web + ":1"}},
		{"two files are joined", func(c *clone) {
			c.put("add", "api.yaml", app("api", "reg.example.org/api:1"), "web.yaml", app("web", web+":1"))
			c.replace("web 2", "web.yaml", "web:1", "web:2")
			c.put("join", "web.yaml", "", "api.yaml", app("api", "reg.example.org/api:1")+"---\n"+app("web", web+":2"))
		}, web + ":2", "web 2", []string{"api.yaml -image: " + web + ":2", "api.yaml +image: " + web + ":1"}},
		{"an object is renamed", func(c *clone) {
			c.put("add", "d.yaml", app("web", web+":1"))
			c.replace("web 2", "d.yaml", "web:1", "web:2")
			c.replace("rename", "d.yaml", "name: web", "name: front")
		}, web + ":2", "web 2", []string{"d.yaml -image: " + web + ":2", "d.yaml +image: " + web + ":1"}},
		{"a namespace is renamed", func(c *clone) {
			c.put("add", "d.yaml", app("web", web+":1"))
			c.replace("web 2", "d.yaml", "web:1", "web:2")
			c.replace("rename", "d.yaml", "namespace: shop", "namespace: store")
		}, web + ":2", "web 2", []string{"d.yaml -image: " + web + ":2", "d.yaml +image: " + web + ":1"}},
		{"a container is renamed and bumped at once", func(c *clone) {
			c.put("add", "d.yaml", app("web", web+":1"))
			c.put("rename and bump", "d.yaml", strings.Replace(app("web", web+":2"), "name: app", "name: web", 1))
		}, web + ":2", "rename and bump", []string{"d.yaml -image: " + web + ":2", "d.yaml +image: " + web + ":1"}},
		{"a key of values is renamed and its tag bumped at once", func(c *clone) {
			c.put("add", "r.yaml", release("web", "main:\n  image:\n    repository: "+web+"\n    tag: \"1\""))
			c.put("rename and bump", "r.yaml", release("web", "app:\n  image:\n    repository: "+web+"\n    tag: \"2\""))
		}, web + ":2", "rename and bump", []string{`r.yaml -tag: "2"`, `r.yaml +tag: "1"`}},
		{"two images of values are renamed and bumped at once", func(c *clone) {
			values := func(main, side, tag string) string {
				return main + ":\n  image:\n    repository: " + web + "\n    tag: " + tag + "\n" +
					side + ":\n  image:\n    repository: " + web + "\n    tag: " + tag + "-alpine"
			}
			c.put("add", "r.yaml", release("web", values("main", "side", "v1")))
			c.put("rename and bump", "r.yaml", release("web", "controllers:\n  "+
				strings.ReplaceAll(values("main", "side", "v2"), "\n", "\n  ")))
		}, web + ":v2-alpine", "rename and bump", []string{"r.yaml -tag: v2-alpine", "r.yaml +tag: v1-alpine"}},
		{"values go deeper, and a whole image becomes a repository and a tag", func(c *clone) {
			c.put("add", "r.yaml", release("web", "extra:\n  ml:\n    image: "+web+":v1"))
			c.replace("web 2", "r.yaml", "web:v1", "web:v2")
			c.put("restructure", "r.yaml",
				release("web", "controllers:\n  main:\n    image:\n      repository: "+web+"\n      tag: v2"))
		}, web + ":v2", "web 2", []string{"r.yaml -tag: v2", "r.yaml +tag: v1"}},
		{"a repository and a tag become a whole image", func(c *clone) {
			c.put("add", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v1"))
			c.replace("web 2", "r.yaml", "tag: v1", "tag: v2")
			c.put("restructure", "r.yaml", release("web", "main:\n  image: "+web+":v2"))
		}, web + ":v2", "web 2", []string{"r.yaml -image: " + web + ":v2", "r.yaml +image: " + web + ":v1"}},
		{"a release takes over from a Deployment", func(c *clone) {
			c.put("add", "web/d.yaml", app("web", web+":v1"))
			c.replace("web 2", "web/d.yaml", "web:v1", "web:v2")
			c.put("a chart", "web/d.yaml", "", "web/r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: v2"))
		}, web + ":v2", "web 2", []string{"web/r.yaml -tag: v2", "web/r.yaml +tag: v1"}},
		{"a release takes over from a Deployment and is bumped at once", func(c *clone) {
			c.put("add", "web/d.yaml", app("web", web+":v1"))
			c.put("a chart, and web 2", "web/d.yaml", "",
				"web/r.yaml", release("web", "app:\n  image:\n    repository: "+web+"\n    tag: v2"))
		}, web + ":v2", "a chart, and web 2", []string{"web/r.yaml -tag: v2", "web/r.yaml +tag: v1"}},
		{"values are restructured while the registry and the tag change", func(c *clone) {
			c.put("add", "a/r.yaml", release("web", "main:\n  image:\n    repository: ghcr.io/acme/web\n    tag: v1"))
			c.put("mirror", "a/r.yaml", "", "b/r.yaml",
				release("web", "app:\n  image:\n    repository: reg.example.org/acme/web\n    tag: v2"))
		}, "reg.example.org/acme/web:v2", "mirror", []string{"b/r.yaml -repository: reg.example.org/acme/web", "b/r.yaml -tag: v2",
			"b/r.yaml +repository: ghcr.io/acme/web", "b/r.yaml +tag: v1"}},
		{"another owner's image is no earlier value", func(c *clone) {
			c.put("add", "a/r.yaml", release("web", "main:\n  image:\n    repository: docker.io/library/web\n    tag: v1"))
			c.put("fork", "a/r.yaml", release("web", "app:\n  image:\n    repository: docker.io/bitnami/web\n    tag: v2"))
		}, "docker.io/bitnami/web:v2", "fork", nil},
		{"a base is renamed", func(c *clone) {
			c.put("add", "base/kustomization.yaml", kustomization("d.yaml"), "base/d.yaml", app("web", web+":1"),
				"prod/kustomization.yaml", kustomization("../base"))
			c.replace("web 2", "base/d.yaml", "web:1", "web:2")
			c.git("mv", "base", "common")
			c.put("rename the base", "prod/kustomization.yaml", kustomization("../common"))
		}, web + ":2", "web 2", []string{"common/d.yaml -image: " + web + ":2", "common/d.yaml +image: " + web + ":1"}},
		{"an entry of images goes to another kustomization", func(c *clone) {
			entry := "images:\n  - name: " + web + "\n    newTag: v"
			c.put("add", "d/d.yaml", app("web", web+":v0"), "d/kustomization.yaml", kustomization("d.yaml")+entry+"1\n",
				"prod/kustomization.yaml", kustomization("../d"))
			c.replace("web 2", "d/kustomization.yaml", "newTag: v1", "newTag: v2")
			c.put("move the entry", "d/kustomization.yaml", kustomization("d.yaml"),
				"prod/kustomization.yaml", kustomization("../d")+entry+"2\n")
		}, web + ":v2", "web 2", []string{"prod/kustomization.yaml -newTag: v2", "prod/kustomization.yaml +newTag: v1"}},
		{"an entry of images goes to a component of its kustomization and is bumped at once", func(c *clone) {
			entry := "images:\n  - name: " + web + "\n    newTag: v"
			c.put("add", "d/d.yaml", app("web", web+":v0"), "d/kustomization.yaml", kustomization("d.yaml"),
				"prod/kustomization.yaml", kustomization("../d")+entry+"1\n")
			c.put("a component", "prod/kustomization.yaml", kustomization("../d")+"components: [../versions]\n",
				"versions/kustomization.yaml", "kind: Component\n"+entry+"2\n")
		}, web + ":v2", "a component", []string{"versions/kustomization.yaml -newTag: v2", "versions/kustomization.yaml +newTag: v1"}},
		{"values in a file of a generator go into the release and are bumped at once", func(c *clone) {
			values := "image:\n  repository: " + web + "\n  tag: v"
			c.put("add", "a/values.yaml", values+"1\n", "a/r.yaml", release("web", "replicas: 1"),
				"a/kustomization.yaml", kustomization("r.yaml")+"configMapGenerator: [{name: v, files: [values.yaml]}]\n")
			c.put("inline", "a/values.yaml", "", "a/r.yaml", release("web", values+"2"), "a/kustomization.yaml", kustomization("r.yaml"))
		}, web + ":v2", "inline", []string{"a/r.yaml -tag: v2", "a/r.yaml +tag: v1"}},
		{"a file of values is renamed and bumped at once", func(c *clone) {
			values := "image:\n  repository: " + web + "\n  tag: v"
			c.put("add", "a/vals.yaml", values+"1\nreplicas: 2\n", "a/r.yaml", release("web", "replicas: 1"))
			c.put("rename", "a/vals.yaml", "", "a/conf/web.yaml", values+"2\nreplicas: 2\n")
		}, web + ":v2", "rename", []string{"a/conf/web.yaml -tag: v2", "a/conf/web.yaml +tag: v1"}},
		{"a file of values goes while quite another one comes", func(c *clone) {
			values := "image:\n  repository: " + web + "\n  tag: v"
			c.put("add", "a/vals.yaml", values+"1\n"+strings.Repeat("# of the first application\n", 9), "a/r.yaml", release("web", "replicas: 1"))
			c.put("another", "a/vals.yaml", "", "b/web.yaml", values+"2\n"+strings.Repeat("# what the second application has\n", 9))
		}, web + ":v2", "another", nil},
		{"values go into an object that the release takes them from, and are bumped at once", func(c *clone) {
			values := "image:\n  repository: " + web + "\n  tag: v"
			c.put("add", "a/r.yaml", release("web", values+"1"))
			c.put("out", "a/r.yaml", release("web", "replicas: 1")+"  valuesFrom: [{kind: ConfigMap, name: other}]\n",
				"v/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata:\n  values.yaml: |\n"+indent(values+"2\n", "    "))
		}, web + ":v2", "out", []string{"v/cm.yaml -tag: v2", "v/cm.yaml +tag: v1"}},
		{"values come back out of the object that the release takes them from", func(c *clone) {
			values := "image:\n  repository: " + web + "\n  tag: v"
			c.put("add", "a/r.yaml", release("web", "replicas: 1")+"  valuesFrom: [{kind: ConfigMap, name: other}]\n",
				"v/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata:\n  values.yaml: |\n"+indent(values+"1\n", "    "))
			c.put("in", "v/cm.yaml", "", "a/r.yaml", release("web", values+"2"))
		}, web + ":v2", "in", []string{"a/r.yaml -tag: v2", "a/r.yaml +tag: v1"}},
		{"a folder that is copied is no move", func(c *clone) {
			c.put("add", "blue/d.yaml", app("web", web+":1"))
			c.replace("web 2", "blue/d.yaml", "web:1", "web:2")
			c.put("copy", "green/d.yaml", app("web", web+":2"))
			c.replace("blue 3", "blue/d.yaml", "web:2", "web:3")
		}, web + ":2", "copy", nil},
		{"a folder is copied, and the old one dropped later", func(c *clone) {
			c.put("add", "old/d.yaml", app("web", web+":1"))
			c.replace("web 2", "old/d.yaml", "web:1", "web:2")
			c.put("copy", "new/d.yaml", app("web", web+":2"))
			c.put("drop", "old/d.yaml", "")
		}, web + ":2", "web 2", []string{"new/d.yaml -image: " + web + ":2", "new/d.yaml +image: " + web + ":1"}},
		{"a tag that YAML takes for a number", func(c *clone) {
			c.put("add", "r.yaml", release("web", "image:\n  repository: "+web+"\n  tag: 1.9"))
			c.replace("web 1.10", "r.yaml", "tag: 1.9", "tag: 1.10")
		}, web + ":1.1", "web 1.10", []string{"r.yaml -tag: 1.10", "r.yaml +tag: 1.9"}},
		{"an app that is added while another one of the image goes is no bump", func(c *clone) {
			c.put("add", "a/one.yaml", release("one", "image:\n  repository: "+web+"\n  tag: v1"))
			c.put("another", "a/one.yaml", "", "b/other.yaml", app("other", web+":v2"))
		}, web + ":v2", "another", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			test.history(c)
			s, diff := c.undo(ask(test.image))
			if s.Subject != test.subject {
				t.Errorf("blamed %q, want %q\n%s", s.Subject, test.subject, c.git("log", "--stat", "--format=%s"))
			}
			sameLines(t, diff, test.diff)
		})
	}
}

func TestSquashThatMovesFilesNamesWhatElseItBrought(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const web, api, side = "reg.example.org/web", "reg.example.org/api", "reg.example.org/side"
	c.put("add", "old/web/d.yaml", app("web", web+":1"), "old/api/d.yaml", app("api", api+":1"),
		"old/side/d.yaml", app("side", side+":1"))
	c.git("mv", "old", "new")
	c.put("squash", "new/web/d.yaml", app("web", web+":2"), "new/api/d.yaml", app("api", api+":2"),
		"new/more/d.yaml", app("more", "reg.example.org/more:1"),
		"new/values.yaml", "controller:\n  image: {registry: reg.example.org, pullPolicy: Always}\n",
		"new/chart.yaml", "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\nspec:\n  chart:\n    spec:\n"+
			"      version: 2.0.0 # {\"$imagepolicy\": \"flux-system:web:tag\"}\n")
	s, _ := c.undo(ask(web + ":2"))
	if diff := cmp.Diff([]string{api + ":2"}, s.OtherImages); diff != "" {
		t.Error(diff)
	}
}

func TestPlacesThatSeveralCommitsBroughtAreUndoneTogether(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const web = "reg.example.org/web"
	c.put("add", "one/d.yaml", app("web", web+":1"), "two/d.yaml", app("web", web+":1"))
	c.replace("one 2", "one/d.yaml", "web:1", "web:2")
	first := c.git("rev-parse", "HEAD")
	c.put("three", "three/d.yaml", app("web", web+":2"))
	added := c.git("rev-parse", "HEAD")
	c.replace("two 2", "two/d.yaml", "web:1", "web:2")
	second := c.git("rev-parse", "HEAD")
	s, diff := c.undo(ask(web + ":2"))
	if s.Commit != second || len(s.Places) != 3 {
		t.Fatalf("suspect %+v", s)
	}
	for _, n := range s.Places {
		want := map[string]string{"one/d.yaml": first, "two/d.yaml": second, "three/d.yaml": added}[n.File]
		if got := broughtBy(s, n); got != want || n.Added != (n.File == "three/d.yaml") {
			t.Errorf("%s came with %s, added %t; want %s", n.File, got, n.Added, want)
		}
	}
	sameLines(t, diff, []string{"one/d.yaml -image: " + web + ":2", "one/d.yaml +image: " + web + ":1",
		"two/d.yaml -image: " + web + ":2", "two/d.yaml +image: " + web + ":1"})
}

func TestRevertNamesTheCommitsThatItUndoes(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const web = "reg.example.org/web"
	c.put("add", "one/d.yaml", app("web", web+":1"), "two/d.yaml", app("web", web+":1"))
	c.replace("one 2", "one/d.yaml", "web:1", "web:2")
	first := c.git("rev-parse", "HEAD")
	c.replace("two 2", "two/d.yaml", "web:1", "web:2")
	second := c.git("rev-parse", "HEAD")
	l := c.open()
	s, err := l.Blame(t.Context(), ask(web+":2"))
	if err != nil {
		t.Fatal(err)
	}
	former, err := l.Former(t.Context(), s, 8)
	if err != nil || len(former) == 0 || former[0].Image != web+":1" {
		t.Fatalf("former %+v, %v", former, err)
	}
	plan, err := l.Plan(t.Context(), []reconcile.Revert{{
		Image: s.Image, Suspect: s, Target: v1alpha1.Target{Image: former[0].Image, Values: former[0].Values},
	}}, reconcile.Source{})
	if err != nil {
		t.Fatal(err)
	}
	for _, commit := range []string{first, second} {
		if !strings.Contains(plan.Messages[0], "This reverts commit "+commit) {
			t.Errorf("the message does not name %s:\n%s", commit, plan.Messages[0])
		}
	}
}

func TestMergedCommitIsNamed(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	for _, test := range []struct {
		name  string
		merge func(c *clone)
		// merged is the subject of the commit behind the merge.
		merged string
	}{
		{"a branch is merged", func(c *clone) {
			c.git("merge", "--quiet", "--no-ff", "-m", "merge", "topic")
		}, "web 2"},
		{"a branch with a merge in it is merged", func(c *clone) {
			c.git("checkout", "--quiet", "-b", "outer")
			c.git("merge", "--quiet", "--no-ff", "-m", "inner merge", "topic")
			c.git("checkout", "--quiet", "main")
			c.git("merge", "--quiet", "--no-ff", "-m", "merge", "outer")
		}, "web 2"},
		{"a branch is merged as a subtree", func(c *clone) {
			c.git("rm", "--quiet", "d.yaml")
			c.commit("drop")
			c.git("merge", "--quiet", "--strategy", "ours", "--no-commit", "topic")
			c.git("read-tree", "--prefix=apps/shop/", "-u", "topic")
			c.git("commit", "--quiet", "-m", "merge")
		}, "web 2"},
		{"the merge itself says another tag than either side", func(c *clone) {
			c.git("merge", "--quiet", "--no-ff", "--no-commit", "topic")
			c.put("merge", "d.yaml", app("web", web+":3"))
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("add", "d.yaml", app("web", web+":1"), "README.md", "a\n")
			c.git("checkout", "--quiet", "-b", "topic")
			c.replace("web 2", "d.yaml", "web:1", "web:2")
			c.git("checkout", "--quiet", "main")
			c.put("readme", "README.md", "b\n")
			test.merge(c)
			image := web + ":2"
			if test.merged == "" {
				image = web + ":3"
			}
			s, _ := c.undo(ask(image))
			merged := ""
			if s.Merged != nil {
				merged = s.Merged.Subject
			}
			if s.Subject != "merge" || merged != test.merged {
				t.Errorf("blamed %q, merged %q; want the merge, and %q behind it", s.Subject, merged, test.merged)
			}
		})
	}
}
