package watcher

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// judgedRollout is a Rollout of Argo that went from h1 to h2, and its ReplicaSets.
func judgedRollout(t *testing.T, s *apiServer, spec map[string]any) func(phase, stable, reason string) *unstructured.Unstructured {
	t.Helper()
	for name, image := range map[string]string{"h1": goodImage, "h2": badImage} {
		rs := replicaSet("web-"+name, image)
		rs.Labels, rs.CreationTimestamp = map[string]string{argoHash: name}, metav1.NewTime(noon().Add(-time.Hour))
		rs.OwnerReferences = []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "web",
			UID: types.UID("rollout-web"), Controller: new(true)}}
		rs.Status.ReadyReplicas = 1
		s.put(t, rs)
	}
	for name, value := range map[string]string{"h1": "[0.1]", "h2": "[0.8]"} {
		s.put(t, analysisRun("web-"+name, name, "rollout-web", value))
	}
	return func(phase, stable, reason string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
			"metadata": map[string]any{"namespace": "app", "name": "web", "uid": "rollout-web", "generation": int64(2)},
			"spec":     spec,
			"status": map[string]any{"phase": phase, "observedGeneration": "2", "currentPodHash": "h2", "stableRS": stable,
				"conditions": []any{map[string]any{"type": "Progressing", "status": "False", "reason": reason,
					"message":            `Rollout aborted update to revision 2: Metric "x" assessed Failed due to failed (1) > failureLimit (0)`,
					"lastTransitionTime": noon().Format(time.RFC3339)}}},
		}}
	}
}

// analysisRun is an analysis of a ReplicaSet of a Rollout, which failed by one value of the metric x.
func analysisRun(name, hash, of, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
		"metadata": map[string]any{"namespace": "app", "name": name, "uid": name, "labels": map[string]any{argoHash: hash},
			"ownerReferences": []any{map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": of,
				"controller": true}}},
		"status": map[string]any{"phase": "Failed", "metricResults": []any{map[string]any{"name": "x", "phase": "Failed",
			"measurements": []any{map[string]any{"phase": "Failed", "value": value}}}}},
	}}
}

// aborts has the Rollout abort its update, and gives the one failure that is seen of it.
func aborts(t *testing.T, s *apiServer, r *walks, rollout func(phase, stable, reason string) *unstructured.Unstructured,
) v1alpha1.Failure {
	t.Helper()
	w := run(t, s, r, Options{})
	s.put(t, rollout("Degraded", "h1", "RolloutAborted"))
	want(t, "an aborted update", r, webKey)
	seen, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
	if err != nil || len(seen.Failures) != 1 {
		t.Fatalf("seen: %+v %v", seen, err)
	}
	return seen.Failures[0]
}

// What was measured is read of the analyses of this update alone, and where none shows it a person decides.
func TestAnUpdateThatArgoRefusedByWhatNobodyMeasuredAsks(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *apiServer){
		"its analysis has no value": func(t *testing.T, s *apiServer) { s.put(t, analysisRun("web-h2", "h2", "rollout-web", "")) },
		"it is another Rollout's":   func(t *testing.T, s *apiServer) { s.put(t, analysisRun("web-h2", "h2", "rollout-api", "[0.8]")) },
		"it is of another update":   func(t *testing.T, s *apiServer) { s.put(t, analysisRun("web-h2", "h3", "rollout-web", "[0.8]")) },
		"they may not be read":      func(_ *testing.T, s *apiServer) { s.forbid("analysisruns", 403) },
		"there is no such kind":     func(_ *testing.T, s *apiServer) { s.forbid("analysisruns", 404) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newAPIServer(t, deployment(badImage)), &walks{}
				rollout := judgedRollout(t, s, map[string]any{"workloadRef": map[string]any{"kind": "Deployment", "name": "web"}})
				change(t, s)
				f := aborts(t, s, r, rollout).Canary
				if f.Reason != v1alpha1.CanaryMetrics || len(f.Doubts) != 1 || f.Doubts[0].Type != v1alpha1.DoubtMetrics {
					t.Errorf("the failure is %+v", f)
				}
			})
		})
	}
}

