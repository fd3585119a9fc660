package gitrepo

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

func TestVersionThatMovedOutOfAnEntryOfImages(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	entry := func(tag string) string {
		return kustomization("../base") + "images: [{name: " + web + ", newTag: " + tag + "}]\n"
	}
	for name, at := range map[string]struct{ before, image, subject string }{
		"as it is":              {"v2", web + ":v2", "bump"},
		"with another one":      {"v1", web + ":v2", "plain"},
		"and was never another": {"", web + ":v2", "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("first", "base/kustomization.yaml", kustomization("d.yaml"), "base/d.yaml", app("web", web),
				"prod/kustomization.yaml", entry("v1"))
			switch at.before {
			case "v2":
				c.replace("bump", "prod/kustomization.yaml", "v1", "v2")
			case "":
				c.put("no entry", "prod/kustomization.yaml", kustomization("../base"))
			}
			c.put("plain", "base/d.yaml", app("web", web+":v2"), "prod/kustomization.yaml", kustomization("../base"))
			s, lines := c.undo(ask(at.image))
			want := []string{"base/d.yaml -image: " + web + ":v2", "base/d.yaml +image: " + web + ":v1"}
			if at.before == "" {
				want[1] = "base/d.yaml +image: " + web
			}
			if s.Subject != at.subject || !slices.Equal(lines, want) {
				t.Errorf("blamed %q, and the revert is %q", s.Subject, lines)
			}
		})
	}
}

func TestEntryOfImagesThatOneEnvironmentDropsAndAnotherAdds(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	entry := func(dir, tag string) string {
		return kustomization(dir) + "images:\n- name: " + web + "\n  newTag: " + tag + "\n"
	}
	for name, c := range map[string]struct {
		tag, all, subject string
		undone            bool
	}{
		"with a bump":                           {tag: "v2", subject: "promote"},
		"with the same tag":                     {tag: "v1", subject: "promote"},
		"of components of one thing, as a move": {tag: "v2", all: kustomization("../dev", "../prod"), subject: "promote", undone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			files := []string{"base/kustomization.yaml", kustomization("d.yaml"), "base/d.yaml", app("web", web+":v0"),
				"prod/kustomization.yaml", entry("../base", "v1"), "dev/kustomization.yaml", kustomization("../base")}
			if c.all != "" {
				files = append(files, "all/kustomization.yaml", c.all)
			}
			r.put("add", files...)
			r.put(c.subject, "prod/kustomization.yaml", kustomization("../base"), "dev/kustomization.yaml", entry("../base", c.tag))
			s, lines := r.undo(ask(web + ":" + c.tag))
			want := []string{"dev/kustomization.yaml -images:", "dev/kustomization.yaml -- name: " + web, "dev/kustomization.yaml -newTag: " + c.tag}
			if c.undone {
				want = []string{"dev/kustomization.yaml -newTag: v2", "dev/kustomization.yaml +newTag: v1"}
			}
			if s.Subject != c.subject || !slices.Equal(lines, want) {
				t.Errorf("blamed %q, and the revert is %q", s.Subject, lines)
			}
		})
	}
}

func TestVariableThatMovedIntoAConfigMap(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	c := newClone(t)
	c.put("first", "cluster/ks.yaml", fluxKustomization("web", "./apps", "postBuild: {substitute: {TAG: v1}}"),
		"apps/d.yaml", app("web", web+":${TAG}"))
	c.replace("bump", "cluster/ks.yaml", "v1", "v2")
	c.put("settings", "cluster/ks.yaml",
		fluxKustomization("web", "./apps", "postBuild: {substituteFrom: [{kind: ConfigMap, name: settings}]}"),
		"cluster/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: flux-system}\ndata:\n  TAG: v2\n")
	q := ask(web + ":v2")
	q.ByPerson = true
	s, lines := c.undo(q)
	want := []string{"cluster/settings.yaml -TAG: v2", "cluster/settings.yaml +TAG: v1"}
	if s.Subject != "bump" || !slices.Equal(lines, want) {
		t.Errorf("blamed %q, and the revert is %q", s.Subject, lines)
	}
}

