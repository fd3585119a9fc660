package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/test/fleet"
)

// These tests show that the stand-ins do what was seen of the real ones. Each
// is something that Backstop relies on or fights against.

// quick is a fleet of one environment, whose automations run often. What is published is scanned at once.
func quick(s *setup) {
	s.Fleet.Environments = []string{"production"}
	s.Fleet.Interval, s.Fleet.ScanInterval = 500*time.Millisecond, 2*time.Second
}

const prod = "production"

// wroteBack waits for automation's commit of a tag and gives it. The history tells, not the tip: it may have been taken
// back already. Called again, it waits for another one.
func (w *World) wroteBack(env, app, tag string) string {
	w.t.Helper()
	file, says := w.Fleet.File(env, app), w.Fleet.Image(app, tag)+" "
	var commit string
	w.Until("image automation writes "+tag, func() error {
		for c := range strings.FieldsSeq(w.git("log", "--reverse", "--format=%H", "--author="+fleet.Author, "--invert-grep",
			"--grep=^Backstop-Kind: ", "-S", says, fleet.Branch, "--", file)) {
			if !slices.Contains(w.written, c+says) && strings.Contains(w.git("show", c+":"+file), says) {
				commit = c
				return nil
			}
		}
		return fmt.Errorf("Git says:\n%s", w.File(file))
	})
	w.written = append(w.written, commit+says)
	return commit
}

// fails waits until a pod of an environment waits with these words.
func (w *World) fails(env string, words ...string) {
	w.t.Helper()
	w.Until("a pod says "+strings.Join(words, " … "), func() error {
		for _, line := range w.Waiting(env) {
			all := true
			for _, word := range words {
				all = all && strings.Contains(line, word)
			}
			if all {
				return nil
			}
		}
		return fmt.Errorf("pods say %q", w.Waiting(env))
	})
}

// runs waits until an app runs a tag.
func (w *World) runs(env, app, tag string) {
	w.t.Helper()
	w.Until(env+"/"+app+" runs "+tag, func() error { return w.Runs(env, app, tag) })
}

func TestStandInsUndoARevertByHandUnlessTheMarkerIsHeld(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	w.Settle()
	file, good, bad := w.Fleet.File(prod, "backend"), fleet.Tag(prod, 0), fleet.Tag(prod, 1)

	begin := time.Now()
	w.Publish("backend", bad, "linux/arm64")
	commit := w.wroteBack(prod, "backend", bad)
	if author := w.git("show", "-s", "--format=%an <%ae>%n%cn%n%B", commit); author != "fluxcdbot <fluxcdbot@users.noreply.github.com>\nfluxcdbot\nUpdate from image update automation" {
		t.Errorf("the write-back is by %q", author)
	}
	w.fails(prod, "ErrImagePull", w.Fleet.Image("backend", bad)+`": no match for platform in manifest: not found`)
	t.Logf("published → failing pod: %s", time.Since(begin).Round(time.Millisecond))
	w.fails(prod, "ImagePullBackOff Back-off pulling image", "ErrImagePull: rpc error: code = NotFound")

	// The problem: a plain revert is undone.
	_, err := w.Alice.Revert(t.Context(), commit)
	w.must(err)
	begin = time.Now()
	again := w.wroteBack(prod, "backend", bad)
	if again == commit {
		t.Fatal("the revert was never at the tip")
	}
	t.Logf("reverted by hand → written back: %s", time.Since(begin).Round(time.Millisecond))

	// The answer: a marker that the setter does not recognise.
	hold := "# backstop:hold not=" + bad + " since=2026-11-21T09:13:26Z {"
	held, err := w.Alice.Change(t.Context(), file, "Revert and hold", func(text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, bad, good), "# {", hold)
	})
	w.must(err)
	w.runs(prod, "backend", good)
	w.automationRan(prod, 3)
	if tip := w.Tip(); tip != held {
		t.Errorf("the tip is %s, want the hold %s", tip, held)
	}
	automation := Object(w, fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(prod), prod))
	if got := automation.Status.ObservedPolicies["backend"].Tag; got != bad {
		t.Errorf("observed policy %q, want the bad tag %s that is still selected", got, bad)
	}

	// A newer image does not get past the hold; lifted, it is written.
	newer := fleet.Tag(prod, 2)
	w.Publish("backend", newer)
	w.selected(prod, "backend", newer)
	w.automationRan(prod, 2)
	if tip := w.Tip(); tip != held {
		t.Errorf("the held marker was written to: %s", tip)
	}
	_, err = w.Alice.Change(t.Context(), file, "Lift", func(text string) string { return strings.ReplaceAll(text, hold, "# {") })
	w.must(err)
	w.wroteBack(prod, "backend", newer)
	w.runs(prod, "backend", newer)
}

// selected waits until a policy has selected a tag.
func (w *World) selected(env, app, tag string) {
	w.t.Helper()
	policy := fleet.Get[*reflectorv1.ImagePolicy](w.Fleet, w.Fleet.Namespace(env), app)
	w.Until(tag+" is selected", func() error {
		if l := Object(w, policy).Status.LatestRef; l == nil || l.Tag != tag {
			return fmt.Errorf("selected is %v", l)
		}
		return nil
	})
}

