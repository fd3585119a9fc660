package flux

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

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

// revision is that of the artifact; empty where there is none.
func (d deployed) revision() string {
	if d.artifact == nil {
		return ""
	}
	return d.artifact.Revision
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

// originRevision is where an OCI artifact says which commit it was built from.
const originRevision = "org.opencontainers.image.revision"
