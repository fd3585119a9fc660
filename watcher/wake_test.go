package watcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestConcerns(t *testing.T) {
	t.Parallel()
	failing := func(r *v1alpha1.Rollback) {
		r.Status.Failures = []v1alpha1.Failure{
			{Workload: web("Deployment"), Container: "web"}, {Workload: web("Deployment"), Container: "side"},
		}
	}
	blamed := func(r *v1alpha1.Rollback) {
		failing(r)
		r.Status.Suspect = &v1alpha1.Suspect{
			Source:     v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"},
			Reconciler: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"},
			Automation: &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: "flux-system", Name: "fleet"},
			Places:     []v1alpha1.Place{{Marker: "flux-system:web"}, {}},
		}
	}
	ended := func(r *v1alpha1.Rollback) { r.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultVerified} }
	cases := []struct {
		name string
		edit func(*v1alpha1.Rollback)
		want []string
	}{
		{"one that just opened concerns nothing but itself", nil, nil},
		{"one that fails concerns its workloads, each once", failing, []string{"Deployment/app/web"}},
		{"one that is blamed concerns source, applier, automation and the markers' policies", blamed, []string{
			"Deployment/app/web", "GitRepository/flux-system/fleet", "ImagePolicy/flux-system/web",
			"ImageUpdateAutomation/flux-system/fleet", "Kustomization/flux-system/apps",
		}},
		{"one that asked Flux concerns what it asked", func(r *v1alpha1.Rollback) {
			r.Status.Request = &v1alpha1.Request{Objects: []v1alpha1.ObjectRef{{Kind: "HelmRelease", Namespace: "app", Name: "web"}}}
		}, []string{"HelmRelease/app/web"}},
		{"one that ended concerns nothing", func(r *v1alpha1.Rollback) { blamed(r); ended(r) }, nil},
		{"one that ended and holds still concerns the policy it holds", func(r *v1alpha1.Rollback) {
			ended(r)
			r.Status.Change = &v1alpha1.Change{Hold: "abc", Policies: []string{"flux-system:web", "no-colon"}}
		}, []string{"ImagePolicy/flux-system/web"}},
		{"one that ended and holds is not woken by what applies it", func(r *v1alpha1.Rollback) {
			blamed(r)
			ended(r)
			r.Status.Change = &v1alpha1.Change{Hold: "abc", Policies: []string{"flux-system:web"}}
			r.Status.Request = &v1alpha1.Request{Objects: []v1alpha1.ObjectRef{{Kind: "Kustomization", Namespace: "app", Name: "web"}}}
		}, []string{"GitRepository/flux-system/fleet", "ImagePolicy/flux-system/web", "ImageUpdateAutomation/flux-system/fleet"}},
		{"one whose image was in no Git concerns what may stop naming it", func(r *v1alpha1.Rollback) {
			failing(r)
			r.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultSourceNotFound}
		}, []string{"Deployment/app/web"}},
		{"one whose hold was lifted concerns nothing", func(r *v1alpha1.Rollback) {
			ended(r)
			r.Status.Change = &v1alpha1.Change{Hold: "abc", Policies: []string{"flux-system:web"}}
			r.Status.Lifted = &v1alpha1.Lifted{}
		}, nil},
		{"one that expired and was decided after all goes on", func(r *v1alpha1.Rollback) {
			failing(r)
			r.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultExpired}
			r.Status.Verdict = &v1alpha1.Verdict{}
		}, []string{"Deployment/app/web"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, concerns(rollback("r", c.edit))); diff != "" {
				t.Errorf("concerns (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	at := func(version string, generation int64) *v1alpha1.Rollback {
		return rollback("r", func(r *v1alpha1.Rollback) { r.ResourceVersion, r.Generation = version, generation })
	}
	cases := []struct {
		name    string
		changed func(before, now metav1.Object) bool
		event   func(cache.ResourceEventHandler)
		want    int
	}{
		{"an addition wakes", asked, func(h cache.ResourceEventHandler) { h.OnAdd(at("1", 1), true) }, 1},
		{"a repetition does not", nil, func(h cache.ResourceEventHandler) { h.OnUpdate(at("1", 1), at("1", 1)) }, 0},
		{"any update wakes where nothing else is asked for", nil, func(h cache.ResourceEventHandler) { h.OnUpdate(at("1", 1), at("2", 1)) }, 1},
		{"a new status does not wake", asked, func(h cache.ResourceEventHandler) { h.OnUpdate(at("1", 1), at("2", 1)) }, 0},
		{"a new spec wakes", asked, func(h cache.ResourceEventHandler) { h.OnUpdate(at("1", 1), at("2", 2)) }, 1},
		{"an annotation wakes", asked, func(h cache.ResourceEventHandler) {
			now := at("2", 1)
			now.Annotations = map[string]string{"a": "b"}
			h.OnUpdate(at("1", 1), now)
		}, 1},
		{"one made anew under the old name wakes", asked, func(h cache.ResourceEventHandler) {
			now := at("2", 1)
			now.UID = "another"
			h.OnUpdate(at("1", 1), now)
		}, 1},
		{"the beginning of a deletion wakes", asked, func(h cache.ResourceEventHandler) {
			now, when := at("2", 1), metav1.NewTime(noon())
			now.DeletionTimestamp = &when
			h.OnUpdate(at("1", 1), now)
		}, 1},
		{"a deletion wakes", asked, func(h cache.ResourceEventHandler) { h.OnDelete(at("1", 1)) }, 1},
		{"a deletion that was missed wakes", asked, func(h cache.ResourceEventHandler) {
			h.OnDelete(cache.DeletedFinalStateUnknown{Key: "app/r", Obj: at("1", 1)})
		}, 1},
		{"what is no object is ignored", asked, func(h cache.ResourceEventHandler) {
			h.OnAdd("x", false)
			h.OnUpdate("x", "y")
			h.OnDelete("x")
			h.OnDelete(cache.DeletedFinalStateUnknown{Key: "app/r"})
		}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := 0
			c.event(wakeHandler(c.changed, func(metav1.Object) { got++ }))
			if got != c.want {
				t.Errorf("woke %d times, want %d", got, c.want)
			}
		})
	}
}
