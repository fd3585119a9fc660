package fluxstub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func (s *stand) setUpKustomization(mgr ctrl.Manager) error {
	appliers := func(ctx context.Context, repo client.Object) []reconcile.Request {
		var list kustomizev1.KustomizationList
		if err := mgr.GetClient().List(ctx, &list); err != nil {
			return nil
		}
		var woken []reconcile.Request
		for _, k := range list.Items {
			if sourceOf(&k) == client.ObjectKeyFromObject(repo) {
				woken = append(woken, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&k)})
			}
		}
		return woken
	}
	return s.build(mgr, &kustomizev1.Kustomization{}).
		Watches(&sourcev1.GitRepository{}, handler.EnqueueRequestsFromMapFunc(appliers),
			builder.WithPredicates(changed(revisionOf))).
		Complete(reconcile.Func(s.kustomization))
}

// sourceOf is the GitRepository of a Kustomization; empty when its source is of another kind.
func sourceOf(k *kustomizev1.Kustomization) client.ObjectKey {
	ref := k.Spec.SourceRef
	if ref.Kind != sourcev1.GitRepositoryKind {
		return client.ObjectKey{}
	}
	if ref.Namespace == "" {
		ref.Namespace = k.Namespace
	}
	return client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
}

// failure is why a Kustomization is not ready, with the condition's reason.
type failure struct {
	reason string
	err    error
	// again is when to look again; zero for the retry interval.
	again time.Duration
}

func (f *failure) Error() string { return f.err.Error() }

func failed(reason string, err error) error { return &failure{reason: reason, err: err} }

// kustomization applies a Kustomization at its source's revision. Nothing else
// is begun for it until that has ended, health check included.
func (s *stand) kustomization(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	k := &kustomizev1.Kustomization{}
	if err := s.client.Get(ctx, req.NamespacedName, k); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	// What is not the stand-in's to apply keeps the status that a test gives it.
	if k.Spec.Suspend || k.DeletionTimestamp != nil || k.Spec.KubeConfig != nil || sourceOf(k).Name == "" {
		return ctrl.Result{}, nil
	}
	r := &run{stand: s, k: k, was: k.DeepCopy(), begin: time.Now()}
	applied := k.Status.LastAppliedRevision
	err := r.reconcile(ctx)
	if stopping(ctx) {
		return ctrl.Result{}, nil
	}
	k.Status.LastHandledReconcileAt = handled(k)
	result := ctrl.Result{RequeueAfter: k.Spec.Interval.Duration}
	if err != nil {
		var f *failure
		if !errors.As(err, &f) {
			f = &failure{reason: meta.ReconciliationFailedReason, err: err}
		}
		condition(&k.Status.Conditions, k, no(meta.ReadyCondition, f.reason, f.Error()))
		if c := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReconcilingCondition); c != nil {
			condition(&k.Status.Conditions, k, yes(meta.ReconcilingCondition, meta.ProgressingWithRetryReason, c.Message))
		}
		result.RequeueAfter = k.GetRetryInterval()
		if f.again > 0 {
			result.RequeueAfter = f.again
		}
		s.Log.Warn("apply", "object", req, "revision", k.Status.LastAttemptedRevision, "error", err)
	} else {
		apimeta.RemoveStatusCondition(&k.Status.Conditions, meta.ReconcilingCondition)
		k.Status.ObservedGeneration = k.Generation
		if applied != k.Status.LastAppliedRevision {
			s.Log.Info("apply", "object", req, "revision", k.Status.LastAppliedRevision, "took",
				time.Since(r.begin).Round(time.Millisecond))
		}
	}
	return result, r.saveStatus(ctx)
}

// run is one reconciliation of a Kustomization.
type run struct {
	*stand
	k *kustomizev1.Kustomization
	// was is the object with the status that the API server has.
	was   *kustomizev1.Kustomization
	begin time.Time
}

// saveStatus saves what was filled in since the last time.
func (r *run) saveStatus(ctx context.Context) error {
	if err := r.save(ctx, r.was, r.k, kustomizeManager); err != nil {
		return fmt.Errorf("save the status: %w", err)
	}
	r.was = r.k.DeepCopy()
	return nil
}

// record writes a line of the status' history.
func (r *run) record(digest, reason string) {
	metadata := map[string]string{"revision": r.k.Status.LastAttemptedRevision}
	r.k.Status.History.Upsert(digest, time.Now(), time.Since(r.begin), reason, metadata)
}

