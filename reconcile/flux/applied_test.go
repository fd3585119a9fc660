package flux

import (
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var changed = time.Date(2026, 11, 21, 9, 20, 51, 0, time.UTC)

// settled is the captured Kustomization after its run of 09:13:27.
func settled(k *kustomizev1.Kustomization) {
	apimeta.RemoveStatusCondition(&k.Status.Conditions, meta.ReconcilingCondition)
	condition(&k.Status.Conditions, meta.ReadyCondition, metav1.ConditionTrue, meta.ReconciliationSucceededReason, "Applied revision")
}

func failing(reason, message string) func(*kustomizev1.Kustomization) {
	return func(k *kustomizev1.Kustomization) {
		settled(k)
		condition(&k.Status.Conditions, meta.ReadyCondition, metav1.ConditionFalse, reason, message)
	}
}

func TestApplied(t *testing.T) {
	const old, bad = "fe244a45bba0ed558285a8a48ecce231bfc1db2d", "e70400abca8b51a05e41a04c2cf1c017fbc93c97"
	at := func(h, m, s int) time.Time { return time.Date(2026, 11, 21, h, m, s, 0, time.UTC) }
	and := func(a, b func(*kustomizev1.Kustomization)) func(*kustomizev1.Kustomization) {
		return func(k *kustomizev1.Kustomization) { a(k); b(k) }
	}
	tests := map[string]struct {
		change func(*kustomizev1.Kustomization)
		commit string
		busy   string
		next   time.Time
		says   string
	}{
		"while the health of a revision is checked it is applied": {commit: bad, next: at(9, 22, 52), says: "Kustomization/flux-system/apps-develop is busy (running health checks"},
		"after its run the interval counts":                       {change: settled, commit: bad, next: at(9, 23, 27), says: "at about 09:23:27 UTC: Kustomization/flux-system/apps-develop applies every 10m, and each new revision at once"},
		"suspended is never": {change: and(settled, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true }), commit: bad,
			says: "never: Kustomization/flux-system/apps-develop is suspended (flux -n flux-system resume kustomization apps-develop)"},
		"without a history the interval is counted from the change": {change: and(settled, func(k *kustomizev1.Kustomization) { k.Status.History = nil }), commit: bad,
			next: at(9, 30, 51), says: "at 09:30:51 UTC at the latest"},
		"what fails its health check is applied and tried again": {change: failing(meta.HealthCheckFailedReason, "no"), commit: bad, next: at(9, 14, 27), says: "tries again every 60s"},
		"what cannot be built is not":                            {change: failing(meta.BuildFailedReason, "no"), commit: old, next: at(9, 14, 27), says: "fails and tries again every 60s"},
		"what it depends on may take any time":                   {change: failing(meta.DependencyNotReadyReason, "infra is not ready"), commit: old, says: "as soon as what Kustomization/flux-system/apps-develop depends on is ready: infra is not ready"},
		"in the middle of applying": {change: func(k *kustomizev1.Kustomization) {
			condition(&k.Status.Conditions, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, "Building manifests for revision main@sha1:e7 with a timeout of 9m30s")
		}, commit: bad, busy: "Kustomization/flux-system/apps-develop is applying: Building manifests", next: at(9, 30, 51)},
		"between two tries it is not": {change: and(failing(meta.BuildFailedReason, "no"), func(k *kustomizev1.Kustomization) {
			condition(&k.Status.Conditions, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, "Building manifests for revision main@sha1:e7 with a timeout of 9m30s")
		}), commit: old, next: at(9, 14, 27)},
		"before its first run": {change: func(k *kustomizev1.Kustomization) { k.Status.Conditions, k.Status.History = nil, nil }, commit: bad, busy: "has not run yet", next: at(9, 30, 51)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			if tt.change != nil {
				tt.change(s.k)
			}
			got, err := s.flux(t).Applied(t.Context(), "develop", backend, changed)
			if err != nil {
				t.Fatal(err)
			}
			if got.Commit != tt.commit || !got.Next.Equal(tt.next) {
				t.Errorf("applied %s, next at %s; want %s, %s", got.Commit, got.Next, tt.commit, tt.next)
			}
			if !strings.Contains(got.Says(), tt.says) {
				t.Errorf("says %q, want %q in it", got.Says(), tt.says)
			}
			if (got.Busy == "") != (tt.busy == "") || !strings.Contains(got.Busy, tt.busy) {
				t.Errorf("busy %q, want %q", got.Busy, tt.busy)
			}
			if got.Reconciler.Name != "apps-develop" {
				t.Errorf("applied by %s", got.Reconciler)
			}
		})
	}
}

func TestAppliedRefusesWhatFluxDoesNotApply(t *testing.T) {
	s := captured(t)
	s.deployment.Labels = nil
	if got, err := s.flux(t).Applied(t.Context(), "develop", backend, changed); err == nil {
		t.Errorf("got %+v", got)
	}
}

func TestAReleaseTakesADriftBackOnlyWithDriftDetection(t *testing.T) {
	tests := map[string]struct {
		mode    helmv2.DriftDetectionMode
		suspend bool
		next    time.Time
		says    string
	}{
		"detection is off where nothing is said": {says: "not until the next upgrade"},
		"detection that only warns":              {mode: helmv2.DriftDetectionWarn, says: "not until the next upgrade"},
		"detection that corrects":                {mode: helmv2.DriftDetectionEnabled, next: changed.Add(5 * time.Minute), says: "at 09:25:51 UTC at the latest"},
		"suspended":                              {mode: helmv2.DriftDetectionEnabled, suspend: true, says: "never"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			hr := &helmv2.HelmRelease{}
			hr.Namespace, hr.Name = "develop", "backend"
			hr.Spec.Interval.Duration, hr.Spec.Suspend = 5*time.Minute, tt.suspend
			if tt.mode != "" {
				hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: tt.mode}
			}
			again := nextRelease(hr, changed)
			next, says := again.Next, again.Says()
			if !next.Equal(tt.next) || !strings.HasPrefix(says, tt.says) {
				t.Errorf("%s, %q; want %s, %q", next, says, tt.next, tt.says)
			}
			p := place{release: hr, reconciler: refTo(kindHelmRelease, "develop", "backend"), kustomization: &kustomizev1.Kustomization{}}
			hr.Generation = 2
			hr.Status.LastAttemptedGeneration = 1
			condition(&hr.Status.Conditions, meta.ReadyCondition, metav1.ConditionTrue, "UpgradeSucceeded", "done")
			if busy := applying(p); (busy == "") != tt.suspend {
				t.Errorf("newer values that were not attempted: busy %q", busy)
			}
		})
	}
}
