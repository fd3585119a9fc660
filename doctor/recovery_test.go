package doctor

import (
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/trace"
)

func TestHowLongARecoveryTakes(t *testing.T) {
	minutes := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Minute} }
	release := func(f *Facts, change func(*helmv2.HelmReleaseSpec)) {
		w := &f.Workloads[0]
		w.Chain.Release, w.Chain.Reconciler = &helmv2.HelmRelease{}, ref("HelmRelease", "production", "backend")
		change(&w.Chain.Release.Spec)
	}
	for name, tt := range map[string]struct {
		change func(f *Facts)
		want   Recovery
		says   string
	}{
		"both gates are on": {func(*Facts) {}, Recovery{}, "Flux applies a revert as soon as it is fetched"},
		"nothing is checked": {func(f *Facts) { f.Cancels, f.Workloads[0].Chain.Kustomization.Spec.Wait = nil, false }, Recovery{},
			"Flux applies a revert as soon as it is fetched"},
		"a Kustomization's check": {func(f *Facts) { f.Cancels = new(false) }, Recovery{AtMost: 570, FastForward: 4},
			"Flux applies a revert after up to 570s, for spec.wait of Kustomization/flux-system/production; CancelHealthCheckOnNewRevision saves up to 570s (deploy/flux), and fast-forward 566s where it cannot be turned on"},
		"a gate that cannot be read counts as off": {func(f *Facts) { f.Cancels = nil }, Recovery{AtMost: 570, FastForward: 4},
			"Flux applies a revert after up to 570s, for spec.wait of Kustomization/flux-system/production; CancelHealthCheckOnNewRevision saves up to 570s (deploy/flux), and fast-forward 566s where it cannot be turned on"},
		"a release's upgrade": {func(f *Facts) { release(f, func(s *helmv2.HelmReleaseSpec) { s.Timeout = minutes(2) }) }, Recovery{AtMost: 120, GatesOn: 10, FastForward: 4},
			"Flux applies a revert after up to 120s, for the upgrade of HelmRelease/production/backend; CancelHealthCheckOnNewRevision saves up to 110s (deploy/flux), and fast-forward 116s where it cannot be turned on"},
		"a release's upgrade that is rolled back": {func(f *Facts) {
			release(f, func(s *helmv2.HelmReleaseSpec) {
				s.Timeout, s.Upgrade = minutes(2), &helmv2.Upgrade{Remediation: &helmv2.UpgradeRemediation{Retries: 1}}
			})
		}, Recovery{AtMost: 240, GatesOn: 10, FastForward: 4},
			"Flux applies a revert after up to 240s, for the upgrade of HelmRelease/production/backend, and its rollback; CancelHealthCheckOnNewRevision saves up to 230s (deploy/flux), and fast-forward 236s where it cannot be turned on"},
		"a release with the gate": {func(f *Facts) {
			f.HelmCancels = new(true)
			release(f, func(s *helmv2.HelmReleaseSpec) { s.Timeout = minutes(2) })
		}, Recovery{AtMost: 10, GatesOn: 10, FastForward: 4}, "Flux applies a revert after up to 10s, for the upgrade of HelmRelease/production/backend"},
		"a release that waits for nothing": {func(f *Facts) {
			release(f, func(s *helmv2.HelmReleaseSpec) { s.Upgrade = &helmv2.Upgrade{DisableWait: true} })
		}, Recovery{}, "Flux applies a revert as soon as it is fetched"},
		"what it depends on is checked for longer": {func(f *Facts) {
			f.Cancels, f.Workloads[0].DependsOn[0].Wait = new(false), 20*time.Minute
		}, Recovery{AtMost: 1200, FastForward: 4},
			"Flux applies a revert after up to 1200s, for the health checks of Kustomization/flux-system/infra; CancelHealthCheckOnNewRevision saves up to 1200s (deploy/flux), and fast-forward 1196s where it cannot be turned on"},
		"measured": {func(f *Facts) {
			f.Workloads[0].Recovered = []Measured{{Rollback: "backend-2", At: noon, Seconds: 8.4}, {Rollback: "backend-1", At: noon, Seconds: 91}}
		}, Recovery{Measured: []Measured{{Rollback: "backend-2", At: noon, Seconds: 8.4}, {Rollback: "backend-1", At: noon, Seconds: 91}}},
			"Flux applies a revert as soon as it is fetched; from landed to verified the last took 8s, 91s"},
	} {
		t.Run(name, func(t *testing.T) {
			f := ready()
			tt.change(&f)
			r := Examine(f)
			if diff := cmp.Diff(&tt.want, r.Workloads[0].Recovery); diff != "" {
				t.Error(diff)
			}
			for _, c := range r.Workloads[0].Checks {
				if c.Name == CheckRecovery && (c.Says != tt.says || c.Mark != trace.Good) {
					t.Errorf("says %q, want %q", c.Says, tt.says)
				}
			}
		})
	}
}

func TestTheGateIsReadAsTheControllersReadIt(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     []string
		on, said bool
	}{
		{"not given", []string{"--watch-all-namespaces=true"}, false, false},
		{"alone", []string{"--feature-gates=CancelHealthCheckOnNewRevision=true"}, true, true},
		{"among others", []string{"--feature-gates=DisableFailFastBehavior=true,CancelHealthCheckOnNewRevision=true"}, true, true},
		{"off", []string{"--feature-gates=CancelHealthCheckOnNewRevision=false"}, false, true},
		{"in two arguments", []string{"--feature-gates", "CancelHealthCheckOnNewRevision=1"}, true, true},
		{"twice", []string{"--feature-gates=CancelHealthCheckOnNewRevision=true", "--feature-gates=CancelHealthCheckOnNewRevision=false"}, false, true},
		{"beside another one", []string{"--feature-gates=CancelHealthCheckOnNewRevision=true", "--feature-gates=ExternalArtifact=true"}, true, true},
		{"another gate that ends alike", []string{"--feature-gates=NoCancelHealthCheckOnNewRevision=true"}, false, false},
		{"no value", []string{"--feature-gates=CancelHealthCheckOnNewRevision", "--feature-gates"}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if on, said := gateIn(tt.args); on != tt.on || said != tt.said {
				t.Errorf("got %v, %v", on, said)
			}
		})
	}
}
