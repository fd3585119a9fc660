package watcher

import (
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestAnImageThatIsChangedInPlaceIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, node("node1", "amd64")), &walks{}
		w := run(t, s, r, Options{})
		fine := failingPod("a", inPlace, asks(goodImage), started(noon()))
		delete(fine.Labels, "lifecycle.apps.kruise.io/state")
		s.put(t, fine)
		want(t, "a pod that runs", r)
		s.put(t, failingPod("a", inPlace))
		want(t, "its image is changed in place and cannot be pulled", r, webKey)
		got, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
		if err != nil || len(got.Failures) != 1 || got.Failures[0].Container != "web" {
			t.Errorf("failures %v, %v, want the container", briefs(got.Failures), err)
		}
		s.put(t, failingPod("a", inPlace, started(noon()), func(p *corev1.Pod) {
			p.Labels["lifecycle.apps.kruise.io/state"] = "Normal"
		}))
		want(t, "it runs again", r, webKey)
		if len(w.pods.seen) != 0 || len(w.first.pods) != 0 {
			t.Errorf("remembered of a pod that runs: %v, %v", w.pods.seen, w.first.pods)
		}
		w.end(t)
	})
}
