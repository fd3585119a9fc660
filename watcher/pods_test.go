package watcher

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func livePods(t *testing.T, s *apiServer) *Pods {
	t.Helper()
	return &Pods{Client: s.clients(t).Core, Now: noon}
}

// brief is a failure as the tables below name it.
type brief struct {
	Workload            v1alpha1.Workload
	Revision, Container string
	Pod, Platform       string
	Cause               v1alpha1.Cause
}

func briefs(all []v1alpha1.Failure) []brief {
	var out []brief
	for _, f := range all {
		out = append(out, brief{f.Workload, f.Revision, f.Container, f.Pull.Pod, f.Pull.Platform, f.Cause})
	}
	return out
}

func TestFailing(t *testing.T) {
	t.Parallel()
	deploy := brief{web("Deployment"), "h2", "web", "a", "linux/amd64", v1alpha1.CauseNotFound}
	// What a mirror lacks blames no image.
	mirrored := deploy
	mirrored.Cause = v1alpha1.CauseRegistryUnavailable
	with := func(b brief, edit func(*brief)) brief { edit(&b); return b }
	cases := []struct {
		name   string
		image  string
		world  []runtime.Object
		refuse map[string]int
		want   []brief
	}{
		{
			name:  "a pod of a Deployment is found by the template's image",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a")},
			want:  []brief{deploy},
		},
		{
			name:  "a webhook rewrote the pod's image: the template's image is the key",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", asks("mirror.test/web:v2"))},
			want:  []brief{mirrored},
		},
		{
			name: "the rewritten image itself is no key", image: "mirror.test/web:v2",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", asks("mirror.test/web:v2"))},
		},
		{
			name:  "a pod of a superseded ReplicaSet does not count",
			world: []runtime.Object{deployment(goodImage), replicaSet("web-h2", badImage), failingPod("a")},
		},
		{
			name:  "a pod of an older ReplicaSet counts while the Deployment still asks for its image",
			world: []runtime.Object{deployment(badImage, goodImage), replicaSet("web-h2", badImage), failingPod("a")},
			want:  []brief{deploy},
		},
		{
			name:  "a pod that is being deleted does not count",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a", deleted)},
		},
		{
			name:  "a pod whose ReplicaSet is gone does not count",
			world: []runtime.Object{deployment(badImage), failingPod("a")},
		},
		{
			name: "a container that crashes does not wait for an image",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage),
				failingPod("a", says("CrashLoopBackOff", "back-off 10s restarting failed container"))},
		},
		{
			name: "two pods of one revision are one failure",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage),
				failingPod("a", says("ImagePullBackOff", `Back-off pulling image "registry.test/web:v2"`)), failingPod("b")},
			want: []brief{with(deploy, func(b *brief) { b.Pod = "b" })},
		},
		{
			name: "of two pods the one whose error is the image's own fault counts",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage),
				failingPod("a", says("ErrImagePull", "429 Too Many Requests")), failingPod("b")},
			want: []brief{with(deploy, func(b *brief) { b.Pod = "b" })},
		},
		{
			name: "a pod whose ReplicaSet was made anew under the same name does not count",
			world: func() []runtime.Object {
				anew := replicaSet("web-h2", badImage)
				anew.UID = "another"
				return []runtime.Object{deployment(badImage), anew, failingPod("a")}
			}(),
		},
		{
			name: "two platforms are two failures, the image's own fault first",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), node("node2", "arm64"),
				failingPod("a", says("ErrImagePull", "429 Too Many Requests")), failingPod("b", on("node2"))},
			want: []brief{
				with(deploy, func(b *brief) { b.Pod, b.Platform = "b", "linux/arm64" }),
				with(deploy, func(b *brief) { b.Cause = v1alpha1.CauseRateLimited }),
			},
		},
		{
			name:   "a node that may not be read has no platform",
			world:  []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a")},
			refuse: map[string]int{"nodes": 403},
			want:   []brief{with(deploy, func(b *brief) { b.Platform = "" })},
		},
		{
			name:   "an owner that may not be read is named as the pod names it",
			world:  []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a")},
			refuse: map[string]int{"replicasets": 403},
			want: []brief{with(deploy, func(b *brief) {
				b.Workload, b.Revision = v1alpha1.Workload{Kind: "ReplicaSet", Name: "web-h2", UID: "uid-web-h2"}, ""
			})},
		},
		{
			name:  "a controller of another group is named as the pod names it, even if its kind is a built-in's name",
			world: []runtime.Object{failingPod("a", of("StatefulSet", "apps.kruise.io/v1beta1", "web", "controller-revision-hash", "r1"))},
			want:  []brief{{web("StatefulSet"), "r1", "web", "a", "linux/amd64", v1alpha1.CauseNotFound}},
		},
		{
			name:  "a pod without a controller is its own workload",
			world: []runtime.Object{failingPod("a", func(p *corev1.Pod) { p.OwnerReferences = nil })},
			want: []brief{{v1alpha1.Workload{Kind: "Pod", Name: "a", UID: "uid-a"}, "", "web", "a", "linux/amd64",
				v1alpha1.CauseNotFound}},
		},
		{
			name: "a StatefulSet's pod of the update revision, rewritten by a webhook",
			world: []runtime.Object{statefulSet("r2", badImage),
				failingPod("a", asks("mirror.test/web:v2"), of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2"))},
			want: []brief{{web("StatefulSet"), "r2", "web", "a", "linux/amd64", v1alpha1.CauseRegistryUnavailable}},
		},
		{
			name: "a StatefulSet's stuck pod of an older revision does not fail for the new image", image: goodImage,
			world: []runtime.Object{statefulSet("r3", goodImage),
				failingPod("a", of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2"))},
		},
		{
			name: "a StatefulSet's stuck pod of an older revision does not count for the old image either",
			world: []runtime.Object{statefulSet("r3", goodImage),
				failingPod("a", of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2"))},
		},
		{
			name: "a StatefulSet whose status lags counts by its template",
			world: []runtime.Object{statefulSet("r1", badImage),
				failingPod("a", of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2"))},
			want: []brief{{web("StatefulSet"), "r2", "web", "a", "linux/amd64", v1alpha1.CauseNotFound}},
		},
		{
			name: "a DaemonSet's pod",
			world: []runtime.Object{daemonSet("4", badImage), failingPod("a", asks("mirror.test/web:v2"),
				of("DaemonSet", "apps/v1", "web", "pod-template-generation", "4", "controller-revision-hash", "d4"))},
			want: []brief{{web("DaemonSet"), "d4", "web", "a", "linux/amd64", v1alpha1.CauseRegistryUnavailable}},
		},
		{
			name: "a DaemonSet's pod of an older template does not fail for the new image", image: goodImage,
			world: []runtime.Object{daemonSet("5", goodImage), failingPod("a",
				of("DaemonSet", "apps/v1", "web", "pod-template-generation", "4", "controller-revision-hash", "d4"))},
		},
		{
			name:  "a Job's pod",
			world: []runtime.Object{job("once", badImage), failingPod("a", of("Job", "batch/v1", "once"))},
			want: []brief{{v1alpha1.Workload{Kind: "Job", Name: "once", UID: "uid-once"}, "uid-once", "web", "a", "linux/amd64",
				v1alpha1.CauseNotFound}},
		},
		{
			name: "runs of one CronJob are one failure of one revision",
			world: func() []runtime.Object {
				one, two := job("web-1", badImage), job("web-2", badImage)
				one.OwnerReferences = ownedBy("CronJob", "batch/v1", "web")
				two.OwnerReferences = one.OwnerReferences
				return []runtime.Object{cronJob(badImage), one, two,
					failingPod("a", of("Job", "batch/v1", "web-1")), failingPod("b", of("Job", "batch/v1", "web-2"))}
			}(),
			want: []brief{{web("CronJob"), templateHash(badImage), "web", "a", "linux/amd64", v1alpha1.CauseNotFound}},
		},
		{
			name: "a run of a CronJob that was mended does not count",
			world: func() []runtime.Object {
				one := job("web-1", badImage)
				one.OwnerReferences = ownedBy("CronJob", "batch/v1", "web")
				return []runtime.Object{cronJob(goodImage), one, failingPod("a", of("Job", "batch/v1", "web-1"))}
			}(),
		},
		{
			name:  "a debug container is a person's own",
			image: "busyboxx",
			world: []runtime.Object{deployment(goodImage), replicaSet("web-h2", goodImage), failingPod("a", asks(goodImage),
				says("ContainerCreating", ""), debugged("busyboxx"))},
		},
		{
			name: "an image volume is the subject", image: modelImage,
			world: []runtime.Object{mounting(deployment(goodImage)), replicaSetMounting("web-h2"),
				failingPod("a", asks(goodImage), says("ErrImagePull", modelMissing), mounts)},
			want: []brief{with(deploy, func(b *brief) { b.Container = "volume/model" })},
		},
		{
			name: "an image volume that backs off is the subject", image: modelImage,
			world: []runtime.Object{mounting(deployment(goodImage)), replicaSetMounting("web-h2"), failingPod("a", asks(goodImage),
				says("ImagePullBackOff", `Back-off pulling image "`+modelImage+`": ErrImagePull: `+modelMissing), mounts)},
			want: []brief{with(deploy, func(b *brief) { b.Container = "volume/model" })},
		},
		{
			name: "the image of a container that mounts one is left alone", image: goodImage,
			world: []runtime.Object{mounting(deployment(goodImage)), replicaSetMounting("web-h2"),
				failingPod("a", asks(goodImage), says("ErrImagePull", modelMissing), mounts)},
		},
		{
			name: "the own image of a container that mounts one", image: badImage,
			world: []runtime.Object{mounting(deployment(badImage)), failingPod("a", mounts,
				of("Deployment", "apps/v1", "web"))},
			want: []brief{with(deploy, func(b *brief) { b.Revision = "" })},
		},
		{
			name: "words that name neither image leave the cause unknown", image: goodImage,
			world: []runtime.Object{mounting(deployment(goodImage)), replicaSetMounting("web-h2"), failingPod("a", asks(goodImage),
				says("ErrImagePull", "rpc error: code = Unknown desc = Error response from daemon: manifest unknown"), mounts)},
			want: []brief{with(deploy, func(b *brief) { b.Cause = v1alpha1.CauseUnknown })},
		},
		{
			name:  "a pod that OpenKruise updates in place stays Running",
			world: []runtime.Object{failingPod("a", inPlace)},
			want:  []brief{{web("CloneSet"), "", "web", "a", "linux/amd64", v1alpha1.CauseNotFound}},
		},
		{
			name: "a pod that has ended waits for nothing",
			world: []runtime.Object{deployment(badImage), replicaSet("web-h2", badImage),
				failingPod("a", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })},
		},
		{
			name: "an init container and a sidecar that a webhook injected count",
			world: []runtime.Object{deployment(goodImage), replicaSet("web-h2", goodImage), failingPod("a", asks(goodImage),
				says("PodInitializing", ""), func(p *corev1.Pod) {
					p.Spec.InitContainers = []corev1.Container{{Name: "mesh", Image: badImage}}
					p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "mesh", State: corev1.ContainerState{
						Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: notFound},
					}}}
				})},
			want: []brief{with(deploy, func(b *brief) { b.Container = "mesh" })},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, append(c.world, node("node1", "amd64"))...)
			for what, code := range c.refuse {
				s.forbid(what, code)
			}
			key := reconcile.ImageKey("app", badImage)
			if c.image != "" {
				key.Subject.Name = c.image
			}
			got, err := livePods(t, s).Failing(t.Context(), key, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, briefs(got.Failures), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
			for _, f := range got.Failures {
				if _, ok := got.Labels[f.Workload.String()]; !ok {
					t.Errorf("no labels of %s, want an entry for every workload that fails", f.Workload)
				}
			}
		})
	}
}

func templateHash(image string) string {
	t := template(image)
	return hash(&t)
}

func TestFailingReadsEachOwnerAndNodeOnce(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), node("node1", "amd64"))
	for _, name := range []string{"a", "b", "c", "d"} {
		s.put(t, failingPod(name))
	}
	if _, err := livePods(t, s).Failing(t.Context(), reconcile.ImageKey("app", badImage), nil); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"/replicasets/web-h2", "/deployments/web", "/nodes/node1"} {
		if n := s.requests(what); n != 1 {
			t.Errorf("%s was read %d times, want once", what, n)
		}
	}
}