// Each case is a bump of TAG in cluster/ks.yaml or of the image in apps/d.yaml, and what was done to the variable
// since.
func TestVariableThatCameSinceTheBump(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	cluster := func(name, tag string) string {
		return fluxKustomization("web", "./apps", "postBuild: {substitute: {"+name+": "+tag+"}}")
	}
	for name, at := range map[string]struct {
		first   []string
		bump    [3]string
		then    []string
		subject string
		want    string
	}{
		"it had another name": {
			first: []string{"cluster/ks.yaml", cluster("TAG", "v1"), "apps/d.yaml", app("web", web+":${TAG}")},
			bump:  [3]string{"cluster/ks.yaml", "v1", "v2"},
			then:  []string{"cluster/ks.yaml", cluster("WEB_TAG", "v2"), "apps/d.yaml", app("web", web+":${WEB_TAG}")},
			want:  "WEB_TAG: ",
		},
		"it had another name, in another folder": {
			first: []string{"cluster/ks.yaml", cluster("TAG", "v1"), "apps/d.yaml", app("web", web+":${TAG}")},
			bump:  [3]string{"cluster/ks.yaml", "v1", "v2"},
			then: []string{"cluster/ks.yaml", strings.Replace(cluster("WEB_TAG", "v2"), "./apps", "./own", 1),
				"own/d.yaml", app("web", web+":${WEB_TAG}"), "apps/d.yaml", app("other", "reg.example.org/other:v1")},
			want: "WEB_TAG: ",
		},
		"it was renamed in the bump": {
			first:   []string{"cluster/ks.yaml", cluster("TAG", "v1"), "apps/d.yaml", app("web", web+":${TAG}")},
			bump:    [3]string{"cluster/ks.yaml", "v1", "v1"},
			then:    []string{"cluster/ks.yaml", cluster("WEB_TAG", "v2"), "apps/d.yaml", app("web", web+":${WEB_TAG}")},
			subject: "then", want: "WEB_TAG: ",
		},
		"the text said it": {
			first: []string{"cluster/ks.yaml", cluster("A", "b"), "apps/d.yaml", app("web", web+":v1")},
			bump:  [3]string{"apps/d.yaml", "v1", "v2"},
			then:  []string{"cluster/ks.yaml", cluster("TAG", "v2"), "apps/d.yaml", app("web", web+":${TAG}")},
			want:  "TAG: ",
		},
		"the text said it until the bump": {
			first:   []string{"cluster/ks.yaml", cluster("A", "b"), "apps/d.yaml", app("web", web+":v1")},
			bump:    [3]string{"apps/d.yaml", "v1", "v1"},
			then:    []string{"cluster/ks.yaml", cluster("TAG", "v2"), "apps/d.yaml", app("web", web+":${TAG}")},
			subject: "then", want: "TAG: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("first", at.first...)
			if at.bump[1] != at.bump[2] {
				c.replace("bump", at.bump[0], at.bump[1], at.bump[2])
			}
			c.put("then", at.then...)
			q := ask(web + ":v2")
			q.ByPerson = true
			s, lines := c.undo(q)
			subject := at.subject
			if subject == "" {
				subject = "bump"
			}
			line := "postBuild: {substitute: {" + at.want
			want := []string{"cluster/ks.yaml -" + line + "v2}}", "cluster/ks.yaml +" + line + "v1}}"}
			if s.Subject != subject || !slices.Equal(lines, want) {
				t.Errorf("blamed %q, and the revert is %q", s.Subject, lines)
			}
		})
	}
}

