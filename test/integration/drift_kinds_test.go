package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

func TestUndoToAnOlderRevision(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	w.release(prod, "backend", 1)
	bad, suspect := w.release(prod, "backend", 2)
	w.kubectl(prod, "rollout", "undo", "deployment/backend", "--to-revision=1")
	oldest := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	r, f := w.undid(prod, "backend", bad, oldest)
	if f.Drift.From != "3" || f.Drift.To != "1" || r.Status.Suspect.Commit != suspect || r.Status.Target.Image != oldest {
		t.Errorf("from %s to %s, suspect %s, target %s", f.Drift.From, f.Drift.To, r.Status.Suspect.Commit, r.Status.Target.Image)
	}
	w.answers(prod, bad, v1alpha1.Approve)
	w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+oldest)
	if !strings.Contains(w.File(w.Fleet.File(prod, "backend")), "image: "+oldest+" ") {
		t.Errorf("Git says:\n%s", w.File(w.Fleet.File(prod, "backend")))
	}
}

func TestSetImageToOneThatWasNeverInGit(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	tip := w.Tip()
	image := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	hotfix := w.Fleet.Image("backend", "hotfix")
	w.Publish("backend", "hotfix")
	w.kubectl(prod, "set", "image", "deployment/backend", "backend="+hotfix)
	r, f := w.adrift(prod, image, "Deployment/backend")
	asked := r.Status.Question
	if f.Drift.Live != hotfix || f.Drift.By != "kubectl-set" || f.Drift.To != "" {
		t.Errorf("the record says %+v", f.Drift)
	}
	if asked.Allows(v1alpha1.Approve) || !strings.Contains(fmt.Sprint(asked.Doubts), hotfix+" was never in Git at this place") || len(r.Status.Target.Values) > 0 {
		t.Errorf("offers to adopt what Git never held: %+v, %+v", asked, r.Status.Target)
	}
	// An approval is refused, and leaves the other answer open.
	bob := w.user("bob", prod, "backstop-approver")
	_, err := bob.backstop("approve", r.Name)
	if err == nil || !strings.Contains(err.Error(), "was never in Git at this place") {
		t.Errorf("an approval of what cannot be adopted: %v", err)
	}
	if err := bob.patch(r, bob.name, v1alpha1.Approve); err == nil || !strings.Contains(err.Error(), "takes Reject") {
		t.Errorf("an approval by kubectl patch: %v", err)
	}
	w.must(bob.patch(w.record(prod, image), bob.name, v1alpha1.Reject))
	w.ends(prod, image, v1alpha1.ResultRestored, bob.name+" had it restored from Git")
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	w.unmoved(prod, tip)
}

func TestEditOfASecondContainer(t *testing.T) {
	t.Parallel()
	w := world(t, quick, vary(func(w *World) {
		w.Publish("side", "one")
		w.Publish("side", "two")
		w.Fleet.Files[w.Fleet.File(prod, "backend")] += "        - name: side\n          image: " + w.Fleet.Image("side", "one") + "\n"
	}))
	startSidecar(t, w)
	w.asks(prod, anyone)
	w.Settle()
	_, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "backend"), "Two", func(text string) string {
		return strings.ReplaceAll(text, w.Fleet.Image("side", "one"), w.Fleet.Image("side", "two"))
	})
	w.must(err)
	two, one := w.Fleet.Image("side", "two"), w.Fleet.Image("side", "one")
	w.runsImage(prod, "backend", two)
	edit := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/1/image","value":%q}]`, one)
	w.kubectl(prod, "patch", "deployment", "backend", "--type=json", "--patch="+edit)
	r, f := w.adrift(prod, two, "Deployment/backend")
	if f.Container != "side" || f.Drift.By != "kubectl-patch" || r.Status.Target.Image != one {
		t.Errorf("container %s by %s, target %s", f.Container, f.Drift.By, r.Status.Target.Image)
	}
	w.answers(prod, two, v1alpha1.Approve)
	w.ends(prod, two, v1alpha1.ResultVerified)
	if text := w.File(w.Fleet.File(prod, "backend")); !strings.Contains(text, one) || !strings.Contains(text, w.Fleet.Image("backend", fleet.Tag(prod, 0))) {
		t.Errorf("Git says:\n%s", text)
	}
}

