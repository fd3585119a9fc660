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
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

var _ reconcile.Applies = (*Flux)(nil)

// Reconciler reads a Kustomization or a HelmRelease, as reconcile.Applies asks.
func (f *Flux) Reconciler(ctx context.Context, key reconcile.Key) (*reconcile.Reconciler, error) {
	group, _, _ := strings.Cut(key.Subject.APIVersion, "/")
	ref := refTo(key.Subject.Kind, key.Namespace, key.Subject.Name)
	out := &reconcile.Reconciler{Ref: ref}
	switch {
	case ref.Kind == kindKustomization && group == kustomizev1.GroupVersion.Group:
		var k kustomizev1.Kustomization
		if err := f.get(ctx, ref, &k); err != nil {
			return goneReconciler(out, err)
		}
		describeReconciler(out, &k, k.Spec.Suspend, k.Status.ObservedGeneration, k.Status.Conditions)
		out.Revision, out.LastApplied = k.Status.LastAttemptedRevision, k.Status.LastAppliedRevision
		if folderMissing(&k) {
			// It is attempted only once its folder is there.
			src, err := f.deployedSource(ctx, sourceRef(&k))
			if err != nil {
				return goneReconciler(out, err)
			}
			out.Revision = src.revision()
		}
		if out.Revision != "" && out.Revision == out.LastApplied {
			out.Unchanged = "what fails is the revision that was applied well before"
		}
	case ref.Kind == kindHelmRelease && group == helmv2.GroupVersion.Group:
		var hr helmv2.HelmRelease
		if err := f.get(ctx, ref, &hr); err != nil {
			return goneReconciler(out, err)
		}
		describeReconciler(out, &hr, hr.Spec.Suspend, hr.Status.ObservedGeneration, hr.Status.Conditions)
		released(out, &hr)
		// Helm has attempted nothing of what fails before it looks at its chart.
		if out.Failed != nil && releases(out.Failed.Reason) {
			var err error
			if out.Unchanged, err = f.unchanged(ctx, &hr); err != nil {
				return nil, err
			}
		}
	default:
		return nil, nil
	}
	return out, nil
}

// releases reports whether a reason is that of an attempt of Helm's.
func releases(reason string) bool {
	return reason == helmv2.InstallFailedReason || reason == helmv2.UpgradeFailedReason ||
		reason == helmv2.TestFailedReason
}

func goneReconciler(out *reconcile.Reconciler, err error) (*reconcile.Reconciler, error) {
	if apierrors.IsNotFound(err) {
		out.Gone = true
		return out, nil
	}
	if _, refused := reconcile.AsRefusal(err); refused {
		// What may not be read tells nothing.
		out.Idle = true
		return out, nil
	}
	return nil, err
}

// describeReconciler takes over what objects of both kinds say alike.
func describeReconciler(out *reconcile.Reconciler, o client.Object, suspend bool, observed int64,
	conditions []metav1.Condition,
) {
	out.UID, out.Labels, out.Says = o.GetUID(), o.GetLabels(), o.GetAnnotations()[reconcile.RollbackAnnotation]
	ready := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	if ready != nil && ready.ObservedGeneration != 0 {
		// What fails is not observed as far as the status as a whole says: the condition knows better.
		observed = ready.ObservedGeneration
	}
	out.Idle = suspend || o.GetDeletionTimestamp() != nil || observed != o.GetGeneration() || ready == nil
	switch {
	case out.Idle:
	case ready.Status == metav1.ConditionTrue:
		out.Ready = true
	case ready.Status == metav1.ConditionFalse:
		out.Failed = &reconcile.Condition{Reason: ready.Reason, Message: ready.Message, At: ready.LastTransitionTime.Time}
	default:
		out.Idle = true
	}
}

// released fills in what a HelmRelease says of its releases. Whether Helm went back or has used up its retries, what
// failed stands in the condition Released, or in TestSuccess where its tests did.
func released(out *reconcile.Reconciler, hr *helmv2.HelmRelease) {
	out.Revision = hr.Status.LastAttemptedRevision
	good := lastGood(hr)
	if good != nil {
		out.LastApplied = good.ChartVersion
	}
	if out.Failed == nil {
		return
	}
	switch out.Failed.Reason {
	case helmv2.RollbackSucceededReason, helmv2.UninstallSucceededReason, helmv2.RollbackFailedReason,
		helmv2.UninstallFailedReason, "RetriesExceeded", "MissingRollbackTarget":
		if c := apimeta.FindStatusCondition(hr.Status.Conditions, helmv2.ReleasedCondition); c != nil &&
			c.Status == metav1.ConditionFalse {
			out.Failed.Reason, out.Failed.Message = c.Reason, c.Message
			return
		}
		if c := apimeta.FindStatusCondition(hr.Status.Conditions, helmv2.TestSuccessCondition); c != nil &&
			c.Status == metav1.ConditionFalse {
			out.Failed.Reason, out.Failed.Message = c.Reason, c.Message
		}
	}
}