// source reads what is applied, and its revision.
func (r *run) source(ctx context.Context) (repo *sourcev1.GitRepository, revision string, err error) {
	repo = &sourcev1.GitRepository{}
	err = r.client.Get(ctx, sourceOf(r.k), repo)
	if apierrors.IsNotFound(err) {
		missing := fmt.Errorf("Source '%s' not found", r.k.Spec.SourceRef.String()) //nolint:staticcheck // Flux's words
		return nil, "", &failure{meta.ArtifactFailedReason, missing, r.DependencyWait}
	}
	if err != nil {
		return nil, "", failed(meta.ArtifactFailedReason, err)
	}
	if revision = revisionOf(repo); revision == "" {
		//nolint:staticcheck // Flux's words
		missing := fmt.Errorf("Source artifact not found, retrying in %s", r.DependencyWait)
		// The artifact wakes it. A retry besides would apply once more just after it, over a test's change by hand.
		return nil, "", &failure{meta.ArtifactFailedReason, missing, 24 * time.Hour}
	}
	return repo, revision, nil
}

func (r *run) reconcile(ctx context.Context) error {
	k := r.k
	repo, revision, err := r.source(ctx)
	if err != nil {
		return err
	}
	if err := r.dependencies(ctx, k, revision); err != nil {
		return &failure{meta.DependencyNotReadyReason, err, r.DependencyWait}
	}
	k.Status.LastAttemptedRevision = revision
	mirror := filepath.Join(r.Dir, "mirrors", repo.Namespace, repo.Name+".git")
	archive, err := r.archive(ctx, local(r.Dir), mirror, commitOf(revision))
	if err != nil {
		return failed(meta.ArtifactFailedReason, err)
	}
	objects, text, err := build(archive, k)
	if err != nil {
		return failed(meta.BuildFailedReason, err)
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(text))
	own(objects, k)
	if err := r.applying(ctx); err != nil {
		return err
	}
	if err := r.applyAll(ctx, objects, kustomizeManager); err != nil {
		r.record(digest, meta.ReconciliationFailedReason)
		return failed(meta.ReconciliationFailedReason, err)
	}
	var before []kustomizev1.ResourceRef
	if k.Status.Inventory != nil {
		before = k.Status.Inventory.Entries
	}
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: inventoryOf(objects)}
	if k.Spec.Prune {
		if err := r.prune(ctx, k, before, k.Status.Inventory.Entries); err != nil {
			r.record(digest, meta.PruneFailedReason)
			return failed(meta.PruneFailedReason, err)
		}
	}
	err = r.checkHealth(ctx, objects)
	var canceled *canceledError
	switch {
	case errors.As(err, &canceled):
		r.record(digest, healthCheckCanceled)
		return &failure{healthCheckCanceled, canceled, time.Millisecond}
	case err != nil:
		r.record(digest, meta.HealthCheckFailedReason)
		return failed(meta.HealthCheckFailedReason, err)
	}
	k.Status.LastAppliedRevision = revision
	condition(&k.Status.Conditions, k, yes(meta.ReadyCondition, meta.ReconciliationSucceededReason,
		"Applied revision: "+revision))
	r.record(digest, meta.ReconciliationSucceededReason)
	return nil
}

// applying shows that what runs is between two revisions for a moment.
func (r *run) applying(ctx context.Context) error {
	message := fmt.Sprintf("Detecting drift for revision %s with a timeout of %s", r.k.Status.LastAttemptedRevision,
		timeoutOf(r.k))
	condition(&r.k.Status.Conditions, r.k, unknown(meta.ReadyCondition, meta.ProgressingReason,
		"Reconciliation in progress"))
	condition(&r.k.Status.Conditions, r.k, yes(meta.ReconcilingCondition, meta.ProgressingReason, message))
	return r.saveStatus(ctx)
}

