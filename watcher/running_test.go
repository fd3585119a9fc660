package watcher

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func restarted(times int32, last time.Time) change {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].RestartCount = times
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
			StartedAt: metav1.NewTime(last),
		}
	}
}

func notReady(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }

func TestStartedAndRanHere(t *testing.T) {
	t.Parallel()
	failed := noon().Add(-10 * time.Minute)
	before, after := failed.Add(-time.Hour), failed.Add(time.Minute)
	deploy := []v1alpha1.Workload{web("Deployment")}
	const here, runs = "Deployment/web revision h2", "container web of pod a"
	cases := []struct {
		name          string
		world         []runtime.Object
		known         []v1alpha1.Workload
		recorded      bool
		started, here string
	}{
		{
			name: "a container that started after the recorded failure", recorded: true, known: deploy,
			world:   []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", started(after), notReady)},
			started: runs,
		},
		{
			name: "a ready one has also run here", recorded: true, known: deploy,
			world:   []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", started(after))},
			started: runs, here: here,
		},
		{
			name: "one that had started before is no recovery", recorded: true, known: deploy,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", started(before))},
			here:  here,
		},
		{
			name: "a restart after the failure of one that had started before is no recovery", recorded: true, known: deploy,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage),
				failingPod("a", started(after), restarted(1, before))},
			here: here,
		},
		{
			name: "of one that was restarted often nothing is claimed", recorded: true, known: deploy,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage),
				failingPod("a", started(after), restarted(7, after), func(p *corev1.Pod) {
					at := metav1.NewTime(before)
					p.Status.StartTime = &at
				})},
			here: here,
		},
		{
			name: "a crash after the start: the image was pulled", recorded: true, known: deploy,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage),
				failingPod("a", started(after), says("CrashLoopBackOff", "back-off"), restarted(0, after), notReady)},
			started: runs,
		},
		{
			name: "without a recorded failure nothing is a recovery", known: deploy,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", started(after))},
			here:  here,
		},
		{
			name: "a Pending pod that vanished is no recovery", recorded: true, known: deploy,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage)},
		},
		{
			name: "a workload nobody named is not looked at", recorded: true,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", started(after))},
		},
		{
			name: "a pod with another image proves nothing", recorded: true, known: deploy,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", goodImage), failingPod("a", asks(goodImage), started(after))},
		},
		{
			name: "a pod of another workload that the selector takes in proves nothing", recorded: true, known: deploy,
			world: []runtime.Object{deployment(badImage), job("x", badImage), failingPod("a", of("Job", "batch/v1", "x"), started(after))},
		},
		{
			name: "a pod that is being deleted has run here but is no recovery", recorded: true, known: deploy,
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", started(after), deleted)},
			here:  here,
		},
		{
			name: "ready pods beside a failing one, which no Rollback knows yet",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage),
				failingPod("a", started(before)), failingPod("b")},
			here: here,
		},
		{
			name: "an init container that runs in a pod that is still Pending", recorded: true, known: deploy,
			world: []runtime.Object{deployment(goodImage), replicaSet("web-h2", goodImage),
				failingPod("a", asks(goodImage), says("PodInitializing", ""), func(p *corev1.Pod) {
					p.Spec.InitContainers = []corev1.Container{{Name: "mesh", Image: badImage}}
					p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "mesh", State: corev1.ContainerState{
						Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(after)},
					}}}
				})},
			started: "container mesh of pod a",
		},
		{
			name: "an earlier run of a CronJob", known: []v1alpha1.Workload{web("CronJob")},
			world: func() []runtime.Object {
				one := job("web-1", badImage)
				one.OwnerReferences = ownedBy("CronJob", "batch/v1", "web")
				return []runtime.Object{cronJob(badImage), one, failingPod("a",
					of("Job", "batch/v1", "web-1", "batch.kubernetes.io/job-name", "web-1"), started(before), func(p *corev1.Pod) {
						p.Status.Phase, p.Status.Conditions = corev1.PodSucceeded, nil
					})}
			}(),
			here: "CronJob/web revision " + templateHash(badImage),
		},
		{
			name: "a complete rollout whose pods are gone: Deployment",
			world: []runtime.Object{completed(deployment(badImage), "web-h2"), numbered(replicaSet("web-h2", badImage), "2"),
				failingPod("a")},
			here: "Deployment/web, whose rollout was complete with ReplicaSet web-h2",
		},
		{
			name: "a complete rollout of another image tells nothing",
			world: []runtime.Object{completed(deployment(badImage), "web-h1"), numbered(replicaSet("web-h1", goodImage), "1"),
				numbered(replicaSet("web-h2", badImage), "2"), failingPod("a")},
		},
		{
			name: "an older ReplicaSet of the image, before a restart",
			world: []runtime.Object{deployment(badImage), aged(numbered(replicaSet("web-h1", badImage), "1"), before),
				aged(numbered(replicaSet("web-h2", badImage), "2"), failed), failingPod("a", created(failed))},
			here: "Deployment/web, for ReplicaSet web-h1 is of 2026-11-21 10:50 UTC and the pods that fail are of 2026-11-21 11:50 UTC",
		},
		{
			name: "a pod that was made anew on another node",
			world: []runtime.Object{deployment(badImage), aged(numbered(replicaSet("web-h2", badImage), "2"), before),
				failingPod("a", created(failed))},
			here: "Deployment/web, for ReplicaSet web-h2 is of 2026-11-21 10:50 UTC and the pods that fail are of 2026-11-21 11:50 UTC",
		},
		{
			name: "the oldest failing pod is as old as its ReplicaSet: it never ran",
			world: []runtime.Object{deployment(badImage), aged(numbered(replicaSet("web-h2", badImage), "2"), before),
				failingPod("a", created(before.Add(time.Minute))), failingPod("b", created(failed))},
		},
		{
			name: "a ReplicaSet that has ready pods",
			world: []runtime.Object{deployment(badImage), func() runtime.Object {
				r := numbered(replicaSet("web-h2", badImage), "2")
				r.Status.ReadyReplicas = 1
				return r
			}(), failingPod("a")},
			here: "Deployment/web, of which ReplicaSet web-h2 has ready pods",
		},
		{
			name: "a ControllerRevision that is older than the pod",
			world: []runtime.Object{statefulSet("r2", badImage), controllerRevision("r2", badImage, before),
				failingPod("a", of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2"), created(failed))},
			here: "StatefulSet/web, for ControllerRevision r2 is of 2026-11-21 10:50 UTC and the pods that fail are of 2026-11-21 11:50 UTC",
		},
		{
			name: "a container that was restarted, and whose image is gone by now",
			world: []runtime.Object{statefulSet("r2", badImage), controllerRevision("r2", badImage, before),
				failingPod("a", of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2"), created(before), restarted(1, before))},
			here: "StatefulSet/web, whose container web of pod a ran before it waits for the image",
		},
		{
			name:  "a container that was restarted, and whose image was changed in place",
			world: []runtime.Object{failingPod("a", inPlace, restarted(1, before))},
			known: []v1alpha1.Workload{web("CloneSet")},
		},
		{
			name: "a ControllerRevision of the rollout that fails",
			world: []runtime.Object{statefulSet("r2", badImage), controllerRevision("r1", goodImage, before),
				controllerRevision("r2", badImage, failed),
				failingPod("a", of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2"), created(failed))},
		},
		{
			name: "an image that was changed in place and runs now", recorded: true, known: []v1alpha1.Workload{web("CloneSet")},
			world: []runtime.Object{failingPod("a", inPlace, started(after), restarted(1, before), func(p *corev1.Pod) {
				p.Status.ContainerStatuses[0].ImageID = "new"
			})},
			started: runs, here: "CloneSet/web",
		},
		{
			name: "an image that was changed in place and does not run yet", recorded: true, known: []v1alpha1.Workload{web("CloneSet")},
			world: []runtime.Object{failingPod("a", inPlace)},
		},
		{
			name: "a pod without a controller", recorded: true,
			known:   []v1alpha1.Workload{{Kind: "Pod", Name: "a", UID: "uid-a"}},
			world:   []runtime.Object{failingPod("a", started(after), func(p *corev1.Pod) { p.OwnerReferences = nil })},
			started: runs, here: "Pod/a",
		},
		{
			name: "a controller that Backstop does not know", recorded: true, known: []v1alpha1.Workload{web("Rollout")},
			world:   []runtime.Object{failingPod("a", of("Rollout", "argoproj.io/v1alpha1", "web"), started(after))},
			started: runs, here: "Rollout/web",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := livePods(t, newAPIServer(t, append(c.world, node("node1", "amd64"))...))
			p.Since = func(reconcile.Key, v1alpha1.Workload) (time.Time, bool) {
				return failed.Add(300 * time.Millisecond), c.recorded
			}
			if !c.recorded {
				p.Since = nil
			}
			got, err := p.Failing(t.Context(), reconcile.ImageKey("app", badImage), c.known)
			if err != nil {
				t.Fatal(err)
			}
			if got.Started != c.started || got.RanHere != c.here {
				t.Errorf("started %q, ran here %q; want %q, %q", got.Started, got.RanHere, c.started, c.here)
			}
		})
	}
}

func TestWhatNobodyAsksForAnyMore(t *testing.T) {
	t.Parallel()
	pod := v1alpha1.Workload{Kind: "Pod", Name: "a"}
	for name, c := range map[string]struct {
		world  []runtime.Object
		known  []v1alpha1.Workload
		forbid string
		want   string
	}{
		"the template names another image": {world: []runtime.Object{deployment(goodImage)}, known: []v1alpha1.Workload{web("Deployment")}, want: "Deployment/web"},
		"the workload is gone":             {known: []v1alpha1.Workload{web("Deployment")}, want: "Deployment/web"},
		"the template still names it":      {world: []runtime.Object{deployment(badImage)}, known: []v1alpha1.Workload{web("Deployment")}},
		"one of two still names it":        {world: []runtime.Object{deployment(badImage)}, known: []v1alpha1.Workload{{Kind: "StatefulSet", Name: "db"}, web("Deployment")}},
		"a bare pod has no template":       {known: []v1alpha1.Workload{pod}},
		"a workload that may not be read":  {world: []runtime.Object{deployment(goodImage)}, known: []v1alpha1.Workload{web("Deployment")}, forbid: "deployments"},
		"nothing is known of it":           {world: []runtime.Object{deployment(goodImage)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, c.world...)
			if c.forbid != "" {
				s.forbid(c.forbid, 403)
			}
			got, err := livePods(t, s).Failing(t.Context(), reconcile.ImageKey("app", badImage), c.known)
			if err != nil || got.Unnamed != c.want {
				t.Errorf("got %q, %v, want %q", got.Unnamed, err, c.want)
			}
		})
	}
}

func TestLabelsOfKnownWorkloads(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, deployment(goodImage), failingPod("bare", started(noon()), func(p *corev1.Pod) { p.OwnerReferences = nil }))
	got, err := livePods(t, s).Failing(t.Context(), reconcile.ImageKey("app", badImage), []v1alpha1.Workload{
		web("Deployment"), {Kind: "StatefulSet", Name: "gone"}, {Kind: "Rollout", Name: "unknown"}, {Kind: "Pod", Name: "bare"},
		{Kind: "Pod", Name: "gone"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{
		"Deployment/web": {"tier": "front"}, "Rollout/unknown": nil, "Pod/bare": {"app": "web", "pod-template-hash": "h2"},
	}
	if diff := cmp.Diff(want, got.Labels); diff != "" {
		t.Errorf("labels of those that exist (-want +got):\n%s", diff)
	}
}

func TestStartedInTheSecondOfTheFailure(t *testing.T) {
	t.Parallel()
	p := livePods(t, newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", started(noon()))))
	p.Since = func(reconcile.Key, v1alpha1.Workload) (time.Time, bool) {
		return noon().Add(900 * time.Millisecond), true
	}
	got, err := p.Failing(t.Context(), reconcile.ImageKey("app", badImage), []v1alpha1.Workload{web("Deployment")})
	if err != nil {
		t.Fatal(err)
	}
	if got.Started == "" {
		t.Error("the kubelet's time is the whole second in which the failure was seen too, want it to count")
	}
}
