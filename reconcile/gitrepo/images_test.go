package gitrepo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const appTemplate = `kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      containers:
      - {name: app, image: "r/app:IMAGE"}
      - {name: side, image: r/side:1}
`

func TestImagesAtTheAppliedCommit(t *testing.T) {
	w := newWorld(t)
	at := func(tag string) string {
		return w.put(tag, "apps/app.yaml", strings.ReplaceAll(appTemplate, "IMAGE", tag), "apps/broken.yaml", "image: r/app:\n\t- [")
	}
	first, second := at("v1"), at("v2")
	q := reconcile.Wanted{
		Root: reconcile.Root{By: v1alpha1.ObjectRef{Kind: "Kustomization", Name: "apps"}, Path: "apps"}, Namespace: "develop",
		Workload:   v1alpha1.Workload{Kind: "Deployment", Name: "app"},
		Containers: map[string][]string{"app": {"r/app:v1"}, "side": {"r/side:9"}},
	}
	for commit, want := range map[string]string{first: "r/app:v1", second: "r/app:v2"} {
		q.Commit = commit
		for range 2 { // the second answer is remembered
			images, why, err := w.mirrors.Images(t.Context(), w.src, q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"app": want, "side": "r/side:1"}, images); diff != "" || len(why) > 0 {
				t.Errorf("%s: %s, why %v", commit, diff, why)
			}
		}
	}
	q.Containers = map[string][]string{"other": {"r/x:1"}}
	_, why, err := w.mirrors.Images(t.Context(), w.src, q)
	if err != nil || !strings.Contains(why["other"], "apps/broken.yaml speaks of it") {
		t.Errorf("a file that does not parse may say it: %v, %v", why, err)
	}
	for name, change := range map[string]func(*reconcile.Wanted){
		"a commit that is nowhere": func(q *reconcile.Wanted) { q.Commit = strings.Repeat("a", 40) },
		"a folder that is nowhere": func(q *reconcile.Wanted) { q.Root.Path = "nowhere" },
	} {
		lost := q
		change(&lost)
		images, why, err := w.mirrors.Images(t.Context(), w.src, lost)
		if err != nil || len(images) > 0 || why["other"] == "" {
			t.Errorf("%s: %v, %v, %v", name, images, why, err)
		}
	}
}
