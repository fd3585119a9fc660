package flux

import (
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestWhatAKustomizationFoundHealthy(t *testing.T) {
	first, other := "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"
	at := metav1.NewTime(time.Date(2026, 7, 1, 8, 0, 0, 0, time.UTC))
	entry := func(commit, status string) meta.Snapshot {
		return meta.Snapshot{FirstReconciled: at, LastReconciledStatus: status, Metadata: map[string]string{"revision": "main@sha1:" + commit}}
	}
	found := func(commit string, only ...v1alpha1.Workload) reconcile.Healthy {
		return reconcile.Healthy{By: refTo(kindKustomization, "flux-system", "apps"), Commit: commit, At: at.Time, Only: only}
	}
	for name, tt := range map[string]struct {
		edit func(k *kustomizev1.Kustomization)
		want []reconcile.Healthy
	}{
		"one that waits":          {func(k *kustomizev1.Kustomization) { k.Spec.Wait = true }, []reconcile.Healthy{found(first)}},
		"one that waits for none": {func(*kustomizev1.Kustomization) {}, nil},
		"one that looks at a few": {func(k *kustomizev1.Kustomization) {
			k.Spec.HealthChecks = []meta.NamespacedObjectKindReference{{Kind: "Deployment", Name: "web", Namespace: "shop"}}
		}, []reconcile.Healthy{found(first, v1alpha1.Workload{Kind: "Deployment", Name: "web"})}},
		"one from an artifact that names its commit": {func(k *kustomizev1.Kustomization) {
			k.Spec.Wait, k.Spec.SourceRef.Kind = true, "OCIRepository"
			k.Status.History[0].Metadata = map[string]string{"revision": "v1@sha256:abc", "originRevision": "main@sha1:" + other}
		}, []reconcile.Healthy{found(other)}},
		"one from an artifact that names none": {func(k *kustomizev1.Kustomization) {
			k.Spec.Wait, k.Spec.SourceRef.Kind = true, "OCIRepository"
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "apps"}}
			k.Spec.SourceRef.Kind = kindGitRepository
			k.Status.History = meta.History{entry(first, "ReconciliationSucceeded"), entry(other, "HealthCheckFailed")}
			tt.edit(k)
			if diff := cmp.Diff(tt.want, healthyOf(place{kustomization: k})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatHelmWaitedFor(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 7, 1, 8, 0, 0, 0, time.UTC))
	for name, tt := range map[string]struct {
		edit func(hr *helmv2.HelmRelease)
		want bool
	}{
		"a release that is deployed":     {func(*helmv2.HelmRelease) {}, true},
		"one that is not ready":          {func(hr *helmv2.HelmRelease) { hr.Status.Conditions[0].Status = metav1.ConditionFalse }, false},
		"one that is being upgraded":     {func(hr *helmv2.HelmRelease) { hr.Generation = 4 }, false},
		"one that failed":                {func(hr *helmv2.HelmRelease) { hr.Status.History[1].Status = "failed" }, false},
		"one that Helm did not wait for": {func(hr *helmv2.HelmRelease) { hr.Spec.Upgrade = &helmv2.Upgrade{DisableWait: true} }, false},
		"an installation that Helm did not wait for, and an upgrade that it did": {func(hr *helmv2.HelmRelease) {
			hr.Spec.Install = &helmv2.Install{DisableWait: true}
		}, true},
		"one without a history": {func(hr *helmv2.HelmRelease) { hr.Status.History = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			hr := &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 3}}
			hr.Status.ObservedGeneration = 3
			apimeta.SetStatusCondition(&hr.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: "UpgradeSucceeded"})
			hr.Status.History = helmv2.Snapshots{{Version: 1, Status: "superseded"}, {Version: 2, Status: "deployed", LastDeployed: at}}
			tt.edit(hr)
			got := healthyOf(place{release: hr})
			if (len(got) == 1) != tt.want || tt.want && !got[0].At.Equal(at.Time) {
				t.Errorf("got %+v, want %v", got, tt.want)
			}
		})
	}
}
