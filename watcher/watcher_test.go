package watcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestAPodIsWalkedByItsTemplatesImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage)), &walks{}
		w := run(t, s, r, Options{})
		s.put(t, failingPod("a", says("ContainerCreating", ""), asks("mirror.test/web:v2")))
		want(t, "a pod that is being made", r)
		s.put(t, failingPod("a", asks("mirror.test/web:v2")))
		want(t, "a pod that fails", r, webKey)
		s.put(t, failingPod("a", asks("mirror.test/web:v2"), says("ImagePullBackOff", bareBackOff)))
		want(t, "a pod that backs off", r, webKey)
		if n := s.requests("/replicasets/web-h2"); n != 1 {
			t.Errorf("the owner was read %d times, want once", n)
		}
		s.put(t, failingPod("a", started(noon())))
		want(t, "a pod that started", r, webKey)
		if len(w.pods.seen) != 0 || len(w.first.pods) != 0 {
			t.Errorf("remembered of a pod that is gone: %v, %v", w.pods.seen, w.first.pods)
		}
		w.end(t)
	})
}

func TestAPodMadeAnewUnderTheSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, statefulSet("r1", badImage)), &walks{}
		w := run(t, s, r, Options{})
		first := failingPod("web-0", of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r1"))
		s.put(t, first)
		want(t, "the first pod", r, webKey)
		s.put(t, statefulSet("r2", goodImage))
		s.remove("Pod", "app", "web-0")
		second := failingPod("web-0", asks(goodImage), of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2"))
		second.UID = "uid-second"
		s.put(t, second)
		synctest.Wait()
		got := strings.Join(r.since(), " ")
		for _, key := range []string{webKey, "app/" + goodImage} {
			if !strings.Contains(got, key) {
				t.Errorf("walked %q, want %s in it", got, key)
			}
		}
		if p := w.pods.seen[refOf(second)]; p.uid != "uid-second" || len(w.first.pods) != 1 {
			t.Errorf("remembered %v, %v; want the second pod alone", p, w.first.pods)
		}
		w.end(t)
	})
}

func TestAnOwnerThatDoesNotKnowThePodsRevisionYetIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, statefulSet("r1", badImage)), &walks{}
		w := run(t, s, r, Options{})
		of2 := of("StatefulSet", "apps/v1", "web", "controller-revision-hash", "r2")
		s.put(t, failingPod("web-0", asks("mirror.test/web:v2"), of2))
		want(t, "a pod before its set's status knows its revision", r, "app/mirror.test/web:v2")
		s.put(t, statefulSet("r2", badImage))
		s.put(t, failingPod("web-0", asks("mirror.test/web:v2"), of2, says("ImagePullBackOff", bareBackOff)))
		synctest.Wait()
		if got := strings.Join(r.since(), " "); !strings.Contains(got, webKey) {
			t.Errorf("walked %q after the status came, want %s in it", got, webKey)
		}
		w.end(t)
	})
}

func TestAPodThatGoesWhileItsOwnerIsReadLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage)), &walks{}
		s.slow("replicasets", time.Second)
		w := run(t, s, r, Options{})
		s.put(t, failingPod("a"))
		synctest.Wait()
		s.remove("Pod", "app", "a")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.since(); len(got) == 0 || got[0] != webKey {
			t.Errorf("walked %v, want the key of the pod that went", got)
		}
		if len(w.pods.seen) != 0 {
			t.Errorf("remembered: %v", w.pods.seen)
		}
		w.end(t)
	})
}

func TestAnOwnerThatCannotBeReadIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), failingPod("a")), &walks{}
		s.forbid("replicasets", 500)
		w := run(t, s, r, Options{})
		time.Sleep(10 * time.Second)
		want(t, "while the owner cannot be read", r)
		if !strings.Contains(w.log.String(), "pod=a") {
			t.Errorf("no line names the pod:\n%s", w.log)
		}
		s.forbid("replicasets", 0)
		time.Sleep(time.Minute)
		want(t, "when it can", r, webKey)
		w.end(t)
	})
}

func TestWhatWakesARollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t), &walks{}
		rb := rollback("web-1", func(r *v1alpha1.Rollback) {
			r.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: web("Deployment"), Container: "web"}}
			r.Status.Suspect = &v1alpha1.Suspect{
				Reconciler: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"},
				Places:     []v1alpha1.Place{{Marker: "flux-system:web"}},
			}
		})
		ns := &corev1.Namespace{TypeMeta: metav1.TypeMeta{Kind: "Namespace", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "app"}}
		s.put(t, rb)
		s.put(t, ns)
		w := run(t, s, r, Options{})
		want(t, "an open Rollback at the start", r, webKey)

		s.put(t, deployment(goodImage))
		want(t, "its workload", r, webKey)
		other := deployment(goodImage)
		other.Name = "other"
		s.put(t, other)
		want(t, "another workload", r)

		s.put(t, &kustomizev1.Kustomization{
			TypeMeta:   metav1.TypeMeta{Kind: "Kustomization", APIVersion: kustomizev1.GroupVersion.String()},
			ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "apps"},
		})
		want(t, "its Kustomization", r, webKey)
		policy := &imagev1.ImagePolicy{
			TypeMeta:   metav1.TypeMeta{Kind: "ImagePolicy", APIVersion: imagev1.GroupVersion.String()},
			ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "web"},
		}
		s.put(t, policy)
		want(t, "the policy of its marker", r, webKey)

		rules := func(namespace string, generation int64) *v1alpha1.RollbackPolicy {
			return &v1alpha1.RollbackPolicy{
				TypeMeta:   metav1.TypeMeta{Kind: "RollbackPolicy", APIVersion: "backstop.dev/v1alpha1"},
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rules", Generation: generation},
			}
		}
		s.put(t, rules("app", 1))
		want(t, "a RollbackPolicy of its namespace", r, webKey)
		s.put(t, rules("elsewhere", 1))
		want(t, "a RollbackPolicy of another namespace", r)
		s.put(t, rules("backstop", 1))
		want(t, "a fleet default", r, webKey)
		s.put(t, rules("app", 1))
		want(t, "a RollbackPolicy whose status changed", r)

		ns.Labels = map[string]string{"tier": "front"}
		s.put(t, ns)
		want(t, "new labels of its namespace", r, webKey)
		ns.Annotations = map[string]string{"any": "thing"}
		s.put(t, ns)
		want(t, "another change of its namespace", r)

		rb.Status.Phase = "Proving"
		s.put(t, rb)
		want(t, "its own status", r)
		rb.Generation = 2
		s.put(t, rb)
		want(t, "a decision", r, webKey)

		repo := &sourcev1.GitRepository{
			TypeMeta:   metav1.TypeMeta{Kind: "GitRepository", APIVersion: sourcev1.GroupVersion.String()},
			ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "pushes"},
		}
		s.put(t, repo)
		time.Sleep(restLook)
		want(t, "a source that it does not name", r)
		rb.Status.Waiting = &v1alpha1.Waiting{Refused: "Unauthorized"}
		s.put(t, rb)
		want(t, "that it waits for access", r)
		s.put(t, repo)
		time.Sleep(restLook)
		want(t, "any source while it waits for access", r, webKey)
		s.remove("Rollback", "app", "web-1")
		want(t, "its deletion", r, webKey)
		s.put(t, policy)
		want(t, "its policy after the deletion", r)
		w.end(t)
	})
}

func TestNamespacedWatchAsksForNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), failingPod("a")), &walks{}
		elsewhere := failingPod("b")
		elsewhere.Namespace = "elsewhere"
		s.put(t, elsewhere)
		w := run(t, s, r, Options{Namespaces: []string{"app"}, Home: "app"})
		want(t, "the one namespace", r, webKey)
		if _, labels, err := w.Policies(t.Context(), "app"); err != nil || labels != nil {
			t.Errorf("labels %v, error %v; want none of either", labels, err)
		}
		w.end(t)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, request := range s.asked {
			if !strings.Contains(request, "/namespaces/app/") {
				t.Errorf("asked %s, which a Role of one namespace does not allow", request)
			}
		}
	})
}

