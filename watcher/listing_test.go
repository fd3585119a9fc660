package watcher

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// broken is one of many Deployments whose only pod waits for its image.
func broken(t *testing.T, s *apiServer, i int) (image string) {
	t.Helper()
	name := fmt.Sprintf("web-%d", i)
	image = fmt.Sprintf("registry.test/%s:v2", name)
	d, rs, pod := deployment(image), replicaSet(name+"-h2", image), failingPod(name+"-h2-x", asks(image))
	d.Name, d.UID = name, types.UID("uid-"+name)
	d.Spec.Selector.MatchLabels = map[string]string{"app": name}
	rs.OwnerReferences = ownedBy("Deployment", "apps/v1", name)
	rs.Spec.Selector.MatchLabels = map[string]string{"app": name}
	pod.OwnerReferences = ownedBy("ReplicaSet", "apps/v1", rs.Name)
	pod.Labels = map[string]string{"app": name, appsv1.DefaultDeploymentUniqueLabelKey: "h2"}
	s.put(t, d)
	s.put(t, rs)
	s.put(t, pod)
	return image
}

func TestManyThatFailAtOnceAreListedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, node("node1", "amd64")), &walks{}
		var images []string
		for i := range 3 * listAt {
			images = append(images, broken(t, s, i))
		}
		w := run(t, s, r, Options{})
		synctest.Wait()
		before, pods := s.requests("/replicasets")+s.requests("/deployments"), s.requests("/pods")
		for i, image := range images {
			got, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", image), nil)
			if err != nil || len(got.Failures) != 1 || got.Failures[0].Workload.Name != fmt.Sprintf("web-%d", i) {
				t.Errorf("failures of %s: %v, %v", image, briefs(got.Failures), err)
			}
		}
		if n := s.requests("/replicasets") + s.requests("/deployments") - before; n > 2 {
			t.Errorf("%d requests for ReplicaSets and Deployments of %d workloads, want one list of each", n, len(images))
		}
		if n := s.requests("/pods") - pods; n > 1 {
			t.Errorf("%d requests for pods of %d workloads, want one list", n, len(images))
		}
		w.end(t)
	})
}

// A template that changed is looked at 20 s later, which is when what it brought in is being undone.
func TestWhileManyWaitForTheirImagesTheirRolloutsAreNotLookedAt(t *testing.T) {
	for waiting, looks := range map[int]bool{listAt: false, listAt - 1: true} {
		synctest.Test(t, func(t *testing.T) {
			s, r := newAPIServer(t, node("node1", "amd64")), &walks{}
			for i := range waiting {
				broken(t, s, i)
			}
			w := run(t, s, r, Options{})
			synctest.Wait()
			before := s.requests("/replicasets")
			ref := v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "app", Name: "web-3"}
			again, err := w.resolveCrash(t.Context(), ref)
			if n := s.requests("/replicasets") - before; err != nil || (n > 0) != looks || !looks && again != unsettledFor {
				t.Errorf("%d wait: %d requests, again after %s, %v; want a look: %t", waiting, n, again, err, looks)
			}
			// One that waits for no image is looked at.
			before = s.requests("/replicasets")
			s.remove("Pod", "app", "web-3-h2-x")
			synctest.Wait()
			if _, err := w.resolveCrash(t.Context(), ref); err != nil || s.requests("/replicasets") == before {
				t.Errorf("%d wait, and one that does not is not looked at: %v", waiting, err)
			}
			w.end(t)
		})
	}
}

func TestAListIsOnlyGoneByWhereThePodsFailInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, node("node1", "amd64")), &walks{}
		for i := range listAt {
			broken(t, s, i)
		}
		w := run(t, s, r, Options{})
		synctest.Wait()
		l := newLook(s.clients(t).Core, "app")
		l.listing = w.listings.having(t.Context(), l, time.Now(), "web-0-h2-x")
		if l.listing == nil {
			t.Fatal("many wait, and nothing was listed")
		}
		first := l.listing
		// Another one fails a moment later: what was listed before may not have its Deployment.
		image := broken(t, s, listAt)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		l = newLook(s.clients(t).Core, "app")
		l.listing = w.listings.having(t.Context(), l, time.Now(), fmt.Sprintf("web-%d-h2-x", listAt))
		if l.listing == nil || l.listing == first {
			t.Errorf("a pod that failed after the list was made goes by %p, the list is %p", l.listing, first)
		}
		got, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", image), nil)
		if err != nil || len(got.Failures) != 1 {
			t.Errorf("failures %v, %v", briefs(got.Failures), err)
		}
		// A pod that the watch saw go is asked about no more, whatever the list has.
		s.remove("Pod", "app", "web-1-h2-x")
		synctest.Wait()
		got, err = w.Pods().Failing(t.Context(), reconcile.ImageKey("app", "registry.test/web-1:v2"), nil)
		if err != nil || len(got.Failures) != 0 {
			t.Errorf("failures %v, %v of a pod that is gone", briefs(got.Failures), err)
		}
		// What somebody mends is seen when the list is a second old.
		d := deployment(goodImage)
		d.Name, d.UID = "web-0", "uid-web-0"
		s.put(t, d)
		time.Sleep(2 * time.Second)
		got, err = w.Pods().Failing(t.Context(), reconcile.ImageKey("app", "registry.test/web-0:v2"), nil)
		if err != nil || len(got.Failures) != 0 {
			t.Errorf("failures %v, %v of a workload that asks for another image", briefs(got.Failures), err)
		}
		w.end(t)
	})
}

func TestFewThatFailAreReadOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, node("node1", "amd64")), &walks{}
		for i := range listAt - 1 {
			broken(t, s, i)
		}
		w := run(t, s, r, Options{})
		synctest.Wait()
		l := newLook(s.clients(t).Core, "app")
		if l.listing = w.listings.having(t.Context(), l, time.Now(), "web-0-h2-x"); l.listing != nil {
			t.Error("few wait, and a namespace was listed")
		}
		w.end(t)
	})
}

func TestWhatCannotBeListedIsReadByItself(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	s.put(t, failingPod("a", func(p *corev1.Pod) { p.OwnerReferences = nil }))
	s.refuse["deployments"], s.refuse["replicasets"] = 403, 403
	c := &listings{lists: kube.Shared[*listing]{Now: time.Now}, waiting: func(string) int { return listAt }}
	l := newLook(s.clients(t).Core, "app")
	l.listing = c.having(t.Context(), l, time.Now(), "a")
	if l.listing == nil || l.listing.all || len(l.listing.deployments) != 0 {
		t.Errorf("listed %+v", l.listing)
	}
}
