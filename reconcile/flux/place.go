package flux

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// place is where a workload stands in Flux: what applies it, confirmed by inventories.
type place struct {
	// reconciler is the Kustomization or HelmRelease whose inventory holds the workload.
	reconciler v1alpha1.ObjectRef
	// kustomization applies the workload, or the HelmRelease.
	kustomization *kustomizev1.Kustomization
	// release is nil where no HelmRelease stands between.
	release *helmv2.HelmRelease
}

func (p place) kustomizationRef() v1alpha1.ObjectRef {
	return refTo(kindKustomization, p.kustomization.Namespace, p.kustomization.Name)
}

// version tells what it was read from.
func (p place) version() string {
	out := string(p.kustomization.UID) + p.kustomization.ResourceVersion
	if p.release != nil {
		out += string(p.release.UID) + p.release.ResourceVersion
	}
	return out
}

func (p place) inventory() ([]entry, []metav1.Condition) {
	if p.release != nil {
		return helmInventory(p.release), p.release.Status.Conditions
	}
	return kustomizeInventory(p.kustomization), p.kustomization.Status.Conditions
}
