package render_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// line is a branch: what each commit changes, the first of which was applied well. An empty content deletes a file.
type line []map[string]string

func (l line) Between(_ context.Context, _ reconcile.Source, good, bad string, most int) ([]reconcile.PastCommit, error) {
	var out []reconcile.PastCommit
	for i := range l {
		c := reconcile.PastCommit{Commit: fmt.Sprint(i), When: time.Unix(int64(i), 0)}
		if i > 0 {
			c.Parent = fmt.Sprint(i - 1)
		}
		out = append(out, c)
		if c.Commit == good {
			out = nil
		}
		if c.Commit == bad {
			break
		}
	}
	if len(out) > most {
		return nil, reconcile.Refuse("too many")
	}
	return out, nil
}

func (l line) Snapshot(_ context.Context, _ reconcile.Source, commit string) (fs.FS, error) {
	files := map[string]string{}
	for i, c := range l {
		maps.Copy(files, c)
		if fmt.Sprint(i) == commit {
			break
		}
	}
	maps.DeleteFunc(files, func(_, data string) bool { return data == "" })
	out := hashed{tree(files)}
	return out, nil
}

// hashed is a tree that tells what is the same, as Git's trees do.
type hashed struct{ fstest.MapFS }

type hashedInfo struct {
	fs.FileInfo
	hash string
}

func (i hashedInfo) Sys() any { return i.hash }

func (h hashed) Stat(name string) (fs.FileInfo, error) {
	info, err := h.MapFS.Stat(name)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, file := range sortedKeys(h.MapFS) {
		if file == name || name == "." || strings.HasPrefix(file, name+"/") {
			fmt.Fprintf(&b, "%s=%s\n", file, h.MapFS[file].Data)
		}
	}
	return hashedInfo{info, b.String()}, nil
}

func sortedKeys(m fstest.MapFS) []string {
	var out []string
	_ = fs.WalkDir(m, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, name)
		}
		return err
	})
	return out
}

