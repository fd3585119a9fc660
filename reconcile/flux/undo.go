package flux

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Undo gives the proof that a suspect's files may go back, as reconcile.Applies asks.
func (f *Flux) Undo(ctx context.Context, key reconcile.Key, fail v1alpha1.Failure, s v1alpha1.Suspect,
	with *types.NamespacedName,
) (reconcile.UndoProof, error) {
	ref := refTo(key.Subject.Kind, key.Namespace, key.Subject.Name)
	if f.options.Undo == nil || ref.Kind != kindKustomization {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "nothing proves what would be left of %s", ref)
	}
	a, err := f.readInGit(ctx, ref, key.Namespace, with)
	if err != nil {
		return nil, err
	}
	k := a.kustomization
	u := &Undoing{
		Good: a.commit(k.Status.LastAppliedRevision), Bad: a.commit(a.attempted()),
		Spec: k.Spec, Files: s.Nodes,
	}
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
	for _, e := range kustomizeInventory(k) {
		id, err := parseID(e.id)
		if err != nil {
			return nil, reconcile.NotUndone(v1alpha1.DoubtPrunes, "what %s would delete cannot be told: %s", ref, err)
		}
		u.Applied = append(u.Applied, reconcile.AppliedObject{
			Group: id.Group, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name,
		})
	}
	return f.options.Undo(ctx, a.origin.Source, u)
}
