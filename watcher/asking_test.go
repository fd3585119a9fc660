package watcher

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestOnlyPodsThatMayAskForTheImageAreReadLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), node("node1", "amd64")), &walks{}
		for i := range listAt - 2 {
			s.put(t, failingPod(fmt.Sprintf("other-%d", i), asks("registry.test/other:v2"), of("", "", "")))
		}
		s.put(t, failingPod("rewritten", asks("mirror.test/web:v2")))
		w := run(t, s, r, Options{})
		synctest.Wait()
		before := s.requests("/pods")
		got, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Failures) != 1 || got.Failures[0].Pull.Pod != "rewritten" {
			t.Errorf("failures %v, want the pod whose image a webhook rewrote", briefs(got.Failures))
		}
		if n := s.requests("/pods") - before; n > 2 {
			t.Errorf("%d requests for pods, want one for the pod that fails and one for those of its workload", n)
		}
		s.remove("Pod", "app", "rewritten")
		if got, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil); err != nil ||
			len(got.Failures) != 0 {
			t.Errorf("failures %v, %v of a pod that is gone, although the watch may not know yet", briefs(got.Failures), err)
		}
		w.end(t)
	})
}

func TestManyPodsOfOneImageAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), node("node1", "amd64")), &walks{}
		for i := range mostGets + 1 {
			s.put(t, failingPod(fmt.Sprintf("web-%d", i)))
		}
		w := run(t, s, r, Options{})
		synctest.Wait()
		before := s.requests("/pods")
		got, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
		if err != nil || len(got.Failures) != 1 || got.Pods.Failing != mostGets+1 {
			t.Errorf("failures %v of %v pods, %v", briefs(got.Failures), got.Pods, err)
		}
		if n := s.requests("/pods") - before; n != 2 {
			t.Errorf("%d requests for pods, want two lists", n)
		}
		w.end(t)
	})
}

func TestWhoAsksForAnImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), statefulSet("r1", badImage),
			failingPod("of-the-template", asks("mirror.test/web:v2")),
			failingPod("unsure", asks(badImage), of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2")),
			failingPod("another", asks("registry.test/other:v2"), of("", "", "")),
		), &walks{}
		s.slow("replicasets", time.Hour)
		w := run(t, s, r, Options{})
		key := reconcile.ImageKey("app", badImage)
		if diff := cmp.Diff([]string{"unsure"}, w.asking(key)); diff != "" {
			t.Errorf("before the owner was read (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"of-the-template", "unsure"}, w.asking(key)); diff != "" {
			t.Errorf("after the owner was read (-want +got):\n%s", diff)
		}
		if walked := r.since(); !slices.ContainsFunc(walked, func(k string) bool { return strings.HasSuffix(k, badImage) }) {
			t.Errorf("walked %v, want the key of the pod whose image a webhook rewrote", walked)
		}
		w.end(t)
	})
}
