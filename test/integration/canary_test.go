package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// Updates that a canary refuses, on real Deployments. The test writes what Flagger would.

// judges installs the kinds that judge updates.
func (w *World) judges() {
	w.t.Helper()
	kinds, err := os.ReadFile("testdata/canaries.yaml")
	w.must(err)
	w.must(w.Env.Apply(w.t.Context(), string(kinds)))
	_, err = w.Env.Kubectl(w.t.Context(), "wait", "--for=condition=Established", "crd/canaries.flagger.app", "crd/rollouts.argoproj.io",
		"crd/analysisruns.argoproj.io")
	w.must(err)
}

// judged writes the status of an object that judges updates.
func (w *World) judged(env, object string, status map[string]any) {
	w.t.Helper()
	patch, err := json.Marshal(map[string]any{"status": status})
	w.must(err)
	w.kubectl(env, "patch", object, "--subresource=status", "--type=merge", "-p", string(patch))
}

// refused is the status of a Canary that refuses an update since now.
func refused(more map[string]any) map[string]any {
	out := map[string]any{
		"phase": "Failed", "canaryWeight": 0, "failedChecks": 0, "iterations": 0, "lastAppliedSpec": "bad", "lastPromotedSpec": "good",
		"conditions": []any{map[string]any{"type": "Promoted", "status": "False", "reason": "Failed",
			"message": "Canary analysis failed, Deployment scaled to zero.", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}},
	}
	maps.Copy(out, more)
	return out
}

// explained writes the events by which Flagger tells why it refuses an update.
func (w *World) explained(env, canary string) {
	w.t.Helper()
	var c unstructured.Unstructured
	c.SetGroupVersionKind(schema.GroupVersionKind{Group: "flagger.app", Version: "v1beta1", Kind: "Canary"})
	namespace := w.Fleet.Namespace(env)
	w.must(w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: canary}, &c))
	// All of one second: their names say which is newer.
	now := metav1.Now()
	for i, words := range []string{"New revision detected! Scaling up", "Halt " + canary + "." + namespace + " advancement success rate 61.39% < 99%",
		"Rolling back " + canary + "." + namespace + " failed checks threshold reached 5", "Canary failed! Scaling down"} {
		w.must(w.Client.Create(w.t.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%d", canary, i)}, Reason: "Synced", Message: words,
			InvolvedObject: corev1.ObjectReference{Kind: "Canary", Namespace: namespace, Name: canary, UID: c.GetUID()},
			LastTimestamp:  now, Count: 1, Type: corev1.EventTypeWarning,
		}))
	}
}

// flagger makes what Flagger makes of a Deployment: a Canary, and a primary that runs what was promoted.
func (w *World) flagger(env, app string) {
	w.t.Helper()
	c := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"targetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": app},
		"analysis":  map[string]any{"interval": "30s"},
	}}}
	c.SetGroupVersionKind(schema.GroupVersionKind{Group: "flagger.app", Version: "v1beta1", Kind: "Canary"})
	c.SetNamespace(w.Fleet.Namespace(env))
	c.SetName(app)
	w.must(w.Client.Create(w.t.Context(), c))
	w.judged(env, "canary/"+app, map[string]any{"phase": "Initialized", "lastAppliedSpec": "good", "lastPromotedSpec": "good"})
	target := w.deployment(env, app)
	labels := map[string]string{"app": app + "-primary"}
	primary := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: target.Namespace, Name: app + "-primary", Labels: labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, c.GroupVersionKind())}},
		Spec: *target.Spec.DeepCopy(),
	}
	primary.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	primary.Spec.Template.Labels = labels
	w.must(w.Client.Create(w.t.Context(), primary))
	w.Until("the primary is ready", func() error {
		if s := w.deployment(env, primary.Name).Status; s.ReadyReplicas < *primary.Spec.Replicas {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// onCanaries is a policy that reverts refused updates by itself.
func onCanaries(p *v1alpha1.RollbackPolicy) {
	p.Spec.Triggers = []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerCanary, Mode: v1alpha1.ModeAuto}}
	p.Spec.SoleCluster = true
}

// A failed promotion is told, a failed analysis is reverted, the canary verifies it, and a newer image lifts the
// hold.
func canaryRefuses(t *testing.T, w *World) {
	const env = "canary"
	good := w.Fleet.Image("backend", fleet.Tag(env, 0))
	w.runs(env, "backend", fleet.Tag(env, 0))
	w.flagger(env, "backend")
	w.Publish("backend", fleet.Tag(env, 1))
	bad := w.Fleet.Image("backend", fleet.Tag(env, 1))
	suspect := w.wroteBack(env, "backend", fleet.Tag(env, 1))
	w.runs(env, "backend", fleet.Tag(env, 1))

	w.judged(env, "canary/backend", refused(map[string]any{"canaryWeight": 100}))
	w.notReverted(env, "Canary", "under live traffic")
	if r := w.record(env, bad); r != nil {
		t.Errorf("a Rollback was opened for a failed promotion: %+v", r.Status.Failures)
	}

	w.explained(env, "backend")
	w.judged(env, "canary/backend", refused(nil))
	r := w.until(env, bad, "waits for the canary", func(s *v1alpha1.RollbackStatus) bool {
		return s.Landed != nil && s.Waiting != nil && strings.Contains(s.Waiting.Why, "Canary/backend has not taken the revert up yet")
	})
	f := r.Status.Failures[0]
	if r.Spec.OpenedFor != v1alpha1.TriggerCanary || f.Canary == nil || f.Canary.Promoted != good || f.Canary.PromotedBy != "Deployment/backend-primary" ||
		r.Status.Suspect.Commit != suspect || r.Status.Verdict.Source != v1alpha1.VerdictByPolicy || r.Status.Change.Lift != v1alpha1.LiftNewerImage {
		t.Errorf("opened for %s, blamed %s: %+v %+v", r.Spec.OpenedFor, r.Status.Suspect.Commit, f, f.Canary)
	}
	// As Flagger does when it looks again, it leaves the phase as it is.
	w.judged(env, "canary/backend", map[string]any{"lastAppliedSpec": "good"})
	w.ends(env, bad, v1alpha1.ResultVerified, "runs "+good)
	w.runs(env, "backend", fleet.Tag(env, 0))

	w.Publish("backend", fleet.Tag(env, 2))
	w.wroteBack(env, "backend", fleet.Tag(env, 2))
	w.until(env, bad, "is released", func(s *v1alpha1.RollbackStatus) bool { return s.Lifted != nil })
	if r := w.record(env, w.Fleet.Image("backend", fleet.Tag(env, 2))); r != nil {
		t.Errorf("a Rollback was opened for an update that nobody refuses: %+v", r.Status.Failures)
	}
}