func TestFailingReadsAllPages(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), node("node1", "amd64"))
	for i := range page + 10 {
		s.put(t, failingPod("p"+string(rune('a'+i%26))+time.Duration(i).String(), says("ContainerCreating", "")))
	}
	s.put(t, failingPod("z-last"))
	got, err := livePods(t, s).Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Failures) != 1 || got.Failures[0].Pull.Pod != "z-last" {
		t.Errorf("failures %v, want the one of the last page", briefs(got.Failures))
	}
}

func TestFailingSaysWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, refuse, want string }{
		{"the pods", "pods", "list pods in app: "},
		{"an owner", "deployments", "read Deployment app/web: "},
		{"a node", "nodes", "read node node1: "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), failingPod("a"), node("node1", "amd64"))
			s.forbid(c.refuse, 500)
			_, err := livePods(t, s).Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
			if err == nil || len(err.Error()) < len(c.want) || err.Error()[:len(c.want)] != c.want {
				t.Errorf("error %v, want it to begin with %q", err, c.want)
			}
		})
	}
}

func TestFailingKeepsTheFirstError(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage),
		failingPod("a", says("ImagePullBackOff", `Back-off pulling image "registry.test/web:v2"`)), node("node1", "amd64"))
	p := livePods(t, s)
	first := noon().Add(-5 * time.Minute)
	p.First = newFirstErrors(func() time.Time { return first })
	p.First.note("uid-a", waitingFor(failingPod("a")))

	got, err := p.Failing(context.Background(), reconcile.ImageKey("app", badImage), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []v1alpha1.Failure{{
		Trigger: v1alpha1.TriggerImagePull, Workload: web("Deployment"), Revision: "h2", Container: "web", Pull: &v1alpha1.Pull{Pod: "a", Platform: "linux/amd64"},
		Cause: v1alpha1.CauseNotFound, Message: got.Failures[0].Message, Since: v1alpha1.NewTime(first),
	}}
	if diff := cmp.Diff(want, got.Failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	if got.Failures[0].Message == "" || got.Failures[0].Message[:9] != "rpc error" {
		t.Errorf("message %q, want the kubelet's first one", got.Failures[0].Message)
	}
}
