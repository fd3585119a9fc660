package watcher

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// strange is an object with a field that this version cannot decode.
func strange(apiVersion, kind, name string, field ...string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: object{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": object{"namespace": "production", "name": name, "uid": name},
		"spec":     object{"subject": object{"kind": "Image", "name": "registry.example.com/" + name + ":v2"}, "openedFor": "ImagePull"},
	}}
	if err := unstructured.SetNestedField(u.Object, object{"newer": "form"}, field...); err != nil {
		panic(err)
	}
	return u
}

func TestAnObjectThatCannotBeDecodedCostsThatObjectAlone(t *testing.T) {
	const ours = "backstop.dev/v1alpha1"
	for _, kind := range []struct {
		name string
		bad  *unstructured.Unstructured
		// flux objects are only watched as metadata: nothing in them matters here.
		flux bool
	}{
		{"a Rollback with a text where a list is expected", strange(ours, "Rollback", "bad", "spec", "decisions"), false},
		{"a Rollback with a strange status", strange(ours, "Rollback", "bad", "status", "suspect", "when"), false},
		{"a RollbackPolicy", strange(ours, "RollbackPolicy", "bad", "spec", "cooldown"), false},
		{"a Kustomization", strange("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "bad", "spec", "interval"), true},
		{"an ImagePolicy", strange("image.toolkit.fluxcd.io/v1", "ImagePolicy", "bad", "status", "latestRef"), true},
	} {
		for _, when := range []string{"at the start", "in the middle"} {
			t.Run(kind.name+" "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newAPIServer(t, rollback("good", nil))
					if when == "at the start" {
						s.put(t, kind.bad)
					}
					found := &kube.Unreadables{}
					r := &walks{}
					w := run(t, s, r, Options{Unreadable: found})
					synctest.Wait()
					if err := w.Synced(); err != nil {
						t.Fatal(err)
					}
					if when == "in the middle" {
						s.put(t, kind.bad)
						synctest.Wait()
					}
					r.since()
					s.put(t, rollback("good", func(r *v1alpha1.Rollback) { r.Generation = 2 }))
					synctest.Wait()
					if len(r.since()) == 0 {
						t.Error("a decision on another Rollback woke nothing")
					}
					if got := w.Rollbacks(); len(got) != 1 || got[0].Name != "good" {
						t.Errorf("got Rollbacks %v, want the good one", got)
					}
					if err := w.Unreadable(); err != nil {
						t.Errorf("one object is not the whole kind: %v", err)
					}
					if kind.flux {
						return
					}
					all := found.List()
					if len(all) != 1 || all[0].Ref.Name != "bad" {
						t.Fatalf("unreadable: got %v, want bad", all)
					}
					s.remove(kind.bad.GetKind(), "production", "bad")
					synctest.Wait()
					if all := found.List(); len(all) != 0 {
						t.Errorf("it is gone, and still unreadable: %v", all)
					}
				})
			})
		}
	}
}

func TestAWholeKindThatCannotBeDecodedIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		for _, name := range []string{"a", "b"} {
			s.put(t, strange("backstop.dev/v1alpha1", "RollbackPolicy", name, "spec", "triggers"))
		}
		found := &kube.Unreadables{}
		w := run(t, s, &walks{}, Options{Unreadable: found})
		synctest.Wait()
		if err := w.Unreadable(); err == nil || !strings.Contains(err.Error(), "RollbackPolicy") {
			t.Errorf("got %v, want the kind", err)
		}
		if n := testutil.CollectAndCount(found, "backstop_unreadable_objects"); n < 2 {
			t.Errorf("got %d series, want one a kind", n)
		}
	})
}

func TestAKindThatCannotBeWatchedForAMinuteIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t, rollback("good", nil))
		s.forbid("kustomizations", 500)
		s.forbid("helmreleases", 404)
		w := run(t, s, &walks{}, Options{})
		time.Sleep(30 * time.Second)
		if err := w.Broken(); err != nil {
			t.Errorf("after half a minute: %v", err)
		}
		time.Sleep(40 * time.Second)
		if err := w.Broken(); err == nil || !strings.Contains(err.Error(), "Kustomization") {
			t.Errorf("after a minute: %v", err)
		}
		s.forbid("kustomizations", 0)
		s.put(t, strange("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "apps", "spec"))
		time.Sleep(2 * time.Minute)
		if err := w.Broken(); err != nil {
			t.Errorf("it can be watched again: %v", err)
		}
	})
}