func TestView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t), &walks{}
		ordinal := func(n string) map[string]string { return map[string]string{reconcile.OrdinalAnnotation: n} }
		old := rollback("web-1", func(r *v1alpha1.Rollback) {
			r.Annotations = ordinal("1")
			r.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultVerified}
			r.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: web("Deployment"), Since: v1alpha1.NewTime(noon())}}
		})
		newer := rollback("web-2", func(r *v1alpha1.Rollback) {
			r.Annotations = ordinal("2")
			r.Status.Failures = []v1alpha1.Failure{
				{Workload: web("Deployment"), Since: v1alpha1.NewTime(noon().Add(2 * time.Hour))},
				{Workload: web("Deployment"), Since: v1alpha1.NewTime(noon().Add(time.Hour))},
			}
		})
		s.put(t, old)
		s.put(t, newer)
		s.put(t, &v1alpha1.RollbackPolicy{
			TypeMeta:   metav1.TypeMeta{Kind: "RollbackPolicy", APIVersion: "backstop.dev/v1alpha1"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "rules"},
		})
		s.put(t, &corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{Kind: "Namespace", APIVersion: "v1"},
			ObjectMeta: metav1.ObjectMeta{Name: "app", Labels: map[string]string{"tier": "front"}},
		})
		w := run(t, s, r, Options{})
		key := reconcile.ImageKey("app", badImage)

		all, ofKey := w.Rollbacks(), w.OfKey(key)
		of := v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "app", Name: "web"}
		concerning := w.indexed(byName, of.String())
		open, err := w.Open(t.Context())
		if err != nil || len(all) != 2 || len(ofKey) != 2 || len(concerning) != 1 || len(open) != 1 || open[0].Name != "web-2" {
			t.Errorf("%d in all, %d of the key, %d of the workload, open %v, error %v", len(all), len(ofKey), len(concerning), open, err)
		}
		open[0].Status.Phase = "changed by the caller"
		if again, _ := w.Open(t.Context()); again[0].Status.Phase != "" {
			t.Error("a caller changed the cache")
		}
		policies, labels, err := w.Policies(t.Context(), "app")
		if err != nil || len(policies) != 1 || labels["tier"] != "front" {
			t.Errorf("policies %v, labels %v, error %v", policies, labels, err)
		}
		// A fleet's policy picks by labels: without them a tenant's own would count alone.
		if _, _, err := w.Policies(t.Context(), "made-a-moment-ago"); err == nil {
			t.Error("a namespace that the watch does not know yet has no labels")
		}
		for range 20 { // The index has no order.
			since, ok := w.failingSince(key, web("Deployment"))
			if !ok || !since.Equal(noon().Add(time.Hour)) {
				t.Fatalf("failing since %s, %t; want the earliest of the newest Rollback", since, ok)
			}
		}
		if _, ok := w.failingSince(key, web("StatefulSet")); ok {
			t.Error("a workload that never failed is failing since some time")
		}
		w.end(t)
	})
}

func TestErrorsNameTheRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, rollback("web-1", nil)), &walks{}
		r.do = func(context.Context, reconcile.Key) (time.Duration, error) {
			return 0, errors.New("fetch main: refused")
		}
		w := run(t, s, r, Options{})
		want(t, "once", r, webKey)
		w.end(t)
		line := w.log.String()
		for _, part := range []string{"rollback=web-1", "namespace=app", "subject=" + badImage, `error="fetch main: refused"`} {
			if !strings.Contains(line, part) {
				t.Errorf("the line lacks %s: %s", part, line)
			}
		}
		if n := strings.Count(line, "refused"); n != 1 {
			t.Errorf("logged %d times, want once: %s", n, line)
		}
	})
}

func TestManyKeysAreWalkedAtOnceButNoKeyTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t), &walks{}
		var mu sync.Mutex
		at, most, twice := map[string]int{}, 0, false
		r.do = func(_ context.Context, key reconcile.Key) (time.Duration, error) {
			mu.Lock()
			at[key.String()]++
			most, twice = max(most, len(at)), twice || at[key.String()] > 1
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			if at[key.String()]--; at[key.String()] == 0 {
				delete(at, key.String())
			}
			return 0, nil
		}
		w := run(t, s, r, Options{Workers: 4})
		for range 3 {
			for i := range 10 {
				w.Wake(reconcile.ImageKey("app", fmt.Sprint(i)))
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		if most != 4 || twice {
			t.Errorf("%d keys at once, one in two workers: %t; want 4 and never", most, twice)
		}
		mu.Unlock()
		w.end(t)
	})
}