func TestTheCommitThatBrokeIt(t *testing.T) {
	app := func(extra string) string { return deployment("app", "reg/app:v1") + extra }
	const broken = "kind: Deployment\n  metadata: [\n"
	object := &v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "prod", Name: "app"}
	release := func(values string) string {
		return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: prod}\nspec:\n  values: {" + values + "}\n"
	}
	web := &v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: "prod", Name: "web"}
	for name, c := range map[string]struct {
		line   line
		object *v1alpha1.ObjectRef
		also   []v1alpha1.ObjectRef
		good   string
		after  time.Time
		path   string
		// suspect is the index of the commit; -1 for none, and then why.
		suspect int
		changed int
		why     string
	}{
		"YAML that does not parse, among five commits": {line: line{
			{"apps/app.yaml": app("")}, {"README": "1"}, {"apps/b.yaml": deployment("b", "b:1")}, {"apps/app.yaml": broken}, {"README": "2"}, {"apps/b.yaml": deployment("b", "b:2")},
		}, suspect: 3, changed: 1},
		"two broken commits in a row": {line: line{
			{"apps/app.yaml": app("")}, {"apps/app.yaml": broken}, {"apps/app.yaml": broken + "x"},
		}, suspect: 1, changed: 1},
		"broken, mended, and broken again": {line: line{
			{"apps/app.yaml": app("")}, {"apps/app.yaml": broken}, {"apps/app.yaml": app("")}, {"apps/b.yaml": broken},
		}, suspect: 3, changed: 1},
		"a shared base that breaks": {line: line{
			{"apps/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "resources: [app.yaml]\n", "base/app.yaml": app("")},
			{"other/x.yaml": app("")}, {"base/kustomization.yaml": "resources: [app.yaml, none.yaml]\n"},
		}, suspect: 2, changed: 1},
		"a file that is named and gone": {line: line{
			{"apps/kustomization.yaml": "resources: [app.yaml]\n", "apps/app.yaml": app("")}, {"apps/app.yaml": ""},
		}, suspect: 1, changed: 1},
		"what is built here without an error": {line: line{
			{"apps/app.yaml": app("")}, {"apps/app.yaml": app("  paused: true\n")},
		}, suspect: -1, why: "built here without an error"},
		"what could not be built here before": {line: line{
			{"apps/kustomization.yaml": "resources: [\"github.com/acme/base?ref=v1\"]\n"}, {"apps/kustomization.yaml": "resources: [\"github.com/acme/base?ref=v2\"]\n"},
		}, suspect: -1, why: "cannot be built here"},
		"what only Flux can build": {line: line{
			{"apps/app.yaml": app("")}, {"apps/kustomization.yaml": "resources: [app.yaml, \"github.com/acme/base?ref=v2\"]\n"},
		}, suspect: -1, why: "cannot be built here"},
		"what only Flux can build, and then what nobody can": {line: line{
			{"apps/app.yaml": app("")}, {"apps/kustomization.yaml": "resources: [app.yaml, \"github.com/acme/base?ref=v2\"]\n"}, {"apps/app.yaml": broken},
		}, suspect: -1, why: "cannot be built here"},
		"what is too much to build here": {line: line{
			{"apps/app.yaml": app("")}, {"apps/kustomization.yaml": "resources: [app.yaml]\nconfigMapGenerator: [{name: a, files: [" +
				strings.TrimSuffix(strings.Repeat("a.txt,", 40), ",") + "]}]\n", "apps/a.txt": strings.Repeat("a", 1<<20)},
		}, suspect: -1, why: "more than 32 MiB"},
		"an object that one of five commits changed": {line: line{
			{"apps/app.yaml": app("")}, {"README": "1"}, {"apps/b.yaml": deployment("b", "b:1")}, {"apps/app.yaml": app("  paused: true\n")}, {"README": "2"}, {"apps/b.yaml": deployment("b", "b:2")},
		}, object: object, suspect: 3, changed: 1},
		"an object that a kustomization of a base changed": {line: line{
			{"apps/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "resources: [app.yaml]\n", "base/app.yaml": app("")},
			{"base/kustomization.yaml": "resources: [app.yaml]\nlabels: [{pairs: {a: b}, includeSelectors: true}]\n"},
		}, object: object, suspect: 1, changed: 1},
		"an object that two commits changed": {line: line{
			{"apps/app.yaml": app("")}, {"apps/app.yaml": app("  paused: true\n")}, {"apps/app.yaml": app("  paused: false\n")},
		}, object: object, suspect: -1, changed: 2, why: "changed in 2 commits"},
		"an object that no commit changed": {line: line{
			{"apps/app.yaml": app("")}, {"apps/b.yaml": deployment("b", "b:1")},
		}, object: object, suspect: -1, why: "says the same in all of the 1 commits"},
		"an object that came with one": {line: line{
			{"apps/b.yaml": deployment("b", "b:1")}, {"apps/app.yaml": app("")},
		}, object: object, suspect: 1, changed: 1},
		"an object that is not rendered any more": {line: line{
			{"apps/app.yaml": app(""), "apps/b.yaml": deployment("b", "b:1")}, {"apps/app.yaml": ""},
		}, object: object, suspect: -1, changed: 1, why: "not among what is rendered any more"},
		"a commit in between that cannot be built": {line: line{
			{"apps/app.yaml": app("")}, {"apps/app.yaml": broken}, {"apps/app.yaml": app("  paused: true\n")},
		}, object: object, suspect: -1, why: "cannot be built here"},
		"an object among others that change in its folder": {line: line{
			{"apps/kustomization.yaml": "resources: [app.yaml, b.yaml]\nnamePrefix: x-\n", "apps/app.yaml": app(""), "apps/b.yaml": deployment("b", "b:1")}, {"apps/b.yaml": deployment("b", "b:2")},
			{"apps/app.yaml": app("  paused: true\n")}, {"apps/b.yaml": deployment("b", "b:3")},
		}, object: &v1alpha1.ObjectRef{Kind: "Deployment", Name: "x-app"}, suspect: 2, changed: 1},
		"an object whose reference gets a prefix when another object comes": {line: line{
			{"apps/kustomization.yaml": "resources: [app.yaml, b.yaml]\nnamePrefix: x-\n", "apps/app.yaml": app("      serviceAccountName: s\n"), "apps/b.yaml": deployment("b", "b:1")},
			{"apps/b.yaml": deployment("b", "b:2")}, {"apps/b.yaml": deployment("b", "b:2") + "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: s}\n"},
		}, object: &v1alpha1.ObjectRef{Kind: "Deployment", Name: "x-app"}, suspect: 2, changed: 1},
		"an object that copies a value of another one": {line: line{
			{"apps/kustomization.yaml": "resources: [app.yaml, b.yaml]\nreplacements: [{source: {kind: Deployment, name: b, fieldPath: spec.template.spec.containers.0.image}, targets: [{select: {kind: Deployment, name: app}, fieldPaths: [spec.template.spec.containers.0.image]}]}]\n",
				"apps/app.yaml": app(""), "apps/b.yaml": deployment("b", "b:1")}, {"apps/b.yaml": deployment("b", "b:2")},
		}, object: object, suspect: 1, changed: 1},
		"an object that a patch gives another name": {line: line{
			{"apps/kustomization.yaml": "resources: [b.yaml, c.yaml]\npatches: [{target: {name: b}, patch: '[{\"op\":\"replace\",\"path\":\"/metadata/name\",\"value\":\"app\"}]'}]\n", "apps/b.yaml": deployment("b", "b:1"), "apps/c.yaml": deployment("c", "c:1")},
			{"apps/c.yaml": deployment("c", "c:2")}, {"apps/b.yaml": deployment("b", "b:2")},
		}, object: object, suspect: 2, changed: 1},
		"an object that a file of the folder without a kustomization brings": {line: line{
			{"apps/app.yaml": app(""), "apps/b.yaml": deployment("b", "b:1")}, {"apps/b.yaml": deployment("b", "b:2")}, {"apps/c.yaml": deployment("c", "c:1")}, {"apps/app.yaml": app("  paused: true\n")},
		}, object: object, suspect: 3, changed: 1},
		"the values of a generator that an object refers to": {line: line{
			{"apps/kustomization.yaml": "resources: [app.yaml]\nconfigMapGenerator: [{name: s, files: [s.yaml]}]\n", "apps/s.yaml": deployment("b", "b:1"),
				"apps/app.yaml": app("      volumes: [{name: v, configMap: {name: s}}]\n")},
			{"README": "1"}, {"apps/s.yaml": deployment("b", "b:2")},
		}, object: object, suspect: 2, changed: 1},
		"the same commit as before": {line: line{{"apps/app.yaml": app("")}}, object: object, suspect: -1, why: "applied well before"},
		"the newest change of a release": {line: line{
			{"apps/web.yaml": release("tag: v1")}, {"apps/web.yaml": release("tag: v2")}, {"README": "1"},
		}, object: web, good: "-", suspect: 1, changed: 1},
		"a change of a release that ran well afterwards": {line: line{
			{"apps/web.yaml": release("tag: v1")}, {"apps/web.yaml": release("tag: v2")}, {"README": "1"},
		}, object: web, good: "-", after: time.Unix(2, 0), suspect: -1, why: "no commit changed HelmRelease/prod/web"},
		"a release that one commit changed since it ran well": {line: line{
			{"apps/web.yaml": release("tag: v1")}, {"apps/web.yaml": release("tag: v2")}, {"README": "1"}, {"apps/web.yaml": release("tag: v3")}, {"README": "2"},
		}, object: web, good: "-", after: time.Unix(2, 0), suspect: 3, changed: 1},
		"a release that two commits changed since it ran well": {line: line{
			{"apps/web.yaml": release("tag: v1")}, {"README": "1"}, {"apps/web.yaml": release("tag: v2")}, {"apps/web.yaml": release("tag: v3")}, {"README": "2"},
		}, object: web, good: "-", after: time.Unix(1, 0), suspect: -1, changed: 2, why: "HelmRelease/prod/web changed in 2 commits"},
		"a release that came since then": {line: line{
			{"apps/b.yaml": deployment("b", "b:1")}, {"README": "2"}, {"apps/web.yaml": release("tag: v1")}, {"README": "3"},
		}, object: web, good: "-", after: time.Unix(1, 0), suspect: 2, changed: 1},
		"values in a ConfigMap that a release takes": {line: line{
			{"apps/web.yaml": release(""), "apps/values.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: values, namespace: prod}\ndata: {values.yaml: 'a: 1'}\n"},
			{"apps/values.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: values, namespace: prod}\ndata: {values.yaml: 'a: 2'}\n"}, {"README": "1"},
		}, object: web, also: []v1alpha1.ObjectRef{{Kind: "ConfigMap", Namespace: "prod", Name: "values"}}, good: "-", suspect: 1, changed: 1},
		"a release that is not among what is rendered": {line: line{{"apps/app.yaml": app("")}}, object: web, good: "-", suspect: -1, why: "not among what is rendered"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &render.Search{
				Job:  render.Job{Spec: kustomizev1.KustomizationSpec{Path: "./apps"}},
				Good: "0", Bad: fmt.Sprint(len(c.line) - 1), Object: c.object, Also: c.also, After: c.after,
			}
			if c.good == "-" {
				s.Good = ""
			}
			got, err := render.Blame(t.Context(), c.line, reconcile.Source{}, s)
			if err != nil {
				t.Fatal(err)
			}
			suspect := -1
			if got.Suspect != nil {
				_, _ = fmt.Sscan(got.Suspect.Commit, &suspect)
			}
			if suspect != c.suspect || len(got.ChangedBy) != c.changed || !strings.Contains(got.Why, c.why) || (got.Why == "") != (c.why == "") {
				t.Errorf("suspect %d, %d changed it, %q; want %d, %d, %q", suspect, len(got.ChangedBy), got.Why, c.suspect, c.changed, c.why)
			}
		})
	}
}

// Two hundred commits of which one changed the object are rendered as often as its folder changed, and not more often.
func TestOneObjectOverTwoHundredCommits(t *testing.T) {
	all := line{{"apps/app.yaml": deployment("app", "reg/app:v1")}}
	for i := range 200 {
		all = append(all, map[string]string{"other/app.yaml": fmt.Sprint(i)})
	}
	all[150]["apps/app.yaml"] = deployment("app", "reg/app:v2")
	began := time.Now()
	got, err := render.Blame(t.Context(), all, reconcile.Source{}, &render.Search{
		Job:  render.Job{Spec: kustomizev1.KustomizationSpec{Path: "apps"}},
		Good: "0", Bad: "200", Object: &v1alpha1.ObjectRef{Kind: "Deployment", Name: "app"},
	})
	if err != nil || got.Suspect == nil || got.Suspect.Commit != "150" {
		t.Fatalf("got %+v, %v", got, err)
	}
	t.Logf("found in %s", time.Since(began))
}
