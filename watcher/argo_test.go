package watcher

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// crashing is a pod of an Argo ReplicaSet that crashes again and again.
func crashing(name, on string) *corev1.Pod {
	p := failingPod(name, of("ReplicaSet", "apps/v1", "web-h2"))
	p.Labels = map[string]string{"app": "web", argoHash: "h2"}
	p.OwnerReferences[0].UID = "uid-web-h2"
	p.Spec.NodeName, p.Status.Phase = on, corev1.PodRunning
	p.CreationTimestamp = metav1.NewTime(time.Now().Add(-2 * time.Minute))
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", Image: badImage, RestartCount: 4,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error",
			StartedAt: metav1.NewTime(time.Now().Add(-3 * time.Second)), FinishedAt: metav1.NewTime(time.Now().Add(-time.Second))}}}}
	return p
}

// A Rollout of Argo without an analysis is judged by its pods as a Deployment is; one with an analysis by that alone.
func TestACrashInARolloutOfArgo(t *testing.T) {
	selector := map[string]any{"matchLabels": map[string]any{"app": "web"}}
	own := map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "web", "image": badImage}}}}
	step := func(of string) map[string]any {
		return map[string]any{"canary": map[string]any{"steps": []any{map[string]any{"setWeight": int64(20)}, map[string]any{of: map[string]any{}}}}}
	}
	for name, c := range map[string]struct {
		spec map[string]any
		of   string
		// config means that a variable came with the revision too.
		config bool
	}{
		"without steps":                   {spec: map[string]any{"selector": selector, "template": own}, of: "Rollout/web"},
		"that waits":                      {spec: map[string]any{"selector": selector, "template": own, "strategy": step("pause")}, of: "Rollout/web"},
		"by workloadRef":                  {spec: map[string]any{"selector": selector, "workloadRef": map[string]any{"kind": "Deployment", "name": "web"}}, of: "Deployment/web"},
		"with an analysis":                {spec: map[string]any{"selector": selector, "template": own, "strategy": step("analysis")}},
		"with an experiment":              {spec: map[string]any{"selector": selector, "template": own, "strategy": step("experiment")}},
		"that selects no pod":             {spec: map[string]any{"template": own}},
		"whose configuration changed too": {spec: map[string]any{"selector": selector, "template": own}, of: "Rollout/web", config: true},
		"by workloadRef, whose configuration changed too": {spec: map[string]any{"selector": selector, "workloadRef": map[string]any{"kind": "Deployment", "name": "web"}}, config: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newAPIServer(t, deployment(badImage)), &walks{}
				for _, name := range []string{"a", "b"} {
					n := node(name, "amd64")
					n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
					s.put(t, n)
				}
				rollout := judgedRollout(t, s, c.spec)
				for i, hash := range []string{"h1", "h2"} {
					rs := replicaSet("web-"+hash, map[string]string{"h1": goodImage, "h2": badImage}[hash])
					rs.OwnerReferences = ownedBy("Rollout", "argoproj.io/v1alpha1", "web")
					rs.OwnerReferences[0].UID = "rollout-web"
					rs.Labels = map[string]string{"app": "web", argoHash: hash}
					rs.Annotations = map[string]string{argoRevision: []string{"1", "2"}[i]}
					rs.Spec.Template.Labels = maps.Clone(rs.Labels)
					if c.config && hash == "h2" {
						rs.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "MODE", Value: "slow"}}
					}
					rs.CreationTimestamp = metav1.NewTime(time.Now().Add(-3 * time.Minute))
					s.put(t, rs)
				}
				stable := failingPod("stable", started(time.Now().Add(-time.Hour)))
				stable.Labels = map[string]string{"app": "web", argoHash: "h1"}
				stable.Spec.Containers[0].Image = goodImage
				s.put(t, stable)
				s.put(t, crashing("x", "a"))
				s.put(t, crashing("y", "b"))
				o := rollout("Progressing", "h1", "ReplicaSetUpdated")
				o.SetAnnotations(map[string]string{argoRevision: "2"})
				s.put(t, o)
				w := run(t, s, r, Options{})
				r.since()
				e := &corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "app", Name: "x"}, Type: "Warning", Reason: "BackOff"}
				e.TypeMeta, e.ObjectMeta = named("Event", "v1", "x.1")
				s.put(t, e)
				time.Sleep(time.Second)
				if c.of == "" {
					want(t, "its analysis judges it", r)
					return
				}
				key, changed := reconcile.ImageKey("app", badImage), 1
				if c.config {
					key, changed = workloadKey("app", "Rollout", "web"), 2
				}
				want(t, "a crash", r, key.String())
				seen, err := w.Pods().Failing(t.Context(), key, nil)
				if err != nil || len(seen.Failures) != 1 {
					t.Fatalf("seen: %+v %v", seen, err)
				}
				f := seen.Failures[0]
				if f.Trigger != v1alpha1.TriggerRollout || f.Workload.String() != c.of || f.Rollout.FormerImage != goodImage ||
					f.Rollout.Pods.Failing != 2 || f.Rollout.Pods.FormerReady != 1 || len(f.Rollout.Changed) != changed || c.config && seen.Revision != f.Revision {
					t.Errorf("the failure is %+v with %+v, seen %+v", f, f.Rollout, seen)
				}
			})
		})
	}
}
