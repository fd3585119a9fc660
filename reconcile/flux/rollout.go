package flux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// originRevision is where an OCI artifact says which commit it was built from.
const originRevision = "org.opencontainers.image.revision"

// Rollout says how far the landed commit got, as reconcile.Flux asks.
func (f *Flux) Rollout(ctx context.Context, form *v1alpha1.Rollback, contains func(tip, commit string) (bool, error),
) (reconcile.Rollout, error) {
	s := &form.Status
	switch {
	case s.Suspect == nil || s.Landed == nil && s.Verdict == nil:
		return reconcile.Rollout{}, errors.New("read the rollout: the Rollback has not landed yet")
	case s.Landed == nil:
		return f.restoring(ctx, s, reached(s.Suspect.Commit, contains))
	}
	var out reconcile.Rollout
	p, err := f.placeOfApplier(ctx, s.Suspect.Applier)
	why, refused := reconcile.AsRefusal(err)
	switch {
	case refused:
		out.Waits = why
	case err != nil:
		return out, err
	default:
		if err := f.arrival(ctx, &out, p, reached(s.Landed.Commit, contains)); err != nil {
			return out, err
		}
	}
	if err := f.states(ctx, &out, p, form); err != nil {
		return out, err
	}
	if out.Attempted == "" && out.Waits == "" && p.kustomization != nil && f.wordless(ctx, p) {
		out.Contains = arrived(out.Workloads)
	}
	return out, nil
}

// reached answers whether a commit that was fetched or attempted contains the landed one, and asks for each only once.
// What cannot be told is not contained, and why says so: a commit that a force push took away is known to nobody any
// more, and must not keep the rest from being seen.
func reached(landed string, contains func(tip, commit string) (bool, error)) func(tip string) (has bool, why string) {
	type answer struct {
		has bool
		why string
	}
	known := map[string]answer{"": {}, landed: {has: true}}
	return func(tip string) (bool, string) {
		a, ok := known[tip]
		if !ok {
			has, err := contains(tip, landed)
			a.has = has && err == nil
			if err != nil {
				a.why = fmt.Sprintf("it cannot be told whether %s contains %s: %s", tip, landed, tell(err.Error()))
			}
			known[tip] = a
		}
		return a.has, a.why
	}
}

// arrival reads the source and the appliers.
func (f *Flux) arrival(ctx context.Context, out *reconcile.Rollout, p place, has func(string) (bool, string)) error {
	ref := sourceRef(p.kustomization)
	src, err := f.deployedSource(ctx, ref)
	switch {
	case apierrors.IsNotFound(err):
		out.Source = ref.String() + " does not exist any more"
	case err != nil:
		if why, refused := reconcile.AsRefusal(err); refused {
			out.Source = why
			break
		}
		return err
	}
	var unknown string
	if out.Way, err = f.wayOf(ctx, p, src, way{has: has}); err != nil {
		return err
	}
	out.Fetched, unknown = has(src.commit())
	if !out.Fetched {
		out.Source = cmp.Or(out.Source, src.says(), unknown)
	}
	out.Attempted = commitOf(p.kustomization, src, p.kustomization.Status.LastAttemptedRevision)
	out.Contains, unknown = has(out.Attempted)
	if !out.Contains {
		out.Waits, out.WaitsUntil, err = f.kustomizationWaits(ctx, p.kustomization, out.Fetched)
		out.Waits = cmp.Or(out.Waits, unknown)
		return err
	}
	out.Waits = notApplied(p.kustomization)
	if p.release != nil && p.release.Status.LastAttemptedGeneration != p.release.Generation {
		out.Contains = false
		out.Waits, out.WaitsUntil = releaseWaits(p.release)
	}
	return nil
}

// deployed is a source object as far as the rollout needs it.
type deployed struct {
	ref        v1alpha1.ObjectRef
	artifact   *meta.Artifact
	conditions []metav1.Condition
	suspended  bool
	// git is the GitRepository; nil for a source of another kind.
	git *sourcev1.GitRepository
}

