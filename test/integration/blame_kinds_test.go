package integration

import (
	"strings"
	"testing"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// The places beside a Deployment's image: where the file says it in parts, or a person wrote it.

// imagesFile is a kustomization that sets one image by tag, one by name and tag, one by digest.
const imagesFile = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - backend.yaml
  - frontend.yaml
  - worker.yaml
images:
  - name: backend
    newName: REGISTRY/backend
    newTag: TAG # {"$imagepolicy": "NS:backend:tag"}
  - name: frontend
    newName: REGISTRY/frontend # {"$imagepolicy": "NS:frontend:name"}
    newTag: TAG # {"$imagepolicy": "NS:frontend:tag"}
  - name: worker
    newName: REGISTRY/worker
    digest: DIGEST # {"$imagepolicy": "NS:worker:digest"}
`

func TestKustomizeImagesNewTagNewNameDigest(t *testing.T) {
	t.Parallel()
	const file = "apps/production/kustomization.yaml"
	var digest string
	w := world(t, quick, apps("backend", "frontend", "worker"), vary(func(w *World) {
		digest = w.Publish("worker", fleet.Tag(prod, 0))
		for _, app := range w.Fleet.Apps {
			name := w.Fleet.File(prod, app)
			before, rest, _ := strings.Cut(w.Fleet.Files[name], "image: ")
			_, after, _ := strings.Cut(rest, "\n")
			w.Fleet.Files[name] = before + "image: " + app + "\n" + after
		}
		w.Fleet.Files[file] = strings.NewReplacer("REGISTRY", w.Fleet.Registry, "TAG", fleet.Tag(prod, 0), "DIGEST", digest,
			"NS", w.Fleet.Namespace(prod)).Replace(imagesFile)
		fleet.Get[*reflectorv1.ImagePolicy](w.Fleet, w.Fleet.Namespace(prod), "worker").Spec.DigestReflectionPolicy = reflectorv1.ReflectIfNotPresent
		// Where the frontend moves to.
		elsewhere := fleet.Get[*reflectorv1.ImageRepository](w.Fleet, w.Fleet.Namespace(prod), "frontend").DeepCopy()
		elsewhere.Name, elsewhere.Spec.Image = "moved", w.Fleet.Registry+"/moved/frontend"
		w.Fleet.Objects = append(w.Fleet.Objects, elsewhere)
		w.Fleet.Apps = []string{"backend", "frontend"} // the worker's digest must stay what it is
	}))
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	worker := w.Fleet.Registry + "/worker@" + digest
	w.runsImage(prod, "worker", worker)

	revert := func(app, bad, good string, holds int) *v1alpha1.Rollback {
		t.Helper()
		before := w.Tip()
		w.selected(prod, app, fleet.Tag(prod, 1))
		w.automationRests(prod, false)
		suspect := w.next(before)
		r := w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
		if r.Status.Suspect.Commit != suspect || r.Status.Suspect.Automation == nil {
			t.Errorf("suspect %+v, want %s", r.Status.Suspect, suspect)
		}
		w.undone(r, map[string]string{file: w.blob(suspect+"^", file)})
		if n := strings.Count(w.blob(r.Status.Change.Hold, file), "backstop:hold"); n != holds {
			t.Errorf("%d holds stand, want %d", n, holds)
		}
		return r
	}
	good, newer := fleet.Tag(prod, 0), fleet.Tag(prod, 1)

	w.automationRests(prod, true)
	bad := w.publishBad("backend", newer)
	revert("backend", bad, w.Fleet.Image("backend", good), 1)
	w.runs(prod, "backend", good)

	// The policy selects from another repository: name and tag change together.
	w.automationRests(prod, true)
	bad = w.publishBad("moved/frontend", newer)
	policy := fleet.Get[*reflectorv1.ImagePolicy](w.Fleet, w.Fleet.Namespace(prod), "frontend")
	change(w, policy, func(p *reflectorv1.ImagePolicy) { p.Spec.ImageRepositoryRef.Name = "moved" })
	r := revert("frontend", bad, w.Fleet.Image("frontend", good), 3)
	if n := r.Status.Suspect.Places; len(n) != 2 {
		t.Errorf("nodes %+v, want name and tag", n)
	}
	w.runs(prod, "frontend", good)

	w.automationRests(prod, true)
	bad = w.Fleet.Registry + "/worker@" + w.Publish("worker", newer, "linux/arm64")
	revert("worker", bad, worker, 4)
	w.runsImage(prod, "worker", worker)
}

func TestHelmValuesRepositoryAndTag(t *testing.T) {
	t.Parallel()
	const file = "apps/production/shop.yaml"
	w := world(t, quick, vary(func(w *World) {
		w.releases(release, "TIMEOUT", "15s")
		delete(w.Fleet.Files, w.Fleet.File(prod, "backend"))
	}))
	startSidecar(t, w)
	// A policy selects by the labels that the chart gives its Deployment.
	w.auto(prod, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Selector = metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}
	})
	good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	w.runsImage(prod, "shop", good)
	before := w.Tip()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.next(before)
	r := w.ends(prod, bad, v1alpha1.ResultVerified, "Deployment/shop runs "+good)
	s := r.Status.Suspect
	if want := (v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: w.Fleet.Namespace(prod), Name: "shop"}); s.Reconciler != want || s.Commit != suspect {
		t.Errorf("suspect %+v", s)
	}
	w.undone(r, map[string]string{file: w.blob(suspect+"^", file)})
	// The name is the policy's too, so it is held with the tag.
	if n := strings.Count(w.blob(fleet.Branch, file), "backstop:hold"); n != 2 {
		t.Errorf("%d holds, want two:\n%s", n, w.blob(fleet.Branch, file))
	}
	w.runsImage(prod, "shop", good)

	// The next image is written, name and all, once it can run.
	newer := w.Fleet.Image("backend", fleet.Tag(prod, 2))
	w.Publish("backend", fleet.Tag(prod, 2))
	w.runsImage(prod, "shop", newer)
	if text := w.blob(fleet.Branch, file); strings.Contains(text, "backstop:hold") {
		t.Errorf("a hold is left:\n%s", text)
	}
}

func TestPlainImageTypedWrongByAPerson(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("backend", "frontend", "worker"), vary(func(w *World) {
		for name, text := range w.Fleet.Files {
			for _, app := range w.Fleet.Apps {
				text = strings.ReplaceAll(text, " "+w.Fleet.Marker(prod, app, ""), "")
			}
			w.Fleet.Files[name] = text
		}
	}))
	startSidecar(t, w)
	policy := w.auto(prod)
	w.Settle()
	good, typo := fleet.Tag(prod, 0), "producton-v1.1.0"
	mistype := func(app string, further ...string) string {
		t.Helper()
		commit, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, app), "Release "+app, func(text string) string {
			return strings.NewReplacer(append(further, good, typo)...).Replace(text)
		})
		w.must(err)
		return commit
	}

	// The default: what people do is only told about.
	commit := mistype("worker")
	w.ends(prod, w.Fleet.Image("worker", typo), v1alpha1.ResultReportedOnly, "came in with "+commit[:12], "authors is Automation")
	w.staysAt(commit)

	change(w, policy, anyone)
	commit = mistype("backend")
	file := w.Fleet.File(prod, "backend")
	r := w.ends(prod, w.Fleet.Image("backend", typo), v1alpha1.ResultVerified, "runs "+w.Fleet.Image("backend", good))
	if s := r.Status.Suspect; s.Commit != commit || s.Automation != nil || !strings.HasPrefix(s.Author, "Alice") || s.Subject != "Release backend" {
		t.Errorf("suspect %+v", s)
	}
	w.undone(r, map[string]string{file: w.blob(commit+"^", file)})
	if r.Status.Change.Hold != "" || w.Tip() != r.Status.Change.Commit {
		t.Errorf("there is no marker to hold, and still: %+v", r.Status.Change)
	}
	w.runs(prod, "backend", good)

	// A commit that did more than images is for a person to judge.
	commit = mistype("frontend", "replicas: 1", "replicas: 2")
	w.waits(prod, w.Fleet.Image("frontend", typo), "a person's commit changed more than images")
	w.staysAt(commit)
	if s := w.record(prod, w.Fleet.Image("frontend", typo)).Status; s.Change != nil || s.Target.Image != w.Fleet.Image("frontend", good) {
		t.Errorf("status %+v", s)
	}
}
