package watcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestFailingCountsPods(t *testing.T) {
	t.Parallel()
	owned := func(pods, ready int32) *appsv1.Deployment {
		d := deployment(badImage)
		d.Status.Replicas, d.Status.ReadyReplicas = pods, ready
		return d
	}
	cases := []struct {
		name  string
		world []runtime.Object
		want  *v1alpha1.PodCount
	}{
		{"nothing fails", []runtime.Object{deployment(goodImage)}, nil},
		{
			"two new pods wait beside six old ones",
			[]runtime.Object{owned(8, 6), replicaSet("web-h2", badImage), failingPod("a"), failingPod("b"), failingPod("c", deleted)},
			&v1alpha1.PodCount{Failing: 2, Total: 8, Ready: 6},
		},
		{
			"the Deployment's own count lags behind its pods",
			[]runtime.Object{owned(6, 6), replicaSet("web-h2", badImage), failingPod("a"), failingPod("b")},
			&v1alpha1.PodCount{Failing: 2, Total: 8, Ready: 6},
		},
		{
			"a Deployment that says nothing of its pods yet",
			[]runtime.Object{deployment(badImage), replicaSet("web-h2", badImage), failingPod("a")},
			&v1alpha1.PodCount{Failing: 1},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := newAPIServer(t, append(tc.world, node("node1", "amd64"))...)
			got, err := livePods(t, api).Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Pods); diff != "" {
				t.Errorf("pods: -want +got\n%s", diff)
			}
		})
	}
}
