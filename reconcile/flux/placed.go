package flux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// placeOf walks from a workload to the Kustomization behind it. What applies it may have been read since then; the zero
// time reads it live.
func (f *Flux) placeOf(ctx context.Context, namespace string, w v1alpha1.Workload, since time.Time) (place, error) {
	gvk, known := workloadKind(w.Kind)
	if !known {
		return f.placeByInventory(ctx, namespace, w)
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(gvk)
	ref := refTo(w.Kind, namespace, w.Name)
	if err := f.get(ctx, ref, obj); err != nil {
		if apierrors.IsNotFound(err) {
			return place{}, reconcile.Refuse("%s does not exist any more", ref)
		}
		return place{}, err
	}
	claims := claimsOf(obj.GetLabels())
	if len(claims) == 0 {
		return place{}, unowned(obj, ref)
	}
	id := objectID{Namespace: namespace, Name: w.Name, Group: gvk.Group, Kind: gvk.Kind}
	var refused error
	for _, c := range claims {
		p, err := f.confirm(ctx, ref, id, c, since)
		if err == nil {
			return p, nil
		}
		if _, ok := reconcile.AsRefusal(err); !ok {
			return place{}, err
		}
		if refused == nil || reconcile.KindOf(err) == reconcile.FaultNoRights {
			// What may not be read may be the one that applies it.
			refused = err
		}
	}
	return place{}, refused
}

// claimsOf reads which Flux objects the labels of an object name. It is a claim until an inventory confirms it.
func claimsOf(labels map[string]string) []v1alpha1.ObjectRef {
	var out []v1alpha1.ObjectRef
	for _, c := range []struct{ kind, group string }{
		{kindKustomization, kustomizev1.GroupVersion.Group}, {kindHelmRelease, helmv2.GroupVersion.Group},
	} {
		name, ns := labels[c.group+"/name"], labels[c.group+"/namespace"]
		if name != "" && ns != "" {
			out = append(out, refTo(c.kind, ns, name))
		}
	}
	return out
}

// elsewhere tells who applies an object that this place does not apply; empty where it does. Both have to say so: the
// labels are what was applied last, and can be forged; an inventory may still hold what another one has taken over.
func (p place) elsewhere(o *unstructured.Unstructured) string {
	gvk, claims := o.GroupVersionKind(), claimsOf(o.GetLabels())
	entries, _ := p.inventory()
	switch {
	case len(claims) > 0 && !slices.Contains(claims, p.reconciler):
		return claims[0].String() + " applies it"
	case len(claims) > 0 && holdsObject(entries, objectID{
		Namespace: o.GetNamespace(), Name: o.GetName(), Group: gvk.Group, Kind: gvk.Kind,
	}):
		return ""
	}
	return "nobody confirms who applies it"
}

// unowned explains why an object without Flux's labels cannot be led back to Git.
func unowned(obj *unstructured.Unstructured, ref v1alpha1.ObjectRef) error {
	labels := obj.GetLabels()
	if name := labels["resourceset.fluxcd.controlplane.io/name"]; name != "" {
		return reconcile.Refuse("%s is applied by ResourceSet %s/%s, whose inputs Backstop cannot lead back to a "+
			"file in Git: revert the image where the ResourceSet takes it from", ref,
			labels["resourceset.fluxcd.controlplane.io/namespace"], name)
	}
	owner := metav1.GetControllerOf(obj)
	switch {
	case owner == nil:
		return reconcile.Refuse("%s is not applied by Flux: no Kustomization or HelmRelease owns it, so no commit "+
			"can be blamed; fix it where it was deployed from", ref)
	case owner.Kind == "Canary":
		return reconcile.Refuse("%s is made by Flagger for Canary %s/%s: its image was promoted and ran before, so "+
			"look at the nodes, the registry and the pull secrets rather than at Git", ref, ref.Namespace,
			owner.Name)
	}
	return reconcile.Refuse("%s is made by %s %s/%s and not applied by Flux itself, so no commit can be blamed; "+
		"fix the image where %s takes it from", ref, owner.Kind, ref.Namespace, owner.Name, owner.Kind)
}

// confirm follows a claim, if the inventory of what it names agrees.
func (f *Flux) confirm(ctx context.Context, of v1alpha1.ObjectRef, id objectID, claim v1alpha1.ObjectRef,
	since time.Time,
) (place, error) {
	p, err := f.load(ctx, claim, since)
	if apierrors.IsNotFound(err) {
		return place{}, reconcile.Refuse("%s is labelled as applied by %s, which does not exist: the labels may be "+
			"forged or left over", of, claim)
	}
	if err != nil {
		return place{}, err
	}
	entries, conditions := p.inventory()
	if !holdsObject(entries, id) {
		if settling(conditions) {
			return place{}, fmt.Errorf("%s is reconciling, and its inventory does not hold %s yet", claim, of)
		}
		if claim.Kind == kindHelmRelease && len(entries) == 0 {
			return place{}, reconcile.Refuse("%s is labelled as applied by %s, which keeps no inventory that would "+
				"confirm it: helm-controller writes one since Flux 2.8", of, claim)
		}
		return place{}, reconcile.Refuse("%s is labelled as applied by %s, but its inventory does not hold it: "+
			"labels can be forged, so they count for nothing alone", of, claim)
	}
	return f.complete(ctx, p, since)
}

// load reads an applier, which is what all that it applies share.
func (f *Flux) load(ctx context.Context, ref v1alpha1.ObjectRef, since time.Time) (place, error) {
	return f.appliers.Do(ctx, ref.String(), since, func(ctx context.Context) (place, error) { return f.read(ctx, ref) })
}

func (f *Flux) read(ctx context.Context, ref v1alpha1.ObjectRef) (place, error) {
	p := place{reconciler: ref}
	if ref.Kind == kindHelmRelease {
		p.release = &helmv2.HelmRelease{}
		return p, f.get(ctx, ref, p.release)
	}
	p.kustomization = &kustomizev1.Kustomization{}
	return p, f.get(ctx, ref, p.kustomization)
}

// settling reports whether a controller may still add to the inventory. While health checks run it is written already.
func settling(conditions []metav1.Condition) bool {
	c := apimeta.FindStatusCondition(conditions, meta.ReconcilingCondition)
	if c == nil || c.Status != metav1.ConditionTrue {
		return len(conditions) == 0
	}
	doing, ok := parseProgress(c.Message)
	return !ok || doing.What != runningHealthChecks
}

// complete checks that an applier works in this cluster, and goes on from a HelmRelease to its Kustomization.
func (f *Flux) complete(ctx context.Context, p place, since time.Time) (place, error) {
	remote := func() error {
		return reconcile.Refuse("%s applies to a remote cluster (spec.kubeConfig), so what runs here is not its "+
			"doing: run Backstop in that cluster", p.reconciler)
	}
	if p.release == nil {
		if p.kustomization.Spec.KubeConfig != nil {
			return place{}, remote()
		}
		return p, nil
	}
	if p.release.Spec.KubeConfig != nil {
		return place{}, remote()
	}
	id := objectID{
		Namespace: p.reconciler.Namespace, Name: p.reconciler.Name, Group: helmv2.GroupVersion.Group, Kind: kindHelmRelease,
	}
	for _, c := range claimsOf(p.release.Labels) {
		if c.Kind != kindKustomization {
			continue
		}
		up, err := f.confirm(ctx, p.reconciler, id, c, since)
		p.kustomization = up.kustomization
		return p, err
	}
	return place{}, reconcile.Refuse("%s is not applied by a Kustomization, so its values are in no Git repository "+
		"that Backstop knows: fix the image where the HelmRelease was created from", p.reconciler)
}

// placeOfReconciler reads an applier that was confirmed before.
func (f *Flux) placeOfReconciler(ctx context.Context, ref v1alpha1.ObjectRef, since time.Time) (place, error) {
	p, err := f.load(ctx, ref, since)
	if apierrors.IsNotFound(err) {
		return place{}, reconcile.Refuse("%s does not exist any more, so nothing applies what Git says", ref)
	}
	if err != nil {
		return place{}, err
	}
	return f.complete(ctx, p, since)
}

// placeByInventory looks for a workload of a kind whose group is not known: the inventories hold it.
func (f *Flux) placeByInventory(ctx context.Context, namespace string, w v1alpha1.Workload) (place, error) {
	var found []place
	bad, err := eachReadable(ctx, f, kindKustomization, f.options.Namespaces, func(ks *kustomizev1.KustomizationList) {
		for i := range ks.Items {
			if _, ok := findKind(kustomizeInventory(&ks.Items[i]), namespace, w.Kind, w.Name); ok {
				k := ks.Items[i].DeepCopy()
				found = append(found, place{reconciler: refTo(kindKustomization, k.Namespace, k.Name), kustomization: k})
			}
		}
	})
	if err == nil && len(found) == 0 {
		var more []*kube.Unreadable
		more, err = eachReadable(ctx, f, kindHelmRelease, f.options.Namespaces, func(hrs *helmv2.HelmReleaseList) {
			for i := range hrs.Items {
				if _, ok := findKind(helmInventory(&hrs.Items[i]), namespace, w.Kind, w.Name); ok {
					hr := hrs.Items[i].DeepCopy()
					found = append(found, place{reconciler: refTo(kindHelmRelease, hr.Namespace, hr.Name), release: hr})
				}
			}
		})
		bad = append(bad, more...)
	}
	if err != nil {
		return place{}, err
	}
	if len(found) == 0 && len(bad) > 0 {
		return place{}, fmt.Errorf("look for %s in the inventories: %w", refTo(w.Kind, namespace, w.Name), bad[0])
	}
	var refused error
	for _, p := range found {
		p, err := f.complete(ctx, p, time.Time{})
		if err == nil {
			return p, nil
		}
		if _, ok := reconcile.AsRefusal(err); !ok {
			return place{}, err
		}
		refused = cmp.Or(refused, err)
	}
	if refused != nil {
		return place{}, refused
	}
	return place{}, reconcile.Refuse("%s is in the inventory of no Kustomization or HelmRelease, so no commit can be "+
		"blamed; fix it where it was deployed from", refTo(w.Kind, namespace, w.Name))
}