// unchanged explains why nothing in Git can have broken a release; empty where something may have.
func (f *Flux) unchanged(ctx context.Context, hr *helmv2.HelmRelease) (string, error) {
	good := lastGood(hr)
	if good == nil || good.ConfigDigest == "" || good.ConfigDigest != hr.Status.LastAttemptedConfigDigest {
		return "", nil
	}
	chart, _, _ := strings.Cut(hr.Status.LastAttemptedRevision, "+")
	was, _, _ := strings.Cut(good.ChartVersion, "+")
	if chart == was {
		return fmt.Sprintf("release v%d of the same chart with the same values was deployed well", good.Version), nil
	}
	ranges, err := f.chartRange(ctx, hr)
	if err != nil || ranges == "" {
		return "", err
	}
	return fmt.Sprintf("the values are those of release v%d, and the chart moved from %s to %s within %s: "+
		"pin it to %s in Git", good.Version, tell(was), tell(chart), tell(ranges), tell(was)), nil
}

// versionRange are the signs by which a range of versions is told from one version.
const versionRange = "*xX^~><=|, "

// chartRange is the range of versions that a release takes its chart from, so that the chart moves without a commit;
// empty where Git names one version, or nobody can tell.
func (f *Flux) chartRange(ctx context.Context, hr *helmv2.HelmRelease) (string, error) {
	if hr.Spec.Chart != nil {
		if v := hr.Spec.Chart.Spec.Version; v == "" || strings.ContainsAny(v, versionRange) {
			return cmp.Or(v, "*"), nil
		}
		return "", nil
	}
	ref := hr.Spec.ChartRef
	if ref == nil || ref.Kind != kindOCIRepository {
		return "", nil
	}
	var repo sourcev1.OCIRepository
	err := f.get(ctx, refTo(ref.Kind, cmp.Or(ref.Namespace, hr.Namespace), ref.Name), &repo)
	if _, refused := reconcile.AsRefusal(err); refused || apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil || repo.Spec.Reference == nil {
		return "", err
	}
	return repo.Spec.Reference.SemVer, nil
}

// partsOf are the objects in Git that a release takes its values and its chart from.
func partsOf(hr *helmv2.HelmRelease) []v1alpha1.ObjectRef {
	var out []v1alpha1.ObjectRef
	for _, v := range hr.Spec.ValuesFrom {
		out = append(out, refTo(v.Kind, hr.Namespace, v.Name))
	}
	if ref := hr.Spec.ChartRef; ref != nil {
		out = append(out, refTo(ref.Kind, cmp.Or(ref.Namespace, hr.Namespace), ref.Name))
	}
	return out
}

// lastGood is the newest release that was deployed well; nil where there is none.
func lastGood(hr *helmv2.HelmRelease) *helmv2.Snapshot {
	for _, s := range hr.Status.History {
		if deployedWell(hr, s) {
			return s
		}
	}
	return nil
}

// deployedWell reports whether a release was deployed, and did not fail its tests where these count.
func deployedWell(hr *helmv2.HelmRelease, s *helmv2.Snapshot) bool {
	if s == nil || s.Status != "deployed" && s.Status != "superseded" {
		return false
	}
	ignored := hr.GetTest().IgnoreFailures
	if r := hr.GetActiveRemediation(); r != nil {
		ignored = r.MustIgnoreTestFailures(ignored)
	}
	return ignored || !s.HasTestInPhase("Failed")
}

// wellAt is when a release was last deployed well of what Git said; zero where it never was. To what Helm went back by
// itself says when it did, which is after the commit that broke it.
func wellAt(hr *helmv2.HelmRelease) (time.Time, error) {
	if lastGood(hr) == nil {
		return time.Time{}, nil
	}
	for i, s := range hr.Status.History {
		if !deployedWell(hr, s) || s.Action == helmv2.ReleaseActionRollback {
			continue
		}
		// An older helm-controller does not say what it did.
		after := slices.ContainsFunc(hr.Status.History[i+1:], func(o *helmv2.Snapshot) bool {
			return o != nil && o.Version == s.Version-1 && !deployedWell(hr, o)
		})
		if s.Action != "" || !after {
			return s.LastDeployed.Time, nil
		}
	}
	return time.Time{}, reconcile.Refuse("Helm went back by itself, and its history does not tell when %s was deployed "+
		"well before", refTo(kindHelmRelease, hr.Namespace, hr.Name))
}