// deployedSource reads what a Kustomization is deployed from. An ExternalArtifact is not read: what it says of its
// origin is up to whoever makes it.
func (f *Flux) deployedSource(ctx context.Context, ref v1alpha1.ObjectRef) (deployed, error) {
	out := deployed{ref: ref}
	switch ref.Kind {
	case kindGitRepository:
		var o sourcev1.GitRepository
		if err := f.get(ctx, ref, &o); err != nil {
			return out, err
		}
		out.artifact, out.conditions, out.suspended = o.Status.Artifact, o.Status.Conditions, o.Spec.Suspend
		out.git = &o
	case kindOCIRepository:
		var o sourcev1.OCIRepository
		if err := f.get(ctx, ref, &o); err != nil {
			return out, err
		}
		out.artifact, out.conditions, out.suspended = o.Status.Artifact, o.Status.Conditions, o.Spec.Suspend
	case kindBucket:
		var o sourcev1.Bucket
		if err := f.get(ctx, ref, &o); err != nil {
			return out, err
		}
		out.artifact, out.conditions, out.suspended = o.Status.Artifact, o.Status.Conditions, o.Spec.Suspend
	}
	return out, nil
}

// origin is the Git revision of the source's artifact; empty where it names none.
func (d deployed) origin() string {
	if d.artifact == nil {
		return ""
	}
	if d.ref.Kind == kindGitRepository {
		return d.artifact.Revision
	}
	return d.artifact.Metadata[originRevision]
}

func (d deployed) commit() string { return parseRevision(d.origin()).Commit }

// says is why the source has not fetched what was pushed; empty when it gives no reason.
func (d deployed) says() string {
	if d.suspended {
		return fmt.Sprintf("%s is suspended and fetches nothing: %s", d.ref, resume(d.ref))
	}
	for _, c := range d.conditions {
		switch {
		case c.Type == sourcev1.SourceVerifiedCondition && c.Status == metav1.ConditionFalse:
			return fmt.Sprintf("%s refuses the commit's signature: %s", d.ref, tell(c.Message))
		case c.Type == sourcev1.FetchFailedCondition && c.Status == metav1.ConditionTrue:
			return fmt.Sprintf("%s cannot be fetched: %s", d.ref, tell(c.Message))
		case c.Type == sourcev1.StorageOperationFailedCondition && c.Status == metav1.ConditionTrue:
			return fmt.Sprintf("%s cannot be stored: %s", d.ref, tell(c.Message))
		}
	}
	if c := apimeta.FindStatusCondition(d.conditions, meta.ReadyCondition); c != nil &&
		c.Status == metav1.ConditionFalse {
		return fmt.Sprintf("%s is not ready: %s", d.ref, tell(c.Message))
	}
	return ""
}

// commitOf is the Git commit of a revision that a Kustomization applied or tried to. An artifact that is no Git
// repository's says in its metadata which commit it was built from: the source's artifact, the history or the last
// apply tell.
func commitOf(k *kustomizev1.Kustomization, src deployed, rev string) string {
	if src.ref.Kind == kindGitRepository {
		return parseRevision(rev).Commit
	}
	if rev == "" {
		return ""
	}
	origin := ""
	switch {
	case src.artifact != nil && src.artifact.Revision == rev:
		origin = src.origin()
	case k.Status.LastAppliedRevision == rev:
		origin = k.Status.LastAppliedOriginRevision
	}
	for _, h := range k.Status.History {
		if origin == "" && h.Metadata["revision"] == rev {
			origin = h.Metadata["originRevision"]
		}
	}
	return parseRevision(origin).Commit
}

// attemptedOf is the commit that was attempted last, without a look at the source's artifact.
func attemptedOf(k *kustomizev1.Kustomization, ref v1alpha1.ObjectRef) string {
	return commitOf(k, deployed{ref: ref}, k.Status.LastAttemptedRevision)
}

// wordless says whether a source names no commit at all, so that only the workloads themselves can tell.
func (f *Flux) wordless(ctx context.Context, p place) bool {
	ref := sourceRef(p.kustomization)
	if ref.Kind == kindGitRepository {
		return false
	}
	src, err := f.deployedSource(ctx, ref)
	return err == nil && strings.TrimSpace(src.origin()) == ""
}

// arrived says whether no workload's template names the bad image any more.
func arrived(states []reconcile.WorkloadState) bool {
	for _, s := range states {
		if !s.Gone && !s.Complete {
			return false
		}
	}
	return len(states) > 0
}