// A Rollout is judged by its ReplicaSets. What is to change in Git is its own template, or that of what it refers to.
func TestARolloutThatWasAbortedIsWalked(t *testing.T) {
	raw, err := json.Marshal(deployment(badImage).Spec.Template)
	if err != nil {
		t.Fatal(err)
	}
	var template map[string]any
	if err := json.Unmarshal(raw, &template); err != nil {
		t.Fatal(err)
	}
	for of, spec := range map[string]map[string]any{
		"Rollout/web":    {"template": template},
		"Deployment/web": {"workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
	} {
		t.Run(of, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newAPIServer(t, deployment(badImage)), &walks{}
				rollout := judgedRollout(t, s, spec)
				f := aborts(t, s, r, rollout)
				if f.Workload.String() != of || f.Canary.Promoted != goodImage || f.Canary.PromotedBy != "ReplicaSet/web-h1" ||
					f.Canary.By.String() != "Rollout/app/web" || f.Cause != v1alpha1.CauseAnalysisFailed || len(f.Canary.Doubts) != 0 {
					t.Errorf("the failure is %+v with %+v", f, f.Canary)
				}
				s.put(t, rollout("Healthy", "h2", "NewReplicaSetAvailable"))
				want(t, "it is promoted after all", r, webKey)
			})
		})
	}
}

// besideWeb is the Deployment api with its Canary and its primary.
func besideWeb(t *testing.T, status map[string]any, image string) (*unstructured.Unstructured, *appsv1.Deployment) {
	t.Helper()
	c := canaryOfWeb(t, status)
	c.SetName("api")
	c.SetUID("canary-api")
	if err := unstructured.SetNestedField(c.Object, "api", "spec", "targetRef", "name"); err != nil {
		t.Fatal(err)
	}
	d := deployment(image)
	d.TypeMeta, d.ObjectMeta = named("Deployment", "apps/v1", "api")
	return c, d
}

// Two canaries judge one image each by itself, and it is over when both say so.
func TestTwoCanariesOfOneImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, target := besideWeb(t, map[string]any{"phase": "Progressing"}, badImage)
		primary := primaryOfWeb(goodImage)
		primary.Name, primary.UID, primary.OwnerReferences[0].UID = "api-primary", "primary-api", "canary-api"
		set := analysed(badImage)
		set.Name, set.OwnerReferences = "api-h2", ownedBy("Deployment", "apps/v1", "api")
		s, r := newAPIServer(t, deployment(badImage), analysed(badImage), primaryOfWeb(goodImage), target, primary, set, api), &walks{}
		s.put(t, rollback("web", func(r *v1alpha1.Rollback) {
			for _, name := range []string{"web", "api"} {
				r.Status.Failures = append(r.Status.Failures, v1alpha1.Failure{Trigger: v1alpha1.TriggerCanary,
					Workload: v1alpha1.Workload{Kind: "Deployment", Name: name},
					Canary:   &v1alpha1.Canary{By: v1alpha1.ObjectRef{Kind: "Canary", Namespace: "app", Name: name}}})
			}
		}))
		w := run(t, s, r, Options{})
		r.since()
		explains(t, s, "web", noon())
		explains(t, s, "api", noon())
		seen := func(why, promoted string, by ...string) {
			t.Helper()
			synctest.Wait()
			got, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, f := range got.Failures {
				names = append(names, f.Canary.By.Name+" of "+f.Workload.String())
			}
			slices.Sort(names)
			if diff := cmp.Diff(by, names); diff != "" || got.Promoted != promoted {
				t.Errorf("%s: promoted %q, failures (-want +got):\n%s", why, got.Promoted, diff)
			}
		}
		s.put(t, canaryOfWeb(t, nil))
		seen("one refuses, the other analyses", "", "web of Deployment/web")
		api, target = besideWeb(t, nil, badImage)
		s.put(t, api)
		seen("both refuse", "", "api of Deployment/api", "web of Deployment/web")
		s.put(t, deployment(goodImage))
		s.put(t, canaryOfWeb(t, map[string]any{"lastAppliedSpec": "good"}))
		seen("one is back", "", "api of Deployment/api")
		target.Spec.Template.Spec.Containers[0].Image = goodImage
		s.put(t, target)
		api, _ = besideWeb(t, map[string]any{"lastAppliedSpec": "good"}, goodImage)
		s.put(t, api)
		seen("both are back", "Canary/api, Canary/web")
	})
}

