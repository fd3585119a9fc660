package watcher

import (
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// What an admission webhook refuses never becomes a pod: no kubelet says anything.
func TestPodsThatAreRefusedAreTold(t *testing.T) {
	const denied = `admission webhook "mutate.kyverno.svc-fail" denied the request: failed to verify image reg/app:2: no signature`
	const said = "no pod with reg/app:2, side:1 can be made, and no image is blamed for it: " + denied
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "web", Image: "reg/app:2"}, {Name: "side", Image: "side:1\u202e"},
	}}}
	meta := metav1.ObjectMeta{Namespace: "a", Name: "web", UID: "u", Generation: 2}
	deployment := func(change func(d *appsv1.Deployment)) *objects {
		d := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Template: template}}
		d.Status.ObservedGeneration = 2
		d.Status.Conditions = []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue},
			{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: denied},
		}
		change(d)
		return &objects{Objects: trigger.Objects{Deployment: d}, meta: &d.ObjectMeta}
	}
	rollout := func(of string) *objects {
		o := deployment(func(d *appsv1.Deployment) { d.Status = appsv1.DeploymentStatus{} })
		o.argo = &trigger.CanaryStatus{}
		rs := appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: of}}
		rs.Status.Conditions = []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Message: denied}}
		o.ReplicaSets = []appsv1.ReplicaSet{rs}
		return o
	}
	stateful := func(change func(s *appsv1.StatefulSet)) *objects {
		s := &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: new(int32(3)), Template: template}}
		s.Status.ObservedGeneration, s.Status.Replicas = 2, 2
		change(s)
		return &objects{Objects: trigger.Objects{StatefulSet: s}, meta: &s.ObjectMeta}
	}
	daemon := func(change func(s *appsv1.DaemonSet)) *objects {
		d := &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Template: template}}
		d.Status.ObservedGeneration, d.Status.DesiredNumberScheduled, d.Status.CurrentNumberScheduled = 2, 3, 2
		change(d)
		return &objects{Objects: trigger.Objects{DaemonSet: d}, meta: &d.ObjectMeta}
	}
	event := func(change func(e *corev1.Event)) *corev1.Event {
		e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "e"}, Reason: "FailedCreate", Message: denied,
			InvolvedObject: corev1.ObjectReference{Kind: "StatefulSet", Name: "web", UID: "u"}, LastTimestamp: metav1.NewTime(now.Add(-time.Minute))}
		change(e)
		return e
	}
	same := func(*corev1.Event) {}
	for name, c := range map[string]struct {
		of     *objects
		events []*corev1.Event
		says   string
	}{
		"a webhook refuses its image":             {of: deployment(func(*appsv1.Deployment) {}), says: said},
		"it is over":                              {of: deployment(func(d *appsv1.Deployment) { d.Status.Conditions[1].Status = corev1.ConditionFalse })},
		"it is said of an older spec":             {of: deployment(func(d *appsv1.Deployment) { d.Generation = 3 })},
		"nothing is refused":                      {of: deployment(func(d *appsv1.Deployment) { d.Status.Conditions = nil })},
		"a Rollout of Argo":                       {of: rollout("web-new"), says: said},
		"the former ReplicaSet of one":            {of: rollout("web-former")},
		"a StatefulSet":                           {stateful(func(*appsv1.StatefulSet) {}), []*corev1.Event{event(same)}, said},
		"one that has all its pods":               {stateful(func(s *appsv1.StatefulSet) { s.Status.Replicas = 3 }), []*corev1.Event{event(same)}, ""},
		"one whose newest spec was not looked at": {stateful(func(s *appsv1.StatefulSet) { s.Status.ObservedGeneration = 1 }), []*corev1.Event{event(same)}, ""},
		"one about which nothing is said":         {of: stateful(func(*appsv1.StatefulSet) {})},
		"one that was refused before its revision": {stateful(func(*appsv1.StatefulSet) {}), []*corev1.Event{event(func(e *corev1.Event) {
			e.LastTimestamp = metav1.NewTime(now.Add(-10 * time.Minute))
		})}, ""},
		"another object of its name": {stateful(func(*appsv1.StatefulSet) {}), []*corev1.Event{event(func(e *corev1.Event) { e.InvolvedObject.UID = "v" })}, ""},
		"an event of another reason": {stateful(func(*appsv1.StatefulSet) {}), []*corev1.Event{event(func(e *corev1.Event) { e.Reason = "SuccessfulCreate" })}, ""},
		"the newest of two": {stateful(func(*appsv1.StatefulSet) {}), []*corev1.Event{event(same), event(func(e *corev1.Event) {
			e.Name, e.Message, e.LastTimestamp = "f", "exceeded quota", metav1.NewTime(now.Add(-2*time.Minute))
		})}, said},
		"a DaemonSet":           {daemon(func(*appsv1.DaemonSet) {}), []*corev1.Event{event(same)}, said},
		"one with all its pods": {daemon(func(d *appsv1.DaemonSet) { d.Status.CurrentNumberScheduled = 3 }), []*corev1.Event{event(same)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []runtime.Object
			for _, e := range c.events {
				objects = append(objects, e)
			}
			l := newLook(fake.NewClientset(objects...), "a")
			f := &trigger.Facts{Now: now, New: &trigger.Revision{Name: "web-new", Made: now.Add(-5 * time.Minute)}}
			if got, err := l.refusedPods(t.Context(), c.of, f); err != nil || got != c.says {
				t.Errorf("says %q, %v", got, err)
			}
		})
	}
}

// A Job says by an event alone that nobody lets its pod be made.
func TestAJobWhosePodIsRefusedIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(j *batchv1.Job)
		reason string
		told   int
	}{
		"refused":             {func(*batchv1.Job) {}, "FailedCreate", 1},
		"it has a pod by now": {func(j *batchv1.Job) { j.Status.Active = 1 }, "FailedCreate", 0},
		"it is done":          {func(j *batchv1.Job) { j.Status.Succeeded = 1 }, "FailedCreate", 0},
		"something else":      {func(*batchv1.Job) {}, "TooManyActivePods", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := job("once", badImage)
				c.change(j)
				s, r := newAPIServer(t, j), &walks{}
				var told []string
				run(t, s, r, Options{TellRollout: func(ref v1alpha1.ObjectRef, says string) { told = append(told, ref.String()+": "+says) }})
				e := warned("once")
				e.Reason, e.Message, e.InvolvedObject.UID = c.reason, "denied the request: no signature", j.UID
				e.LastTimestamp = metav1.NewTime(time.Now())
				s.put(t, e)
				time.Sleep(time.Second)
				synctest.Wait()
				if len(told) != c.told || c.told > 0 && told[0] != "Job/app/once: "+cannotBeMade(&j.Spec.Template, e.Message) {
					t.Errorf("told %q", told)
				}
				want(t, "a Job without a pod", r)
			})
		})
	}
}
