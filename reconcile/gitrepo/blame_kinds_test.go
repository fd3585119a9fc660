package gitrepo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestKustomizeImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := func(name, tag, digest string) string {
		out := kustomization("backend.yaml") + "images:\n  - name: backend\n    newName: " + name + " # {\"$imagepolicy\": \"develop:backend:name\"}\n"
		if tag != "" {
			out += "    newTag: " + tag + " # {\"$imagepolicy\": \"develop:backend:tag\"}\n"
		}
		if digest != "" {
			out += "    digest: " + digest + " # {\"$imagepolicy\": \"develop:backend:digest\"}\n"
		}
		return out
	}
	entry := "apps/develop/kustomization.yaml"
	base := deployment("develop", "backend", "backend", "")
	w.put("add", entry, k(repo, tag0, ""), "apps/develop/backend.yaml", base)
	bad := w.put("update", entry, k(repo, tag1, ""))
	s := w.blame(query(repo + ":" + tag1))
	if s.Commit != bad || len(s.Places) != 1 || s.Places[0].Part != "Tag" || s.Places[0].Bad != tag1 || s.Automation == nil {
		t.Fatalf("suspect %+v", s)
	}
	wish := w.wish(s)
	if wish.Target.Image != repo+":"+tag0 {
		t.Errorf("target %q", wish.Target.Image)
	}
	out := w.land(wish)
	w.sameTreeAsGitRevert(out[0].Change.Commit, bad)
	// The name is the same policy's and would be written back with the tag: both are held.
	if got := strings.Count(w.show("main", entry), "backstop:hold not="+tag1); got != 2 {
		t.Errorf("%d markers are held, want 2:\n%s", got, w.show("main", entry))
	}
	// A new name and a digest: everything that changed goes back.
	w.pull()
	good, worse := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	w.put("pin", entry, k(repo, "", good))
	bad = w.put("move", entry, k("ghcr.io/other/backend", "", worse))
	s = w.blame(query("ghcr.io/other/backend@" + worse))
	if s.Commit != bad || len(s.Places) != 2 {
		t.Fatalf("suspect %+v", s)
	}
	if wish = w.wish(s); wish.Target.Image != repo+"@"+good {
		t.Errorf("target %q", wish.Target.Image)
	}
	out = w.land(wish)
	w.sameTreeAsGitRevert(out[0].Change.Commit, bad)
}

func TestHelmValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := func(tag string) string {
		return fmt.Sprintf(`apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: backend, namespace: develop}
spec:
  chart: {spec: {chart: backend}}
  values:
    image:
      repository: %s # {"$imagepolicy": "develop:backend:name"}
      tag: %s # {"$imagepolicy": "develop:backend:tag"}
    lone: {tag: x}
`, repo, tag)
	}
	w.put("add", "apps/develop/release.yaml", release(tag0))
	bad := w.put("update", "apps/develop/release.yaml", release(tag1))
	s := w.blame(query(repo + ":" + tag1))
	if s.Commit != bad || len(s.Places) != 1 || s.Places[0].Part != "Tag" {
		t.Fatalf("suspect %+v", s)
	}
	wish := w.wish(s)
	if wish.Target.Image != repo+":"+tag0 {
		t.Errorf("target %q", wish.Target.Image)
	}
	w.sameTreeAsGitRevert(w.land(wish)[0].Change.Commit, bad)
}

func TestLoneTagTakesTheRepositoryFromTheImageThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := func(tag string) string {
		return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: backend, namespace: develop}\n" +
			"spec:\n  values:\n    image:\n      tag: " + tag + "\n"
	}
	w.put("add", "apps/develop/release.yaml", release(tag0))
	w.put("update", "apps/develop/release.yaml", release(tag1))
	if wish := w.wish(w.blame(query(repo + ":" + tag1))); wish.Target.Image != repo+":"+tag0 {
		t.Errorf("target %q", wish.Target.Image)
	}
}

func TestBaseSharedByTwoEnvironmentsIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("add", "base/kustomization.yaml", kustomization("backend.yaml"), "base/backend.yaml", backend(tag0),
		"apps/develop/kustomization.yaml", kustomization("../../base"), "apps/staging/kustomization.yaml", kustomization("../../base"),
		"apps/production/kustomization.yaml", kustomization("own.yaml"), "apps/production/own.yaml", backend(tag0))
	bad := w.put("update", "base/backend.yaml", backend(tag1))
	other := func(name string) reconcile.Root {
		return reconcile.Root{By: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: name}, Path: "apps/" + name}
	}
	q := query(repo + ":" + tag1)
	q.Others = []reconcile.Root{q.Root, other("staging"), other("production"), other("gone"),
		{By: v1alpha1.ObjectRef{Kind: "Kustomization", Name: "all"}, Path: "base"}}
	s := w.blame(q)
	var got []string
	for _, r := range s.SharedBy {
		got = append(got, r.Name)
	}
	if diff := cmp.Diff([]string{"staging", "all"}, got); s.Commit != bad || diff != "" {
		t.Errorf("commit %s, shared by (-want +got):\n%s", s.Commit, diff)
	}
}

// Who may write in one namespace can run there, by hand, what Git says for another one: that is not undone.
func TestWhatGitSaysForAnotherNamespaceIsNotBlamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		own      string
		workload v1alpha1.Workload
		blamed   bool
	}{
		"where the workload has its own":          {deployment("develop", "web", repo+":"+tag0, ""), v1alpha1.Workload{Kind: "Deployment", Name: "web"}, false},
		"of several, where one has its own":       {deployment("develop", "web", repo+":"+tag0, ""), v1alpha1.Workload{}, false},
		"where kustomize may give it another":     {"", v1alpha1.Workload{Kind: "Deployment", Name: "web"}, true},
		"where only another workload has its own": {deployment("develop", "worker", repo+":"+tag0, ""), v1alpha1.Workload{Kind: "Deployment", Name: "web"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.own != "" {
				w.write("apps/develop/own.yaml", c.own)
			}
			w.put("add", "apps/develop/production.yaml", deployment("production", "web", repo+":"+tag0, ""))
			bad := w.put("update", "apps/develop/production.yaml", deployment("production", "web", repo+":"+tag1, ""))
			q := query(repo + ":" + tag1)
			q.Workload = c.workload
			s, err := w.mirrors.Blame(t.Context(), w.src, q)
			_, refused := reconcile.AsRefusal(err)
			if refused == c.blamed || c.blamed && s.Commit != bad {
				t.Errorf("blames %s: %v", s.Commit, err)
			}
		})
	}
}

func TestTwoWorkloadsOfOneImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(tag string) string {
		return w.put("to "+tag, "apps/develop/a.yaml", deployment("develop", "web", repo+":"+tag, "develop:backend"),
			"apps/develop/b.yaml", deployment("develop", "worker", repo+":"+tag, "develop:backend"))
	}
	put(tag0)
	bad := put(tag1)
	s := w.blame(query(repo + ":" + tag1))
	if s.Commit != bad || len(s.Places) != 2 {
		t.Fatalf("suspect %+v", s)
	}
	q := query(repo + ":" + tag1)
	q.Workload = v1alpha1.Workload{Kind: "Deployment", Name: "worker"}
	if s := w.blame(q); len(s.Places) != 1 || s.Places[0].File != "apps/develop/b.yaml" {
		t.Errorf("nodes of one workload: %+v", s.Places)
	}
	out := w.land(w.wish(s))
	w.sameTreeAsGitRevert(out[0].Change.Commit, bad)
}