// refusedWith looks once at what a Canary of web refuses.
func refusedWith(t *testing.T, s *apiServer, images ...string) []v1alpha1.Failure {
	t.Helper()
	w := run(t, s, &walks{}, Options{})
	explains(t, s, "web", noon())
	s.put(t, canaryOfWeb(t, nil))
	synctest.Wait()
	var out []v1alpha1.Failure
	for _, image := range images {
		seen, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", image), nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, seen.Failures...)
	}
	return out
}

func doubtsOf(f v1alpha1.Failure) []v1alpha1.DoubtType {
	var out []v1alpha1.DoubtType
	for _, d := range f.Canary.Doubts {
		out = append(out, d.Type)
	}
	return out
}

// Where a Deployment without a canary runs the image well, a person decides whether it is the image.
func TestARefusedImageThatRunsWellBesideItsCanary(t *testing.T) {
	for name, c := range map[string]struct {
		runs time.Duration
		app  string
		want []v1alpha1.DoubtType
	}{
		"for a while":    {10 * time.Minute, "worker", []v1alpha1.DoubtType{v1alpha1.DoubtSibling}},
		"for a moment":   {10 * time.Second, "worker", nil},
		"its own canary": {10 * time.Minute, "web", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				worker := failingPod("worker-h9-x", started(time.Now().Add(-c.runs)), of("ReplicaSet", "apps/v1", "worker-h9"))
				worker.Labels = map[string]string{"app": c.app, appsv1.DefaultDeploymentUniqueLabelKey: "h9"}
				primary := primaryOfWeb(goodImage)
				primary.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web-primary"}}
				found := refusedWith(t, newAPIServer(t, deployment(badImage), analysed(badImage), primary, worker), badImage)
				if len(found) != 1 {
					t.Fatalf("found: %+v", found)
				}
				if diff := cmp.Diff(c.want, doubtsOf(found[0])); diff != "" {
					t.Errorf("doubts (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Both images of an update are refused at once: each has a Rollback, and a person reports which of them it is.
func TestTwoContainersOfARefusedUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const side = "registry.test/side:v2"
		primary := primaryOfWeb(goodImage)
		primary.Spec.Template = template(goodImage, "registry.test/side:v1")
		found := refusedWith(t, newAPIServer(t, deployment(badImage, side), analysed(badImage), primary), badImage, side)
		if len(found) != 2 || found[0].Container != "web" || found[1].Container != "side" || found[1].Canary.Promoted != "registry.test/side:v1" {
			t.Fatalf("found: %+v", found)
		}
		for _, f := range found {
			if !slices.Contains(doubtsOf(f), v1alpha1.DoubtManyImages) {
				t.Errorf("%s: %v", f.Container, doubtsOf(f))
			}
		}
	})
}

// Events come beside the status, and after it: nothing is judged until they explain why, or do not come.
func TestARefusedUpdateWaitsForTheWordsOfItsCanary(t *testing.T) {
	now := func() map[string]any {
		return map[string]any{"conditions": []any{map[string]any{"type": "Promoted", "status": "False", "reason": "Failed",
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}}}
	}
	for name, words := range map[string]bool{"they come": true, "they do not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := analysed(badImage)
				set.CreationTimestamp = metav1.NewTime(time.Now().Add(-5 * time.Minute))
				s, r := newAPIServer(t, deployment(badImage), set, primaryOfWeb(goodImage)), &walks{}
				w := run(t, s, r, Options{})
				s.put(t, canaryOfWeb(t, now()))
				want(t, "nothing tells yet", r)
				if words {
					explains(t, s, "web", time.Now())
				}
				time.Sleep(30 * time.Second)
				want(t, "it is judged", r, webKey)
				seen, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
				if err != nil || len(seen.Failures) != 1 {
					t.Fatalf("seen: %+v %v", seen, err)
				}
				if doubts := doubtsOf(seen.Failures[0]); slices.Contains(doubts, v1alpha1.DoubtReasonUnknown) == words {
					t.Errorf("doubts: %v", doubts)
				}
			})
		})
	}
}