// dependencies reports which of a Kustomization's dependencies is not ready at this revision.
func (s *stand) dependencies(ctx context.Context, k *kustomizev1.Kustomization, revision string) error {
	for _, d := range k.Spec.DependsOn {
		if d.Namespace == "" {
			d.Namespace = k.Namespace
		}
		key := client.ObjectKey{Namespace: d.Namespace, Name: d.Name}
		var on kustomizev1.Kustomization
		if err := s.client.Get(ctx, key, &on); err != nil {
			return fmt.Errorf("dependency '%s' not found: %w", key, err)
		}
		ready := apimeta.IsStatusConditionTrue(on.Status.Conditions, meta.ReadyCondition)
		if !ready || on.Generation != on.Status.ObservedGeneration {
			return fmt.Errorf("dependency '%s' is not ready", key)
		}
		if sourceOf(&on) == sourceOf(k) && on.Status.LastAppliedRevision != revision {
			return fmt.Errorf("dependency '%s' revision is not up to date", key)
		}
	}
	return nil
}

// checkHealth waits for what is to be waited for, and shows that it does.
func (r *run) checkHealth(ctx context.Context, objects []*unstructured.Unstructured) error {
	k := r.k
	if !k.Spec.Wait {
		objects = nil
		for _, ref := range k.Spec.HealthChecks {
			o := &unstructured.Unstructured{}
			gv, err := schema.ParseGroupVersion(ref.APIVersion)
			if err != nil {
				return fmt.Errorf("read the health checks: %w", err)
			}
			o.SetGroupVersionKind(gv.WithKind(ref.Kind))
			o.SetNamespace(ref.Namespace)
			o.SetName(ref.Name)
			objects = append(objects, o)
		}
	}
	if len(objects) == 0 {
		apimeta.RemoveStatusCondition(&k.Status.Conditions, meta.HealthyCondition)
		return nil
	}
	begin := time.Now()
	message := fmt.Sprintf("Running health checks for revision %s with a timeout of %s", k.Status.LastAttemptedRevision,
		timeoutOf(k))
	condition(&k.Status.Conditions, k, unknown(meta.ReadyCondition, meta.ProgressingReason, "Reconciliation in progress"))
	condition(&k.Status.Conditions, k, yes(meta.ReconcilingCondition, meta.ProgressingReason, message))
	condition(&k.Status.Conditions, k, unknown(meta.HealthyCondition, meta.ProgressingReason, message))
	if err := r.saveStatus(ctx); err != nil {
		return err
	}
	if err := r.waitHealthy(ctx, objects, timeoutOf(k), r.trigger); err != nil {
		var canceled *canceledError
		if errors.As(err, &canceled) {
			r.Log.Warn("canceled", "object", canceled.trigger, "by", canceled.by)
			condition(&k.Status.Conditions, k, no(meta.HealthyCondition, healthCheckCanceled, err.Error()))
			return canceled
		}
		condition(&k.Status.Conditions, k, no(meta.HealthyCondition, meta.HealthCheckFailedReason, err.Error()))
		return fmt.Errorf("health check failed after %s: %w", time.Since(begin), err)
	}
	condition(&k.Status.Conditions, k, yes(meta.HealthyCondition, meta.SucceededReason,
		fmt.Sprintf("Health check passed in %s", time.Since(begin))))
	return nil
}

// healthCheckCanceled is the reason of a health check that was given up for a new reconciliation.
const healthCheckCanceled = "HealthCheckCanceled"

// trigger describes what enqueued the Kustomization since it was read; nil while nothing has.
func (r *run) trigger(ctx context.Context) *canceledError {
	if by := r.triggered(ctx, kustomizev1.KustomizationKind, r.k, &kustomizev1.Kustomization{}); by != nil {
		return by
	}
	var repo sourcev1.GitRepository
	if err := r.client.Get(ctx, sourceOf(r.k), &repo); err == nil &&
		revisionOf(&repo) != r.k.Status.LastAttemptedRevision {
		return &canceledError{"GitRepository/" + client.ObjectKeyFromObject(&repo).String(), "revision"}
	}
	return nil
}

// timeoutOf is the time of a health check. A real controller takes at least 30 s.
func timeoutOf(k *kustomizev1.Kustomization) time.Duration {
	if k.Spec.Timeout != nil {
		return k.Spec.Timeout.Duration
	}
	return k.GetTimeout()
}

// own labels what a Kustomization applies.
func own(objects []*unstructured.Unstructured, k *kustomizev1.Kustomization) {
	group := kustomizev1.GroupVersion.Group
	for _, o := range objects {
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[group+"/name"], labels[group+"/namespace"] = k.Name, k.Namespace
		o.SetLabels(labels)
	}
}
