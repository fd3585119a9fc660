package render_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// What Git says of a workload's pods goes back to what ran, whatever else the commit changed of the workload.
func TestWhatGitSaysOfPodsGoesBack(t *testing.T) {
	const (
		kustomization = "namespace: prod\nresources: [app.yaml]\nconfigMapGenerator:\n- name: settings\n  files: [app.conf]\n"
		plain         = "resources: [app.yaml, settings.yaml]\n"
		settings      = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: prod\ndata:\n  a: b\n"
		base          = "namespace: prod\nresources: [../base]\n"
	)
	app := func(replicas, image, env string) string {
		return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app\n  namespace: prod\nspec:\n  replicas: %s\n"+
			"  template:\n    spec:\n      containers:\n      - name: app\n        image: app:%s\n"+
			"        envFrom: [{configMapRef: {name: settings}}]\n%s", replicas, image, env)
	}
	const debug = "        env: [{name: MODE, value: debug}]\n"
	good := map[string]string{"apps/kustomization.yaml": kustomization, "apps/app.conf": "a=b", "apps/app.yaml": app("1", "v1", "")}
	ref := v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "prod", Name: "app"}
	for name, c := range map[string]struct {
		line        line
		files, also []string
		changedBy   int
		why, says   string
		refused     v1alpha1.DoubtType
		others      []reconcile.Root
		shared      []string
	}{
		"image and ConfigMap in one commit": {line: line{good, {"apps/app.conf": "a=c", "apps/app.yaml": app("1", "v2", "")}},
			files: []string{"apps/app.conf", "apps/app.yaml"}, also: []string{"ConfigMap", "ConfigMap"}},
		"ConfigMap alone": {line: line{good, {"README": "1"}, {"apps/app.conf": "a=c"}, {"README": "2"}}, files: []string{"apps/app.conf"}, also: []string{"ConfigMap", "ConfigMap"}},
		"a variable": {line: line{good, {"apps/app.yaml": app("1", "v1", debug)}, {"README": "1"}},
			files: []string{"apps/app.yaml"}},
		"how many there are is not about its pods": {line: line{good, {"apps/app.yaml": app("3", "v1", "")}, {"apps/app.yaml": app("3", "v1", debug)}}, files: []string{"apps/app.yaml"}},
		"two commits, any of which may have done it": {line: line{good, {"apps/app.yaml": app("1", "v2", "")}, {"apps/app.yaml": app("1", "v2", debug)}},
			changedBy: 2, why: "changed in 2 commits"},
		"a ConfigMap of a fixed name with a variable": {line: line{
			{"apps/kustomization.yaml": plain, "apps/settings.yaml": settings, "apps/app.yaml": app("1", "v1", "")},
			{"apps/settings.yaml": settings + "  c: d\n", "apps/app.yaml": app("1", "v1", debug)},
		}, files: []string{"apps/app.yaml", "apps/settings.yaml"}, also: []string{"ConfigMap"}},
		"a ConfigMap of a fixed name in a commit of its own": {line: line{
			{"apps/kustomization.yaml": plain, "apps/settings.yaml": settings, "apps/app.yaml": app("1", "v1", "")},
			{"apps/settings.yaml": settings + "  c: d\n"}, {"apps/app.yaml": app("1", "v1", debug)},
		}, changedBy: 2, why: "changed in 2 commits"},
		"a ConfigMap that came with the commit": {line: line{
			{"apps/kustomization.yaml": "resources: [app.yaml]\n", "apps/app.yaml": app("1", "v1", "")},
			{"apps/kustomization.yaml": plain, "apps/settings.yaml": settings, "apps/app.yaml": app("1", "v1", debug)},
		}, files: []string{"apps/app.yaml", "apps/kustomization.yaml"}, refused: v1alpha1.DoubtPrunes, says: "ConfigMap/prod/settings"},
		"two environments on a base": {line: line{
			{"apps/kustomization.yaml": base, "other/kustomization.yaml": base, "base/kustomization.yaml": "resources: [app.yaml]\n", "base/app.yaml": app("1", "v1", "")},
			{"base/app.yaml": app("1", "v1", debug)},
		}, files: []string{"base/app.yaml"}, others: []reconcile.Root{{Path: "./other", By: v1alpha1.ObjectRef{Kind: "Kustomization", Name: "other"}}}, shared: []string{"Kustomization/other"}},
	} {
		t.Run(name, func(t *testing.T) {
			last := fmt.Sprint(len(c.line) - 1)
			job := render.Job{Spec: kustomizev1.KustomizationSpec{Path: "./apps"}}
			found, err := render.Blame(t.Context(), c.line, reconcile.Source{}, &render.Search{
				Job: job, Good: "0", Bad: last, Object: &ref, Pods: true, Files: true, Others: c.others,
				Also: []v1alpha1.ObjectRef{{Kind: "ConfigMap", Namespace: "prod", Name: "settings"}},
			})
			if err != nil || (found.Suspect == nil) != (c.why != "") || !strings.Contains(found.Why, c.why) || c.changedBy > 0 && len(found.ChangedBy) != c.changedBy {
				t.Fatalf("found %+v, %v", found, err)
			}
			if c.why != "" {
				return
			}
			var files, shared, also []string
			for _, n := range found.Files {
				files = append(files, n.File)
			}
			for _, o := range found.SharedBy {
				shared = append(shared, o.String())
			}
			if !slices.Equal(files, c.files) || !slices.Equal(shared, c.shared) {
				t.Errorf("files %q shared by %q, want %q and %q", files, shared, c.files, c.shared)
			}
			u := &render.Undo{Job: job, Object: &ref, Pods: true, Files: files, Applied: []reconcile.AppliedObject{{Group: "apps", Kind: "Deployment", Namespace: "prod", Name: "app"}}}
			u.Good, _ = c.line.Snapshot(t.Context(), reconcile.Source{}, "0")
			u.Bad, _ = c.line.Snapshot(t.Context(), reconcile.Source{}, last)
			text, err := render.Text(t.Context(), u.Good, &job)
			if err != nil {
				t.Fatal(err)
			}
			u.Digests = []string{digestOf(t, text)}
			now, err := render.Objects(t.Context(), render.NewTree(u.Bad), &job)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range now {
				if o.GetKind() == "ConfigMap" {
					u.Applied = append(u.Applied, reconcile.AppliedObject{Kind: "ConfigMap", Namespace: "prod", Name: o.GetName()})
				}
			}
			proof, err := u.Prove(t.Context())
			if err == nil {
				var refs []v1alpha1.ObjectRef
				refs, err = proof(t.Context(), u.Bad, hashed{tree(c.line.without(last, found.Suspect.Commit, files))})
				for _, r := range refs {
					also = append(also, r.Kind)
				}
			}
			switch doubt := reconcile.DoubtOf(err); {
			case c.refused == "" && err != nil:
				t.Fatal(err)
			case c.refused != "" && (doubt == nil || doubt.Type != c.refused || !strings.Contains(doubt.Message, c.says)):
				t.Errorf("got %v, %+v; want %s %q", err, doubt, c.refused, c.says)
			case c.refused == "" && !slices.Equal(also, c.also):
				t.Errorf("%q change too, want %q", also, c.also)
			}
		})
	}
}
