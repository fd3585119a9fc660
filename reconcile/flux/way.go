package flux

import (
	"cmp"
	"context"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// maxParents is how many Kustomizations above one are followed.
const maxParents = 5

// way collects what a commit passes through on its way to a workload, from the source down.
type way struct {
	flux *Flux
	// has answers whether a commit contains the one that is on its way.
	has func(string) (bool, string)
	// again is whom to have apply what it applied before; empty where a new commit is to be applied.
	again v1alpha1.ObjectRef
	stops []reconcile.Stop
}

// follow adds a Kustomization with all above it, and reports whether it has handed the commit on. src is its source as
// it was read. A Kustomization's own images, patches and variables come from the one that applies it.
func (w *way) follow(ctx context.Context, k *kustomizev1.Kustomization, src deployed, depth int) (bool, error) {
	w.source(src)
	reached, unknown := w.has(src.commit())
	reached = reached && unknown == ""
	if depth < maxParents && handedDown(k) {
		parent, err := w.flux.parent(ctx, k)
		if err != nil {
			return false, err
		}
		if parent != nil {
			above, err := w.flux.deployedSource(ctx, sourceRef(parent))
			if _, refused := reconcile.AsRefusal(err); err != nil && !refused && !apierrors.IsNotFound(err) {
				return false, err
			}
			passed, err := w.follow(ctx, parent, above, depth+1)
			if err != nil {
				return false, err
			}
			reached = reached && passed
		}
	}
	stop, passed, err := w.kustomization(ctx, k, src)
	stop.Reached = reached
	w.add(stop)
	return passed, err
}

// handedDown reports whether a Kustomization holds something itself that may name an image.
func handedDown(k *kustomizev1.Kustomization) bool {
	return len(k.Spec.Images) > 0 || len(k.Spec.Patches) > 0 || k.Spec.PostBuild != nil
}

func (w *way) add(s reconcile.Stop) {
	for _, o := range w.stops {
		if o.Object == s.Object {
			return
		}
	}
	w.stops = append(w.stops, s)
}

// source adds a source that fetches by itself only at its interval. Only a GitRepository fetches what was pushed; an
// OCIRepository waits for whoever builds its artifact.
func (w *way) source(src deployed) {
	if src.git == nil {
		return
	}
	s := stopOf(src.ref, src.git, src.git.Status.LastHandledReconcileAt)
	s.Reached, s.Deaf, s.Barred = true, true, src.suspended || !src.git.DeletionTimestamp.IsZero()
	s.Taken, _ = w.has(src.commit())
	w.add(s)
}

// kustomization is one as a stop, and whether what it applied holds the commit.
func (w *way) kustomization(ctx context.Context, k *kustomizev1.Kustomization, src deployed,
) (reconcile.Stop, bool, error) {
	s := stopOf(refTo(kindKustomization, k.Namespace, k.Name), k, k.Status.LastHandledReconcileAt)
	taken, _ := w.has(commitOf(k, src, k.Status.LastAttemptedRevision))
	s.Busy = busy(k.Status.Conditions)
	s.Barred = k.Spec.Suspend || !k.DeletionTimestamp.IsZero()
	if src.artifact != nil {
		s.Since = src.artifact.LastUpdateTime.Time
	}
	if waitsForOthers(k.Status.Conditions) && !s.Barred {
		// Nothing but its own clock tells it that they are ready.
		ready, err := w.flux.dependenciesReady(ctx, k, src)
		if err != nil {
			return s, false, err
		}
		s.Barred, s.Deaf = !ready, true
	}
	passed := taken && applied(k)
	s.Taken = taken
	if w.again == s.Object {
		s.Taken, s.Deaf = false, true
	}
	return s, passed, nil
}

// release adds a HelmRelease. It hears of a new spec, and of ConfigMaps and Secrets that carry the label
// reconcile.fluxcd.io/watch; of others only at its interval, and when it is stalled never. Whether they carry it cannot
// be read, and asking one that is stalled does no harm.
func (w *way) release(hr *helmv2.HelmRelease, reached bool) {
	s := stopOf(refTo(kindHelmRelease, hr.Namespace, hr.Name), hr, hr.Status.LastHandledReconcileAt)
	s.Reached, s.Busy = reached, busy(hr.Status.Conditions)
	s.Barred = hr.Spec.Suspend || !hr.DeletionTimestamp.IsZero()
	stalled := apimeta.IsStatusConditionTrue(hr.Status.Conditions, meta.StalledCondition) &&
		hr.Status.ObservedGeneration == hr.Generation && hr.Status.LastAttemptedGeneration == hr.Generation
	s.Taken = !stalled || len(hr.Spec.ValuesFrom) == 0
	s.Deaf = true
	if w.again == s.Object {
		s.Taken = false
	}
	w.add(s)
}

func stopOf(ref v1alpha1.ObjectRef, o client.Object, handled string) reconcile.Stop {
	token := o.GetAnnotations()[meta.ReconcileRequestAnnotation]
	return reconcile.Stop{
		Object: ref, Version: o.GetResourceVersion(), Token: token, Handled: token != "" && token == handled,
	}
}

// busy reports that a controller is at work on an object, not that it waits for its next try.
func busy(conditions []metav1.Condition) bool {
	c := apimeta.FindStatusCondition(conditions, meta.ReconcilingCondition)
	return c != nil && c.Status == metav1.ConditionTrue && c.Reason != meta.ProgressingWithRetryReason
}

func waitsForOthers(conditions []metav1.Condition) bool {
	c := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == meta.DependencyNotReadyReason
}

// applied reports that what a Kustomization attempted last is in the cluster, healthy or not.
func applied(k *kustomizev1.Kustomization) bool {
	if c := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReconcilingCondition); busy(k.Status.Conditions) {
		doing, ok := parseProgress(c.Message)
		return ok && doing.What == runningHealthChecks
	}
	return appliedRevision(k) == k.Status.LastAttemptedRevision
}

