package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// argoHash is the label by which Argo Rollouts tells its ReplicaSets apart.
const argoHash = "rollouts-pod-template-hash"

// argo reads the backend's Rollout of Argo.
func (w *World) argo(env string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"})
	return o, w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(env), Name: "backend"}, o)
}

// argoMakes waits until a Rollout says an image, and makes the ReplicaSet that Argo's controller would.
func (w *World) argoMakes(env, image, hash string) {
	w.t.Helper()
	var o *unstructured.Unstructured
	var template corev1.PodTemplateSpec
	w.Until("the Rollout says "+image, func() (err error) {
		if o, err = w.argo(env); err != nil {
			return err
		}
		fields, _, _ := unstructured.NestedMap(o.Object, "spec", "template")
		template = corev1.PodTemplateSpec{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &template); err != nil {
			return err
		}
		if got := template.Spec.Containers[0].Image; got != image {
			return fmt.Errorf("it says %s", got)
		}
		return nil
	})
	labels := map[string]string{"app": "backend", argoHash: hash}
	template.Labels = labels
	one := int32(1)
	w.must(w.Client.Create(w.t.Context(), &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: "backend-" + hash, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o, o.GroupVersionKind())}},
		Spec: appsv1.ReplicaSetSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}))
}

// argoSays writes the status of the Rollout for its newest generation.
func (w *World) argoSays(env string, status map[string]any) {
	w.t.Helper()
	o, err := w.argo(env)
	w.must(err)
	status["observedGeneration"] = fmt.Sprint(o.GetGeneration())
	w.judged(env, "rollout.argoproj.io/backend", status)
}

// argoMeasured makes the analysis of a ReplicaSet that failed by a value, as Argo's controller would.
func (w *World) argoMeasured(env, hash, value string) {
	w.t.Helper()
	o, err := w.argo(env)
	w.must(err)
	run := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
		"status": map[string]any{"phase": "Failed", "metricResults": []any{map[string]any{"name": "success-rate", "phase": "Failed",
			"measurements": []any{map[string]any{"phase": "Failed", "value": value}}}}},
	}}
	run.SetNamespace(o.GetNamespace())
	run.SetName("backend-" + hash + "-2")
	run.SetLabels(map[string]string{argoHash: hash})
	run.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(o, o.GroupVersionKind())})
	w.must(w.Client.Create(w.t.Context(), run))
}

func healthy(hash string) map[string]any {
	return map[string]any{"phase": "Healthy", "stableRS": hash, "currentPodHash": hash, "abort": false, "message": "", "conditions": []any{}}
}

// A Rollout of Argo whose analysis failed: the image goes back in Git to that of its stable ReplicaSet, and Argo says
// that it is healthy again. The test does what Argo's controller would.
func TestAnAbortedRolloutOfArgoIsTakenBack(t *testing.T) {
	t.Parallel()
	w := world(t, quick, vary(func(w *World) {
		w.judges()
		file := w.Fleet.File(prod, "backend")
		w.Fleet.Files[file] = strings.Replace(w.Fleet.Files[file], "apiVersion: apps/v1\nkind: Deployment", "apiVersion: argoproj.io/v1alpha1\nkind: Rollout", 1)
	}))
	good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	w.argoMakes(prod, good, "aaa")
	w.argoSays(prod, healthy("aaa"))
	w.auto(prod, onCanaries)
	startSidecar(t, w)
	w.Publish("backend", fleet.Tag(prod, 1))
	bad := w.Fleet.Image("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.argoMakes(prod, bad, "bbb")
	w.argoMeasured(prod, "bbb", "[0.81]")
	at := time.Now().UTC().Format(time.RFC3339)
	why := `Rollout aborted update to revision 2: Metric "success-rate" assessed Failed due to failed (2) > failureLimit (1)`
	w.argoSays(prod, map[string]any{
		"phase": "Degraded", "abort": true, "abortedAt": at, "stableRS": "aaa", "currentPodHash": "bbb", "message": "RolloutAborted: " + why,
		"conditions": []any{map[string]any{"type": "Progressing", "status": "False", "reason": "RolloutAborted", "message": why,
			"lastTransitionTime": at, "lastUpdateTime": at}},
	})
	r := w.until(prod, bad, "is landed", func(s *v1alpha1.RollbackStatus) bool { return s.Landed != nil })
	f := r.Status.Failures[0]
	if r.Spec.OpenedFor != v1alpha1.TriggerCanary || f.Canary == nil || f.Canary.Promoted != good || f.Cause != v1alpha1.CauseAnalysisFailed ||
		r.Status.Suspect.Commit != suspect || r.Status.Verdict.Source != v1alpha1.VerdictByPolicy {
		t.Errorf("opened for %s, blamed %s: %+v %+v", r.Spec.OpenedFor, r.Status.Suspect.Commit, f, f.Canary)
	}
	w.Until("Flux has applied the revert", func() error {
		o, err := w.argo(prod)
		if fields, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers"); err == nil &&
			!strings.Contains(fmt.Sprint(fields), good) {
			err = fmt.Errorf("%v", fields)
		}
		return err
	})
	if r = w.record(prod, bad); r.Status.Ended() && r.Status.Outcome.Result == v1alpha1.ResultVerified {
		t.Errorf("verified before Argo says so: %s", r.Status.Outcome.Message)
	}
	w.argoSays(prod, healthy("aaa"))
	w.ends(prod, bad, v1alpha1.ResultVerified)
}