func TestVariableThatBecameTextWithTheBump(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	const both = "${HOST}/web:${VER}"
	settings := func(data string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: flux-system}\ndata:\n  OTHER: v9\n" + data
	}
	ksAt := func(path, post string) string { return fluxKustomization("web", path, "postBuild:\n"+post) }
	ks := func(post string) string { return ksAt("./apps", post) }
	from := "    substituteFrom: [{kind: ConfigMap, name: settings}]\n"
	for name, test := range map[string]struct {
		before, after []string
		was           string
		want          []string
	}{
		"beside one that is still there": {
			before: []string{"cluster/web.yaml", ks("    substitute: {VER: v1, HOST: reg.example.org}\n")},
			after:  []string{"cluster/web.yaml", ks("    substitute: {HOST: reg.example.org}\n")},
			was:    both,
			want:   []string{"apps/d.yaml -image: " + web + ":v2", "apps/d.yaml +image: " + web + ":v1"},
		},
		"of a ConfigMap": {
			before: []string{"cluster/web.yaml", ks(from), "cluster/settings.yaml", settings("  VER: v1\n")},
			after:  []string{"cluster/settings.yaml", settings("")},
			want:   []string{"apps/d.yaml -image: " + web + ":v2", "apps/d.yaml +image: " + web + ":v1"},
		},
		"of the Kustomization": {
			before: []string{"cluster/web.yaml", ks("    substitute: {VER: v1, OTHER: v9}\n")},
			after:  []string{"cluster/web.yaml", ks("    substitute: {OTHER: v9}\n")},
			want:   []string{"apps/d.yaml -image: " + web + ":v2", "apps/d.yaml +image: " + web + ":v1"},
		},
		"that is still there": {
			before: []string{"cluster/web.yaml", ks("    substitute: {VER: v1, OTHER: v9}\n")},
			after:  []string{"README.md", "v2"},
			want:   []string{"apps/d.yaml -image: " + web + ":v2", "apps/d.yaml +image: " + web + ":${VER}"},
		},
		"that has another value since": {
			before: []string{"cluster/web.yaml", ks("    substitute: {VER: v1, OTHER: v9}\n")},
			after:  []string{"cluster/web.yaml", ks("    substitute: {VER: v3, OTHER: v9}\n")},
			want:   []string{"apps/d.yaml -image: " + web + ":v2", "apps/d.yaml +image: " + web + ":v1"},
		},
		"of two values in two clusters": {
			before: []string{"cluster/web.yaml", ks("    substitute: {VER: v1}\n"), "prod/web.yaml", ksAt("./prod/app", "    substitute: {VER: v0}\n"),
				"prod/app/d.yaml", app("web", web+":${VER}")},
			after: []string{"cluster/web.yaml", ks("    substitute: {OTHER: v9}\n"), "prod/web.yaml", ksAt("./prod/app", "    substitute: {OTHER: v9}\n"),
				"prod/app/d.yaml", app("web", web+":v2")},
			want: []string{"apps/d.yaml -image: " + web + ":v2", "apps/d.yaml +image: " + web + ":v1",
				"prod/app/d.yaml -image: " + web + ":v2", "prod/app/d.yaml +image: " + web + ":v0"},
		},
		"of two values": {
			before: []string{"cluster/web.yaml", ks("    substitute: {VER: v1, OTHER: v9}\n"), "prod/web.yaml", ks("    substitute: {VER: v0}\n")},
			after:  []string{"cluster/web.yaml", ks("    substitute: {OTHER: v9}\n"), "prod/web.yaml", ks("    substitute: {OTHER: v9}\n")},
			want:   []string{"apps/d.yaml -image: " + web + ":v2", "apps/d.yaml +image: " + web + ":${VER}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("add", append(test.before, "apps/d.yaml", app("web", cmp.Or(test.was, web+":${VER}")))...)
			c.put("text", append(test.after, "apps/d.yaml", app("web", web+":v2"))...)
			s, diff := c.undo(ask(web + ":v2"))
			if s.Subject != "text" {
				t.Errorf("blamed %q", s.Subject)
			}
			sameLines(t, diff, test.want)
		})
	}
}

func TestVariableThatBecameALineOfAFileInTheBump(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	generator := func(more string) string {
		return kustomization("ks.yaml") + "namespace: flux-system\ngeneratorOptions: {disableNameSuffixHash: true}\n" +
			"configMapGenerator:\n- name: versions\n  " + more + "\n"
	}
	for name, c := range map[string]struct {
		before string
		diff   []string
	}{
		"from a literal":       {"[WEB=v1, API=v1]", []string{"a/v.env -WEB=v2", "a/v.env +WEB=v1"}},
		"of another name":      {"[WEBS=v1, API=v1]", nil},
		"with the same value":  {"[WEB=v2, API=v1]", nil},
		"whose name went on":   {"[API=v1]", nil},
		"from the last of two": {"[API=v1, WEB=v1]", []string{"a/v.env -WEB=v2", "a/v.env +WEB=v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("add", "a/kustomization.yaml", generator("literals: "+c.before), "apps/d.yaml", app("web", web+":${WEB}"),
				"a/ks.yaml", fluxKustomization("apps", "./apps", "postBuild:", "  substituteFrom: [{kind: ConfigMap, name: versions}]"))
			r.put("bump", "a/kustomization.yaml", generator("envs: [v.env]"), "a/v.env", "WEB=v2\nAPI=v2\n")
			q := ask(web + ":v2")
			q.ByPerson = true
			_, diff := r.undo(q)
			sameLines(t, diff, c.diff)
		})
	}
}

func TestTagThatAnOverlayTookOverFromItsBase(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	whole := func(name, tag string) string {
		if tag == "" {
			return release(name, "image:\n  repository: "+web)
		}
		return release(name, "image:\n  repository: "+web+"\n  tag: "+tag)
	}
	overlay := kustomization("../base", "other.yaml") + "patches: [{path: patch.yaml}]\n"
	for name, at := range map[string]struct {
		bumps           []string
		subject, former string
	}{
		"as it was":                     {[]string{"v2"}, "v2", "v1"},
		"and bumped it at once":         {nil, "split", "v1"},
		"and bumped a later one":        {[]string{"v3"}, "split", "v3"},
		"as it was, after another bump": {[]string{"v3", "v2"}, "v2", "v3"},
		"as it was, after none at all":  {[]string{"", "v2"}, "v2", "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("first", "prod/hr.yaml", whole("web", "v1"), "prod/other.yaml", whole("other", "v7"))
			for _, tag := range at.bumps {
				c.put(cmp.Or(tag, "none"), "prod/hr.yaml", whole("web", tag))
			}
			c.put("split", "prod/hr.yaml", "", "base/hr.yaml", release("web", "image:\n  repository: "+web),
				"base/kustomization.yaml", kustomization("hr.yaml"), "prod/kustomization.yaml", overlay,
				"prod/patch.yaml", release("web", "image:\n  tag: v2"))
			s, lines := c.undo(ask(web + ":v2"))
			want := []string{"prod/patch.yaml -tag: v2", "prod/patch.yaml +tag: " + at.former}
			if s.Subject != at.subject || !slices.Equal(lines, want) {
				t.Errorf("blamed %q, and the revert is %q", s.Subject, lines)
			}
		})
	}
}