// automationRan waits for n further runs of an automation.
func (w *World) automationRan(env string, n int) {
	w.t.Helper()
	a := Object(w, fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(env), env))
	for i := range n {
		token := fmt.Sprintf("%d-%d", time.Now().UnixNano(), i)
		was := a.DeepCopy()
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, "reconcile.fluxcd.io/requestedAt", token)
		w.must(w.Client.Patch(w.t.Context(), a, client.MergeFrom(was)))
		w.Until("automation ran", func() error {
			if got := Object(w, a).Status.LastHandledReconcileAt; got != token {
				return fmt.Errorf("handled %q", got)
			}
			return nil
		})
	}
}

func TestStandInsTakeARolloutUndoBackAtTheNextInterval(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Fleet.ApplyInterval = 4 * time.Second })
	w.Settle()
	w.Publish("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.runs(prod, "backend", fleet.Tag(prod, 1))
	if got := w.imageOwners(prod, "backend"); got != "kustomize-controller/Apply" {
		t.Errorf("before the undo f:image is owned by %s", got)
	}
	_, err := w.Env.Kubectl(t.Context(), "rollout", "undo", "deployment/backend", "-n", w.Fleet.Namespace(prod))
	w.must(err)
	if got := w.imageOwners(prod, "backend"); got != "kubectl/Update" {
		t.Errorf("after the undo f:image is owned by %s", got)
	}
	if got := w.LiveImage(prod, "backend"); got != w.Fleet.Image("backend", fleet.Tag(prod, 0)) {
		t.Errorf("undone to %s", got)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 1))
	if got := w.imageOwners(prod, "backend"); got != "kustomize-controller/Apply" {
		t.Errorf("after the next apply f:image is owned by %s", got)
	}
	// Other managers keep what Git does not say, kubectl does not.
	_, err = w.Env.Kubectl(t.Context(), "annotate", "deployment/backend", "-n", w.Fleet.Namespace(prod), "by=kubectl")
	w.must(err)
	d := w.deployment(prod, "backend")
	was := d.DeepCopy()
	metav1.SetMetaDataAnnotation(&d.ObjectMeta, "by-another", "kept")
	w.must(w.Client.Patch(t.Context(), d, client.MergeFrom(was), client.FieldOwner("backstop")))
	w.Until("kubectl's annotation is gone and the other one is kept", func() error {
		if got := w.deployment(prod, "backend").Annotations; got["by"] != "" || got["by-another"] != "kept" {
			return fmt.Errorf("annotations %v", got)
		}
		return nil
	})
}

// imageOwners are manager and operation of those that own the image of an app.
func (w *World) imageOwners(env, app string) string {
	w.t.Helper()
	var owners []string
	for _, f := range w.deployment(env, app).ManagedFields {
		if f.FieldsV1 != nil && strings.Contains(string(f.FieldsV1.GetRawBytes()), `"f:image":`) {
			owners = append(owners, f.Manager+"/"+string(f.Operation))
		}
	}
	return strings.Join(owners, " ")
}

func TestStandInsKeepTheLastGoodRevisionWhileHealthIsChecked(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Fleet.Wait, s.Fleet.HealthTimeout = true, 3*time.Second })
	w.Settle()
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod)
	is := func(kind, status, reason, message string) func() error {
		return func() error {
			for _, c := range Object(w, k).Status.Conditions {
				if c.Type == kind && string(c.Status) == status && c.Reason == reason && strings.Contains(c.Message, message) {
					return nil
				}
			}
			return fmt.Errorf("conditions %+v", k.Status.Conditions)
		}
	}
	w.Until("the Kustomization is ready", is("Ready", "True", "ReconciliationSucceeded", "Applied revision: main@sha1:"))
	good := k.Status.LastAppliedRevision
	if ids := entries(k); ids != w.Fleet.Namespace(prod)+"_backend_apps_Deployment "+w.Fleet.Namespace(prod)+"_frontend_apps_Deployment" {
		t.Errorf("inventory %s", ids)
	}
	w.Publish("backend", fleet.Tag(prod, 1), "linux/arm64")
	bad := "main@sha1:" + w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.Until("the health check runs", is("Reconciling", "True", "Progressing", "Running health checks for revision "+bad+" with a timeout of 3s"))
	if k.Status.LastAppliedRevision != good || k.Status.LastAttemptedRevision != bad {
		t.Errorf("applied %s, attempted %s", k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision)
	}
	w.Until("the health check fails", is("Ready", "False", "HealthCheckFailed",
		"timeout waiting for: [Deployment/"+w.Fleet.Namespace(prod)+"/backend status: 'InProgress']"))
	if h := k.Status.History; k.Status.LastAppliedRevision != good || len(h) != 2 || h[0].LastReconciledStatus != "HealthCheckFailed" || h[1].Metadata["revision"] != good {
		t.Errorf("applied %s, history %+v", k.Status.LastAppliedRevision, h)
	}
}

func entries(k *kustomizev1.Kustomization) string {
	var ids []string
	if k.Status.Inventory != nil {
		for _, e := range k.Status.Inventory.Entries {
			ids = append(ids, e.ID)
		}
	}
	return strings.Join(ids, " ")
}