// Blame finds the commit that broke what a Flux object applies, as reconcile.Applies asks.
func (f *Flux) Blame(ctx context.Context, key reconcile.Key, fail v1alpha1.Failure, with *types.NamespacedName,
) (reconcile.Blamed, error) {
	ref := refTo(key.Subject.Kind, key.Namespace, key.Subject.Name)
	out := reconcile.Blamed{By: ref}
	if f.options.Blame == nil {
		return out, reconcile.Refuse("Git is not read here")
	}
	if fail.Rollout != nil {
		return f.blameWorkload(ctx, key, fail, with)
	}
	a, err := f.readInGit(ctx, ref, key.Namespace, with)
	if err != nil {
		return out, err
	}
	k := a.kustomization
	s := &Suspicion{Spec: k.Spec, Bad: a.commit(a.attempted())}
	switch {
	case a.release != nil:
		if s, err = a.sinceReleased(ref); err != nil {
			return out, err
		}
		s.Files = f.options.Undo != nil && onlyTold(a.release) == ""
	default:
		s.Good = a.commit(k.Status.LastAppliedRevision)
		if s.Good == "" {
			return out, reconcile.Refuse("%s was never applied well, so there is nothing to compare with", ref)
		}
		if fail.Cause != v1alpha1.CauseNotBuilt {
			if fail.Apply.Object == nil {
				return out, reconcile.Refuse("it does not say which object is refused")
			}
			s.Object = fail.Apply.Object
		}
		s.Files, s.Others = f.options.Undo != nil, a.origin.Others
	}
	return f.blamed(ctx, &a, ref, key.Namespace, s)
}

// sinceReleased asks for the commit that changed a HelmRelease since it was released well. What is rendered is the
// HelmRelease, and never what its chart makes.
func (a *inGit) sinceReleased(ref v1alpha1.ObjectRef) (*Suspicion, error) {
	k := a.kustomization
	after, err := wellAt(a.release)
	return &Suspicion{
		Spec: k.Spec, Bad: a.commit(appliedRevision(k)), Object: &ref, Also: partsOf(a.release), After: after,
		Others: a.origin.Others,
	}, err
}

// blamed searches for the commit that broke what an object applies.
func (f *Flux) blamed(ctx context.Context, a *inGit, by v1alpha1.ObjectRef, namespace string, s *Suspicion,
) (reconcile.Blamed, error) {
	if s.Bad == "" {
		return reconcile.Blamed{By: by}, reconcile.Refuse("%s does not say which commit it attempted", a.kustomizationRef())
	}
	src := a.origin.Source
	found, err := f.options.Blame(ctx, src, s)
	found.By, found.Branch = by, src.Branch
	found.SharedWith = reconcile.SharedWith(found.SharedBy, a.origin.Lands, namespace)
	found.Source = refTo(kindGitRepository, src.Name.Namespace, src.Name.Name)
	return found, err
}

// folderMissing reports whether a Kustomization says that its folder is not in what was fetched.
func folderMissing(k *kustomizev1.Kustomization) bool {
	ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == meta.ArtifactFailedReason &&
		strings.HasPrefix(ready.Message, "kustomization path not found")
}

// attempted is the revision that fails.
func (a *inGit) attempted() string {
	if folderMissing(a.kustomization) {
		return a.src.revision()
	}
	return a.kustomization.Status.LastAttemptedRevision
}

// inGit is a Flux object that applies, with the Git that it applies from.
type inGit struct {
	place
	origin reconcile.Origin
	src    deployed
}

// readInGit reads a Flux object that applies, and the Git that it applies from. with is as in Origin.
func (f *Flux) readInGit(ctx context.Context, ref v1alpha1.ObjectRef, namespace string, with *types.NamespacedName,
) (inGit, error) {
	p, err := f.placeOfReconciler(ctx, ref, time.Time{})
	if err != nil {
		return inGit{}, err
	}
	return f.placeInGit(ctx, p, namespace, with)
}

// placeInGit is a place with the Git that it is applied from.
func (f *Flux) placeInGit(ctx context.Context, p place, namespace string, with *types.NamespacedName) (inGit, error) {
	out, err := inGit{place: p}, error(nil)
	if out.origin, err = f.assemble(ctx, request{place: p, namespace: namespace, with: with}); err != nil {
		return out, err
	}
	out.src, err = f.deployedSource(ctx, sourceRef(p.kustomization))
	return out, err
}

// commit is that of a revision.
func (a *inGit) commit(revision string) string { return commitOf(a.kustomization, a.src, revision) }
