package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// remembering is a Flux that remembers what it found healthy.
type remembering struct {
	*model
	healthy []Healthy
}

func (r *remembering) Reopen(ctx context.Context, ns string, s v1alpha1.Suspect, with *types.NamespacedName, since time.Time,
) (Origin, error) {
	o, err := r.model.Reopen(ctx, ns, s, with, since)
	o.Healthy = r.healthy
	return o, err
}

// forgetful is a Git that does not know a commit any more.
type forgetful struct{ *model }

func (f forgetful) Contains(ctx context.Context, src Source, tip, commit string) (bool, error) {
	if tip == "beef" {
		return false, errors.New("object not found")
	}
	return f.model.Contains(ctx, src, tip, commit)
}

func TestAnImageThatFluxFoundHealthyIsNoBadRelease(t *testing.T) {
	kustomization := v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	release := v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: "develop", Name: "app"}
	only := func(kind, name string) []v1alpha1.Workload { return []v1alpha1.Workload{{Kind: kind, Name: name}} }
	for name, tt := range map[string]struct {
		// healthy is what Flux remembers, given the commit that wrote the image and when pods began to fail.
		healthy func(suspect string, failed time.Time) Healthy
		git     func(m *model) Git
		// ahead is how far the clock of who committed the image is wrong.
		ahead time.Duration
		asked string
	}{
		"a revision that has the image": {healthy: func(c string, at time.Time) Healthy {
			return Healthy{By: kustomization, Commit: c, At: at.Add(-time.Hour)}
		}, asked: "Kustomization/flux-system/apps found Deployment/app healthy at 2026-11-21 10:00 UTC with c101"},
		"a revision before it": {healthy: func(_ string, at time.Time) Healthy {
			return Healthy{By: kustomization, Commit: "c0", At: at.Add(-time.Hour)}
		}},
		"one that was found healthy after the failure": {healthy: func(c string, at time.Time) Healthy {
			return Healthy{By: kustomization, Commit: c, At: at.Add(time.Second)}
		}},
		"a health check of another workload": {healthy: func(c string, at time.Time) Healthy {
			return Healthy{By: kustomization, Commit: c, At: at.Add(-time.Hour), Only: only("Deployment", "other")}
		}},
		"a health check of this one": {healthy: func(c string, at time.Time) Healthy {
			return Healthy{By: kustomization, Commit: c, At: at.Add(-time.Hour), Only: only("Deployment", "app")}
		}, asked: "found Deployment/app healthy"},
		"a commit that nobody knows any more": {healthy: func(_ string, at time.Time) Healthy {
			return Healthy{By: kustomization, Commit: "beef", At: at.Add(-time.Hour)}
		}, git: func(m *model) Git { return forgetful{m} }},
		"a release of Helm since the commit": {healthy: func(_ string, at time.Time) Healthy {
			return Healthy{By: release, At: at.Add(-time.Hour)}
		}, asked: "HelmRelease/develop/app found Deployment/app healthy"},
		"a release of Helm before the commit": {healthy: func(_ string, at time.Time) Healthy {
			return Healthy{By: release, At: at.Add(-3 * time.Hour)}
		}},
		"a revision that has it, where the commit says that it came later": {healthy: func(c string, at time.Time) Healthy {
			return Healthy{By: kustomization, Commit: c, At: at.Add(-time.Hour)}
		}, ahead: 90 * time.Minute, asked: "found Deployment/app healthy"},
		"a revision before it, where the commit is dated tomorrow": {healthy: func(_ string, at time.Time) Healthy {
			return Healthy{By: kustomization, Commit: "c0", At: at.Add(-time.Hour)}
		}, ahead: 24 * time.Hour},
		"a release of Helm, where the commit is dated tomorrow": {healthy: func(_ string, at time.Time) Healthy {
			return Healthy{By: release, At: at.Add(-time.Hour)}
		}, ahead: 24 * time.Hour, asked: "found Deployment/app healthy"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			e := m.engine("prod", Budget{})
			m.selected = imgBad
			m.writeBack()
			suspect := m.tip().id
			m.branch[len(m.branch)-1].when = m.now.Add(tt.ahead)
			m.now = m.now.Add(2 * time.Hour)
			m.rollOut()
			e.Flux = &remembering{m, []Healthy{tt.healthy(suspect, m.now)}}
			if tt.git != nil {
				e.Git = tt.git(m)
			}
			for range 5 {
				m.walk(t, e)
				m.now = m.now.Add(10 * time.Second)
			}
			said := ""
			for _, r := range m.records {
				if q := r.Status.Question; q != nil {
					said = messages(q.Doubts)
				}
			}
			if reverted := m.tip().value != imgBad; reverted == (tt.asked != "") || !strings.Contains(said, tt.asked) {
				t.Errorf("reverted: %v, asked %q, want %q\n%s", reverted, said, tt.asked, m.story())
			}
		})
	}
}

func TestWhatAFastForwardMadeGreenNeverWasHealthy(t *testing.T) {
	release := v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: "develop", Name: "app"}
	other := release
	other.Name = "other"
	set := func(f v1alpha1.FastForward) (r v1alpha1.Rollback) {
		f.At = micro(t0)
		r.Status.FastForward = []v1alpha1.FastForward{f}
		return r
	}
	applied := v1alpha1.FastForwardApplied
	for name, tt := range map[string]struct {
		healthy Healthy
		by      v1alpha1.Rollback
		forced  bool
	}{
		"the revision whose check passed": {Healthy{Commit: "bad0"}, set(v1alpha1.FastForward{Result: applied, Revision: "main@sha1:bad0"}), true},
		"another revision":                {Healthy{Commit: "good"}, set(v1alpha1.FastForward{Result: applied, Revision: "main@sha1:bad0"}), false},
		"one that was refused":            {Healthy{Commit: "bad0"}, set(v1alpha1.FastForward{Result: v1alpha1.FastForwardRefused, Revision: "main@sha1:bad0"}), false},
		"a release that was set since":    {Healthy{By: release, At: t0.Add(-time.Minute)}, set(v1alpha1.FastForward{Result: applied, Release: &release}), true},
		"a release of afterwards":         {Healthy{By: release, At: t0.Add(time.Minute)}, set(v1alpha1.FastForward{Result: applied, Release: &release}), false},
		"another release":                 {Healthy{By: other, At: t0.Add(-time.Minute)}, set(v1alpha1.FastForward{Result: applied, Release: &release}), false},
	} {
		if got := tt.healthy.forced(tt.by); got != tt.forced {
			t.Errorf("%s: %v, want %v", name, got, tt.forced)
		}
	}
}
