package flux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	imageref "github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

var _ reconcile.Forwarder = (*Flux)(nil)

// maxDelays bounds what is remembered of Rollbacks that are gone.
const maxDelays = 1000

// since reports since when a Rollback has waited for the same; an empty what forgets it.
func (d *delays) since(of types.UID, what string, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if what == "" {
		delete(d.seen, of)
		return time.Time{}
	}
	if known, ok := d.seen[of]; ok && known.what == what {
		return known.at
	}
	if d.seen == nil || len(d.seen) >= maxDelays {
		d.seen = map[types.UID]delay{}
	}
	d.seen[of] = delay{what, now}
	return now
}

// Ahead reads what a fast-forward goes by, as reconcile.Forwarder asks.
func (f *Flux) Ahead(ctx context.Context, rb *v1alpha1.Rollback, contains func(tip, commit string) (bool, error),
) (*reconcile.Ahead, error) {
	out := &reconcile.Ahead{}
	s := &rb.Status
	p, err := f.placeOfReconciler(ctx, s.Suspect.Reconciler, time.Time{})
	if _, refused := reconcile.AsRefusal(err); refused {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	src, err := f.deployedSource(ctx, sourceRef(p.kustomization))
	if _, refused := reconcile.AsRefusal(err); refused || apierrors.IsNotFound(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	has := reached(s.Landed.Commit, contains)
	out.Checked = checked(p, src, has)
	if out.Held = out.Checked != ""; !out.Held {
		f.delays.since(rb.UID, "", f.options.Now())
		return out, nil
	}
	out.Since = f.delays.since(rb.UID, out.Checked+" "+src.artifact.Revision, f.options.Now())
	k := p.kustomization
	out.Remote = k.Spec.KubeConfig != nil
	if out.Suspended, err = f.suspended(ctx, p, src.ref); err != nil {
		return nil, err
	}
	if out.Dependents, err = f.dependents(ctx, k); err != nil {
		return nil, err
	}
	if hr := p.release; hr != nil {
		out.Remote = out.Remote || hr.Spec.KubeConfig != nil
		out.Release = aheadRelease(hr)
		more, err := f.dependentReleases(ctx, hr)
		if err != nil {
			return nil, err
		}
		out.Dependents = append(out.Dependents, more...)
	}
	out.Workloads, err = f.aheadWorkloads(ctx, rb, p)
	return out, err
}

// checked is the revision whose running health check keeps the landed commit from being applied; empty where none does.
func checked(p place, src deployed, has func(string) (bool, string)) string {
	fetched, _ := has(src.commit())
	if !fetched || src.artifact == nil {
		return ""
	}
	k := p.kustomization
	c := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReconcilingCondition)
	inCheck := ""
	if busy(k.Status.Conditions) {
		doing, ok := parseProgress(c.Message)
		if ok && doing.What == runningHealthChecks && doing.Revision != "" && doing.Revision != src.artifact.Revision {
			if holds, why := has(commitOf(k, src, doing.Revision)); !holds && why == "" {
				inCheck = doing.Revision
			}
		}
	}
	hr := p.release
	if hr == nil {
		return inCheck
	}
	if !upgrading(hr) {
		return ""
	}
	if passed, _ := has(commitOf(k, src, k.Status.LastAttemptedRevision)); inCheck == "" && passed &&
		hr.Status.LastAttemptedGeneration != hr.Generation {
		// The Kustomization has handed the reverted values on, and the release is still at the bad ones.
		inCheck = hr.Status.LastAttemptedRevision
	}
	return inCheck
}

// upgrading reports that Helm waits for what it installed or upgraded to become ready.
func upgrading(hr *helmv2.HelmRelease) bool {
	c := apimeta.FindStatusCondition(hr.Status.Conditions, meta.ReconcilingCondition)
	if !busy(hr.Status.Conditions) {
		return false
	}
	doing, ok := parseProgress(c.Message)
	return ok && (strings.Contains(doing.What, "'upgrade'") || strings.Contains(doing.What, "'install'"))
}

func aheadRelease(hr *helmv2.HelmRelease) *reconcile.AheadRelease {
	upgrade := hr.GetUpgrade()
	return &reconcile.AheadRelease{
		Object:  refTo(kindHelmRelease, hr.Namespace, hr.Name),
		OptedIn: hr.Annotations[reconcile.FastForwardLabel] == reconcile.FastForwardAllowed,
		NoHooks: upgrade.DisableHooks,
		Tests:   hr.GetTest().Enable,
		Drift:   hr.GetDriftDetection().GetMode() == helmv2.DriftDetectionEnabled,
	}
}

// meansInDependsOn reports whether an entry of an object's dependsOn means another object of its kind.
func meansInDependsOn(name, namespace string, in, other metav1.Object) bool {
	return name == other.GetName() && cmp.Or(namespace, in.GetNamespace()) == other.GetNamespace()
}

// dependents are the Kustomizations that wait for one.
func (f *Flux) dependents(ctx context.Context, k *kustomizev1.Kustomization) ([]reconcile.Dependent, error) {
	var out []reconcile.Dependent
	err := each(ctx, f, kindKustomization, f.options.Namespaces, func(page *kustomizev1.KustomizationList) {
		for i := range page.Items {
			o := &page.Items[i]
			for _, d := range o.Spec.DependsOn {
				if meansInDependsOn(d.Name, d.Namespace, o, k) {
					out = append(out, reconcile.Dependent{
						Object: refTo(kindKustomization, o.Namespace, o.Name),
						Expr:   d.ReadyExpr != "", OtherSource: sourceRef(o) != sourceRef(k),
					})
				}
			}
		}
	})
	return out, err
}

// dependentReleases are the HelmReleases that wait for one. They have no source in common to compare.
func (f *Flux) dependentReleases(ctx context.Context, hr *helmv2.HelmRelease) ([]reconcile.Dependent, error) {
	var out []reconcile.Dependent
	err := each(ctx, f, kindHelmRelease, f.options.Namespaces, func(page *helmv2.HelmReleaseList) {
		for i := range page.Items {
			o := &page.Items[i]
			for _, d := range o.Spec.DependsOn {
				if meansInDependsOn(d.Name, d.Namespace, o, hr) {
					out = append(out, reconcile.Dependent{
						Object: refTo(kindHelmRelease, o.Namespace, o.Name), Expr: d.ReadyExpr != "",
					})
				}
			}
		}
	})
	return out, err
}

// aheadWorkloads reads the workloads that failed. p applies the suspect's.
func (f *Flux) aheadWorkloads(ctx context.Context, rb *v1alpha1.Rollback, p place) ([]reconcile.AheadWorkload, error) {
	var out []reconcile.AheadWorkload
	for _, w := range rb.Status.Workloads() {
		var containers []string
		for _, fl := range rb.Status.Failures {
			if fl.Workload.Kind == w.Kind && fl.Workload.Name == w.Name && fl.Drift == nil {
				containers = append(containers, fl.Container)
			}
		}
		o, err := f.aheadWorkload(ctx, rb, w, p, containers)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func (f *Flux) aheadWorkload(ctx context.Context, rb *v1alpha1.Rollback, w v1alpha1.Workload, p place,
	containers []string,
) (reconcile.AheadWorkload, error) {
	out := reconcile.AheadWorkload{Workload: w}
	kind, known := workload.Of(w.Kind)
	if !known {
		out.Containers = []reconcile.AheadContainer{{}}
		return out, nil
	}
	live, err := kind.Get(ctx, f.client, rb.Namespace, w.Name)
	switch {
	case apierrors.IsNotFound(err):
		out.Gone = true
		return out, nil
	case err != nil:
		return out, fmt.Errorf("read %s: %w", w, err)
	}
	o := live.Object
	out.Workload.UID = o.GetUID()
	out.Gone = !o.GetDeletionTimestamp().IsZero() || w.UID != "" && w.UID != o.GetUID()
	out.LeftAlone, out.Elsewhere = leftAlone(o), p.elsewhere(o)
	out.Paused, _, _ = unstructured.NestedBool(o.Object, "spec", "paused")
	out.ByHand, out.Ordered = live.ByHand(), live.Ordered()
	partition, _, _ := unstructured.NestedInt64(o.Object, "spec", "updateStrategy", "rollingUpdate", "partition")
	out.Partition = partition > 0
	out.Ours = slices.ContainsFunc(o.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == reconcile.ForwardedBy
	})
	wanted := func(name, live string) bool {
		return slices.Contains(containers, name) && (imageref.SameTag(live, rb.Spec.Subject.Name) ||
			out.Ours && imageref.SameTag(live, rb.Status.Target.Image))
	}
	for i, c := range live.Template.Spec.InitContainers {
		if wanted(c.Name, c.Image) {
			out.Containers = append(out.Containers,
				reconcile.AheadContainer{Name: c.Name, Init: true, Index: i, Live: c.Image})
		}
	}
	for i, c := range live.Template.Spec.Containers {
		if wanted(c.Name, c.Image) {
			out.Containers = append(out.Containers, reconcile.AheadContainer{Name: c.Name, Index: i, Live: c.Image})
		}
	}
	if len(out.Containers) == 0 {
		return out, nil
	}
	out.Canary, err = f.shifter(ctx, o)
	return out, err
}

// leftAlone is the mark by which Flux is told not to touch an object as usual; empty for none.
func leftAlone(o *unstructured.Unstructured) string {
	group := kustomizev1.GroupVersion.Group
	for _, marks := range []map[string]string{o.GetLabels(), o.GetAnnotations()} {
		if v := marks[group+"/reconcile"]; strings.EqualFold(v, "disabled") {
			return "reconcile: " + v
		}
		if v := marks[group+"/ssa"]; v != "" && !strings.EqualFold(v, "Override") {
			return "ssa: " + tell(v)
		}
	}
	return ""
}

// The kinds that shift traffic between workloads, and where they name the one whose template they take.
var shifters = []struct {
	gvk schema.GroupVersionKind
	ref []string
}{
	{schema.GroupVersionKind{Group: "flagger.app", Version: "v1beta1", Kind: "Canary"}, []string{"spec", "targetRef"}},
	{
		schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: workload.Rollout},
		[]string{"spec", "workloadRef"},
	},
}

// shifter is who shifts traffic to a workload, and so decides what runs there; empty for nobody. One that cannot be
// read is one.
func (f *Flux) shifter(ctx context.Context, o *unstructured.Unstructured) (string, error) {
	if owner := metav1.GetControllerOf(o); owner != nil {
		return owner.Kind + "/" + owner.Name, nil
	}
	for _, s := range shifters {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(s.gvk.GroupVersion().WithKind(s.gvk.Kind + "List"))
		err := f.client.List(ctx, list, client.InNamespace(o.GetNamespace()))
		switch {
		case notInstalled(err), apierrors.IsNotFound(err):
			continue
		case apierrors.IsForbidden(err):
			return "a " + s.gvk.Kind + ", which Backstop may not read,", nil
		case err != nil:
			return "", fmt.Errorf("list %s objects: %w", s.gvk.Kind, err)
		}
		for i := range list.Items {
			ref, _, _ := unstructured.NestedStringMap(list.Items[i].Object, s.ref...)
			if ref["kind"] == o.GetKind() && ref["name"] == o.GetName() {
				return s.gvk.Kind + "/" + list.Items[i].GetName(), nil
			}
		}
	}
	return "", nil
}

// Set gives a workload images, as reconcile.Forwarder asks. What the API server forbids is a Refusal with its words.
func (f *Flux) Set(ctx context.Context, namespace string, o reconcile.AheadWorkload) error {
	var images []kube.SetImage
	for _, c := range o.Containers {
		if c.Live != c.Want {
			images = append(images, kube.SetImage{Container: c.Name, Init: c.Init, Index: c.Index, From: c.Live, To: c.Want})
		}
	}
	if len(images) == 0 {
		return nil
	}
	patch, err := kube.ImagePatch(o.Workload.UID, images)
	if err != nil {
		return err
	}
	return f.patchWorkload(ctx, namespace, o.Workload, patch)
}

func (f *Flux) patchWorkload(ctx context.Context, namespace string, w v1alpha1.Workload, patch []byte) error {
	kind, known := workload.Of(w.Kind)
	if !known {
		return reconcile.Refuse("Backstop does not know how to change a %s", w.Kind)
	}
	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(kind.GroupVersionKind)
	obj.SetNamespace(namespace)
	obj.SetName(w.Name)
	err := f.client.Patch(ctx, obj, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(reconcile.ForwardedBy))
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		return reconcile.Refuse("the API server forbids it: %s", tell(err.Error()))
	case apierrors.IsInvalid(err), apierrors.IsConflict(err), apierrors.IsNotFound(err):
		// A test of the patch failed: somebody was here since it was read.
		return &reconcile.RetryAfter{After: time.Second, Err: fmt.Errorf("%s has changed: %w", w, err)}
	}
	return err
}

// Disown takes Backstop's entry out of the managedFields, as reconcile.Forwarder asks.
func (f *Flux) Disown(ctx context.Context, namespace string, w v1alpha1.Workload) error {
	kind, known := workload.Of(w.Kind)
	if !known {
		return nil
	}
	live, err := kind.Get(ctx, f.client, namespace, w.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", w, err)
	}
	patch, err := kube.DisownPatch(live.Object.GetUID(), live.Object.GetManagedFields(), reconcile.ForwardedBy)
	if err != nil || patch == nil {
		return err
	}
	err = f.patchWorkload(ctx, namespace, w, patch)
	if _, refused := reconcile.AsRefusal(err); refused {
		// The entry owns a field and does no harm; the record must end.
		return nil
	}
	return err
}