// dependenciesReady reports whether all that a Kustomization depends on is ready, at the revision of the same source.
func (f *Flux) dependenciesReady(ctx context.Context, k *kustomizev1.Kustomization, src deployed) (bool, error) {
	for _, d := range k.Spec.DependsOn {
		var on kustomizev1.Kustomization
		err := f.get(ctx, refTo(kindKustomization, cmp.Or(d.Namespace, k.Namespace), d.Name), &on)
		if _, refused := reconcile.AsRefusal(err); refused || apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		late := sourceRef(&on) == src.ref && src.artifact != nil && on.Status.LastAppliedRevision != src.artifact.Revision
		if late || on.Status.ObservedGeneration != on.Generation ||
			!apimeta.IsStatusConditionTrue(on.Status.Conditions, meta.ReadyCondition) {
			return false, nil
		}
	}
	return true, nil
}

// parent is the Kustomization that applies another one; nil where none does, or it applies itself.
func (f *Flux) parent(ctx context.Context, k *kustomizev1.Kustomization) (*kustomizev1.Kustomization, error) {
	id := objectID{Namespace: k.Namespace, Name: k.Name, Group: kustomizev1.GroupVersion.Group, Kind: kindKustomization}
	self := refTo(kindKustomization, k.Namespace, k.Name)
	for _, c := range claimsOf(k.Labels) {
		if c.Kind != kindKustomization || c == self {
			continue
		}
		up, err := f.confirm(ctx, self, id, c, time.Time{})
		if _, refused := reconcile.AsRefusal(err); refused {
			return nil, nil
		}
		return up.kustomization, err
	}
	return nil, nil
}

// wayOf reads what a commit passes through to a place.
func (f *Flux) wayOf(ctx context.Context, p place, src deployed, w way) ([]reconcile.Stop, error) {
	w.flux = f
	passed, err := w.follow(ctx, p.kustomization, src, 0)
	if err == nil && p.release != nil {
		w.release(p.release, passed)
	}
	return w.stops, err
}

// restoring reports how far what Git says got, to a workload that somebody changed by hand: it is applied again by
// whatever applied it.
func (f *Flux) restoring(ctx context.Context, s *v1alpha1.RollbackStatus, has func(string) (bool, string),
) (reconcile.Rollout, error) {
	var out reconcile.Rollout
	p, err := f.placeOfReconciler(ctx, s.Suspect.Reconciler, time.Time{})
	if why, refused := reconcile.AsRefusal(err); refused {
		out.Waits = why
		return out, nil
	}
	if err != nil {
		return out, err
	}
	src, err := f.deployedSource(ctx, sourceRef(p.kustomization))
	if _, refused := reconcile.AsRefusal(err); err != nil && !refused && !apierrors.IsNotFound(err) {
		return out, err
	}
	conditions := p.kustomization.Status.Conditions
	if p.release != nil {
		conditions = p.release.Status.Conditions
	}
	out.Waits, out.WaitsUntil, _ = working(p.reconciler, conditions)
	out.Way, err = f.wayOf(ctx, p, src, way{has: has, again: p.reconciler})
	return out, err
}
