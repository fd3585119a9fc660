package flux

import (
	"cmp"
	"context"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Undo gives the proof that a suspect's files may go back, as reconcile.Applies asks.
func (f *Flux) Undo(ctx context.Context, key reconcile.Key, fail v1alpha1.Failure, s v1alpha1.Suspect,
	with *types.NamespacedName,
) (reconcile.UndoProof, error) {
	ref := refTo(key.Subject.Kind, key.Namespace, key.Subject.Name)
	if f.options.Undo == nil {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "nothing proves what would be left of %s", ref)
	}
	var a inGit
	var u *Undoing
	var err error
	if fail.Rollout != nil {
		a, u, err = f.undoingWorkload(ctx, key, fail, with)
	} else if a, err = f.readInGit(ctx, ref, key.Namespace, with); err == nil && a.release != nil {
		u, err = a.undoingRelease(ref, fail, s)
	} else if err == nil {
		u, err = a.undoing(ref, fail)
	}
	if err != nil {
		return nil, err
	}
	u.Spec, u.Files = a.kustomization.Spec, s.Places
	for _, e := range kustomizeInventory(a.kustomization) {
		id, err := parseID(e.id)
		if err != nil {
			return nil, reconcile.NotUndone(v1alpha1.DoubtPrunes, "what %s would delete cannot be told: %s",
				a.kustomizationRef(), err)
		}
		u.Applied = append(u.Applied, reconcile.AppliedObject{
			Group: id.Group, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name,
		})
	}
	return f.options.Undo(ctx, a.origin.Source, u)
}

// undoing is what the proof goes by where a Kustomization fails.
func (a *inGit) undoing(ref v1alpha1.ObjectRef, fail v1alpha1.Failure) (*Undoing, error) {
	k := a.kustomization
	u := &Undoing{Good: a.commit(k.Status.LastAppliedRevision), Bad: a.commit(a.attempted())}
	if u.Good == "" || u.Bad == "" {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "%s does not say which commits it applied and attempted",
			ref)
	}
	if fail.Cause != v1alpha1.CauseNotBuilt {
		if u.Object = fail.Apply.Object; u.Object == nil {
			return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "it does not say which object is refused")
		}
	}
	for _, h := range k.Status.History {
		if h.LastReconciledStatus == meta.ReconciliationSucceededReason &&
			h.Metadata["revision"] == k.Status.LastAppliedRevision {
			u.Digests = append(u.Digests, h.Digest)
		}
	}
	if len(u.Digests) == 0 {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "%s keeps no digest of what it applied well at %s",
			ref, tell(k.Status.LastAppliedRevision))
	}
	return u, nil
}

// undoingRelease is the same where Helm cannot make a release. What was released well is what Git said before the one
// commit that changed it since.
func (a *inGit) undoingRelease(ref v1alpha1.ObjectRef, fail v1alpha1.Failure, s v1alpha1.Suspect) (*Undoing, error) {
	hr, k := a.release, a.kustomization
	if why := onlyTold(hr); why != "" {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "%s: %s", ref, why)
	}
	revision, good := appliedRevision(k), lastGood(hr)
	u := &Undoing{
		Good: s.Parent, Bad: a.commit(revision), Object: &ref,
		Release: &reconcile.Released{Digest: good.ConfigDigest, Chart: good.ChartVersion, OCI: good.OCIDigest},
	}
	if releases(fail.Apply.Reason) {
		u.Release.Attempted = hr.Status.LastAttemptedConfigDigest
	}
	if u.Good == "" || u.Bad == "" {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "%s does not say which commit it applied",
			a.kustomizationRef())
	}
	for _, h := range k.Status.History {
		if h.Metadata["revision"] == revision {
			u.Digests = append(u.Digests, h.Digest)
		}
	}
	if len(u.Digests) == 0 {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "%s keeps no digest of what it applied at %s",
			a.kustomizationRef(), tell(revision))
	}
	return u, nil
}

// onlyTold explains why what a HelmRelease cannot release is told and not reverted; empty where it may be.
func onlyTold(hr *helmv2.HelmRelease) string {
	good := lastGood(hr)
	if good == nil || good.ConfigDigest == "" {
		return "none of its releases is known to have been deployed well"
	}
	switch chart, ref := hr.Spec.Chart, hr.Spec.ChartRef; {
	case ref != nil && ref.Kind != kindOCIRepository, ref == nil && chart == nil,
		chart != nil && chart.Spec.SourceRef.Kind != sourcev1.HelmRepositoryKind:
		return "what its chart is made of has no version that Git says"
	case chart != nil && strings.ContainsAny(cmp.Or(chart.Spec.Version, "*"), versionRange):
		return "its chart moves within a range"
	}
	if slices.ContainsFunc(hr.Spec.ValuesFrom, func(v meta.ValuesReference) bool { return v.Kind != "ConfigMap" }) {
		return "it takes values from a Secret, which is not read"
	}
	return ""
}
