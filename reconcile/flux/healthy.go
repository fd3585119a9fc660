package flux

import (
	"slices"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// healthyOf is what Flux remembers to have applied and found healthy: an image that was in it ran, although neither a
// pod nor a ReplicaSet of it may be left. An apply that waits for nothing proves nothing.
func healthyOf(p place) []reconcile.Healthy {
	if p.release != nil {
		return healthyRelease(p.release)
	}
	return healthyKustomization(p.kustomization)
}

// healthyKustomization reads the history, of which an entry is kept for each digest and each outcome.
func healthyKustomization(k *kustomizev1.Kustomization) []reconcile.Healthy {
	var only []v1alpha1.Workload
	for _, c := range k.Spec.HealthChecks {
		only = append(only, v1alpha1.Workload{Kind: c.Kind, Name: c.Name})
	}
	if !k.Spec.Wait && len(only) == 0 {
		return nil
	}
	if k.Spec.Wait {
		only = nil
	}
	var out []reconcile.Healthy
	for _, h := range k.Status.History {
		if h.LastReconciledStatus != meta.ReconciliationSucceededReason {
			continue
		}
		commit := commitOf(k, deployed{ref: sourceRef(k)}, h.Metadata["revision"])
		if commit != "" {
			out = append(out, reconcile.Healthy{By: refTo(kindKustomization, k.Namespace, k.Name), Commit: commit,
				At: h.FirstReconciled.Time, Only: only})
		}
	}
	return out
}

// healthyRelease reads the newest release, where it is what the HelmRelease says and Helm waited for its workloads. Its
// history has digests and no commits.
func healthyRelease(hr *helmv2.HelmRelease) []reconcile.Healthy {
	ready := apimeta.FindStatusCondition(hr.Status.Conditions, meta.ReadyCondition)
	last := slices.Clone(hr.Status.History).Latest()
	if ready == nil || ready.Status != metav1.ConditionTrue || hr.Status.ObservedGeneration != hr.Generation ||
		last == nil || last.Status != "deployed" || !waits(hr, last) {
		return nil
	}
	return []reconcile.Healthy{{By: refTo(kindHelmRelease, hr.Namespace, hr.Name), At: last.LastDeployed.Time}}
}

// waits reports whether Helm waited for the workloads of a release.
func waits(hr *helmv2.HelmRelease, of *helmv2.Snapshot) bool {
	if of.Version <= 1 {
		return hr.Spec.Install == nil || !hr.Spec.Install.DisableWait
	}
	return hr.Spec.Upgrade == nil || !hr.Spec.Upgrade.DisableWait
}