func TestTagOfAnEnvironmentOverARepositoryOfTheBase(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	tag := func(name, tag string) string { return release(name, "image:\n  tag: "+tag) }
	overlay := kustomization("../base") + "patches: [{path: web.yaml}, {path: worker.yaml}]\n"
	base := func(version string) []string {
		return []string{
			"base/kustomization.yaml", kustomization("web.yaml", "worker.yaml"),
			"base/web.yaml", release("web", "image:\n  repository: "+web+version),
			"base/worker.yaml", release("worker", "image:\n  repository: reg.example.org/worker"+version),
		}
	}
	for name, at := range map[string]struct{ base, root string }{
		"alone":                               {"", "prod"},
		"over a version that the base has":    {"\n  tag: v0", "prod"},
		"of two environments, from their top": {"", "."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			// Another release has the same tag, and so has another environment.
			c.put("first", append(base(at.base), "prod/kustomization.yaml", overlay, "prod/web.yaml", tag("web", "v1"),
				"prod/worker.yaml", tag("worker", "v2"), "dev/kustomization.yaml", overlay, "dev/web.yaml", tag("web", "v1"),
				"dev/worker.yaml", tag("worker", "v2"))...)
			c.put("dev", "dev/web.yaml", tag("web", "v2"))
			c.put("bump", "prod/web.yaml", tag("web", "v2"))
			q := ask(web + ":v2")
			q.Root.Path = at.root
			s, lines := c.undo(q)
			want := []string{"prod/web.yaml -tag: v2", "prod/web.yaml +tag: v1"}
			if at.root == "." {
				want = append([]string{"dev/web.yaml -tag: v2", "dev/web.yaml +tag: v1"}, want...)
			}
			if s.Subject != "bump" || !slices.Equal(lines, want) {
				t.Errorf("blamed %q, and the revert is %q", s.Subject, lines)
			}
		})
	}
}

func TestTagInAFileOfValuesOverARepositoryOfTheRelease(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	generator := func(files string) string {
		return "configMapGenerator: [{name: web-values, files: [" + files + "]}]\n"
	}
	from := "\n  valuesFrom: [{kind: ConfigMap, name: web-values}]\n"
	undone := []string{"web/values.yaml -tag: v2", "web/values.yaml +tag: v1"}
	for name, at := range map[string]struct {
		beside  []string
		subject string
		lines   []string
	}{
		"the file is the release's by its folder": {subject: "bump", lines: undone},
		"another release has a file of that shape": {
			beside: []string{"worker/hr.yaml", release("worker", "image:\n  repository: reg.example.org/worker") + from,
				"worker/values.yaml", "image:\n  tag: v2\n"},
			subject: "bump", lines: undone,
		},
		// Its repository is the chart's, and nothing tells that the tag of web is not.
		"another release has a file of that shape, and no repository": {
			beside:  []string{"worker/hr.yaml", release("worker", "replicas: 1") + from, "worker/values.yaml", "image:\n  tag: v2\n"},
			subject: "bump", lines: undone,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			folders := "web"
			files := []string{"web/kustomization.yaml", kustomization("hr.yaml") + generator("values.yaml"),
				"web/hr.yaml", release("web", "image:\n  repository: "+web) + from, "web/values.yaml", "image:\n  tag: v1\n"}
			if at.beside != nil {
				folders = "web, worker"
				files = append(files, append(at.beside, "worker/kustomization.yaml", kustomization("hr.yaml")+generator("values.yaml"))...)
			}
			c.put("first", append(files, "kustomization.yaml", "resources: ["+folders+"]\n")...)
			c.put("bump", "web/values.yaml", "image:\n  tag: v2\n")
			s, lines := c.undo(ask(web + ":v2"))
			if s.Subject != at.subject || !slices.Equal(lines, at.lines) {
				t.Errorf("blamed %q, and the revert is %q", s.Subject, lines)
			}
		})
	}
}