// driftingSets are one of each kind that keeps ControllerRevisions, and one that keeps none.
const driftingSets = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
        - name: a
          image: IMAGE
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: NS}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
        - name: a
          image: IMAGE
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: NS}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: a
              image: IMAGE
`

func TestUndoOfAStatefulSetAndOfADaemonSet(t *testing.T) {
	t.Parallel()
	w := world(t, quick, withManifest("worker", driftingSets))
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	good := w.Fleet.Image("worker", fleet.Tag(prod, 0))
	w.Publish("worker", fleet.Tag(prod, 1))
	w.wroteBack(prod, "worker", fleet.Tag(prod, 1))
	bad := w.Fleet.Image("worker", fleet.Tag(prod, 1))
	w.Until("both sets have two revisions", func() error {
		out, err := w.Env.Kubectl(t.Context(), "-n", w.Fleet.Namespace(prod), "get", "controllerrevisions", "-o", "name")
		w.must(err)
		if n := strings.Count(out, "\n"); n != 4 {
			return fmt.Errorf("%d revisions", n)
		}
		return nil
	})
	w.kubectl(prod, "rollout", "undo", "statefulset/db")
	w.kubectl(prod, "rollout", "undo", "daemonset/agent")
	w.kubectl(prod, "patch", "cronjob", "nightly", "--type=json",
		`--patch=[{"op":"replace","path":"/spec/jobTemplate/spec/template/spec/containers/0/image","value":"`+good+`"}]`)
	for kind, history := range map[string]string{"StatefulSet/db": "ControllerRevisions: revision", "DaemonSet/agent": "ControllerRevisions: revision", "CronJob/nightly": ""} {
		_, f := w.adrift(prod, bad, kind)
		if f.Drift.Live != good || !strings.Contains(strings.Join(f.Drift.Read, "\n"), history) {
			t.Errorf("%s: %+v", kind, f.Drift)
		}
		if kind == "CronJob/nightly" && !slices.Contains(f.Drift.Unread, "history: a CronJob keeps no history of its templates") {
			t.Errorf("%s: unread %q", kind, f.Drift.Unread)
		}
		if kind != "CronJob/nightly" && f.Drift.To == "" {
			t.Errorf("%s: the revision that was gone back to is not known: %+v", kind, f.Drift)
		}
	}
	if n := w.count(prod); n != 1 {
		t.Errorf("%d Rollbacks, want one for all three", n)
	}
	w.answers(prod, bad, v1alpha1.Approve)
	w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
}

func TestDriftUnderAHelmReleaseWithAndWithoutDriftDetection(t *testing.T) {
	t.Parallel()
	w := world(t, quick, vary(func(w *World) {
		w.releases(release, "TIMEOUT", "30s")
		delete(w.Fleet.Files, w.Fleet.File(prod, "backend"))
	}))
	startSidecar(t, w)
	w.asks(prod)
	good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	w.runsImage(prod, "shop", good)
	w.Publish("backend", fleet.Tag(prod, 1))
	bad := w.Fleet.Image("backend", fleet.Tag(prod, 1))
	w.runsImage(prod, "shop", bad)
	hr := &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "shop"}}
	w.kubectl(prod, "rollout", "undo", "deployment/shop")
	_, f := w.adrift(prod, bad, "Deployment/shop")
	if f.Drift.UndoneBy.Kind != "HelmRelease" || f.Drift.UndoneAt != nil || !strings.Contains(f.Drift.Undone, "not until the next upgrade") {
		t.Errorf("without drift detection: %+v", f.Drift)
	}
	w.Until("drift detection is on", func() error {
		w.must(client.IgnoreNotFound(w.Client.Get(t.Context(), client.ObjectKeyFromObject(hr), hr)))
		hr.Spec.Interval.Duration = time.Hour
		hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionEnabled}
		return w.Client.Update(t.Context(), hr)
	})
	r := w.until(prod, bad, "says when, or that it is over", func(s *v1alpha1.RollbackStatus) bool {
		return s.Failures[0].Drift.UndoneAt != nil || s.Outcome != nil
	})
	if d := r.Status.Failures[0].Drift; d.UndoneAt != nil && !d.UndoneAt.Time.Equal(d.At.Add(time.Hour)) {
		t.Errorf("with drift detection: %+v", d)
	}
	w.ends(prod, bad, v1alpha1.ResultRestored, "HelmRelease/"+w.Fleet.Namespace(prod)+"/shop undid it")
	w.runsImage(prod, "shop", bad)
}

func TestWhatCannotBeReadOfADriftIsSaid(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("bare", "missing", "wiped"), vary(func(w *World) {
		file := w.Fleet.File(prod, "bare")
		w.Fleet.Files[file] = strings.Replace(w.Fleet.Files[file], "  replicas:", "  revisionHistoryLimit: 0\n  replicas:", 1)
	}))
	w.asks(prod)
	w.Settle()
	git, good := map[string]string{}, map[string]string{}
	for _, app := range w.Fleet.Apps {
		good[app] = w.Fleet.Image(app, fleet.Tag(prod, 0))
		git[app], _ = w.release(prod, app, 1)
	}
	// No history: the ReplicaSet of the revision that was left is deleted as soon as it has no pods.
	w.setImage(prod, "bare", good["bare"])
	w.runs(prod, "bare", fleet.Tag(prod, 0))
	w.Until("bare has one ReplicaSet", func() error { return w.keepsOnly("bare", good["bare"]) })
	// A missing ReplicaSet: somebody deleted that of the revision that was left.
	w.kubectl(prod, "rollout", "undo", "deployment/missing")
	w.runs(prod, "missing", fleet.Tag(prod, 0))
	var all appsv1.ReplicaSetList
	w.must(w.Client.List(t.Context(), &all, client.InNamespace(w.Fleet.Namespace(prod)), client.MatchingLabels{"app": "missing"}))
	for i := range all.Items {
		if all.Items[i].Spec.Template.Spec.Containers[0].Image == git["missing"] {
			w.must(w.Client.Delete(t.Context(), &all.Items[i]))
		}
	}
	// Without managedFields nobody owns anything, also not who changes something next.
	w.kubectl(prod, "patch", "deployment", "wiped", "--type=merge", `--patch={"metadata":{"managedFields":[{}]}}`)
	w.setImage(prod, "wiped", good["wiped"])
	w.runs(prod, "wiped", fleet.Tag(prod, 0))
	startSidecar(t, w)
	for app, want := range map[string]struct{ by, unread string }{
		"bare":    {by: "kubectl-set", unread: "history: none of the ReplicaSets has another image: what was left is missing"},
		"missing": {by: "kubectl", unread: "history: none of the ReplicaSets has another image: what was left is missing"},
		"wiped":   {unread: "managedFields: the object has no managedFields"},
	} {
		r, f := w.adrift(prod, git[app], "Deployment/"+app)
		d := f.Drift
		if d.By != want.by || d.Live != good[app] || strings.Join(d.Unread, "; ") != want.unread || r.Status.Target.Image != good[app] {
			t.Errorf("%s: %+v, target %+v, want %+v", app, d, r.Status.Target, want)
		}
		if strings.HasPrefix(want.unread, "history") && (d.From != "" || d.To != "") {
			t.Errorf("%s: from %q to %q is a guess", app, d.From, d.To)
		}
	}
}

// keepsOnly reports whether all ReplicaSets of an app are of one image.
func (w *World) keepsOnly(app, image string) error {
	var all appsv1.ReplicaSetList
	w.must(w.Client.List(w.t.Context(), &all, client.InNamespace(w.Fleet.Namespace(prod)), client.MatchingLabels{"app": app}))
	for i := range all.Items {
		if got := all.Items[i].Spec.Template.Spec.Containers[0].Image; got != image {
			return fmt.Errorf("one is of %s", got)
		}
	}
	return nil
}
