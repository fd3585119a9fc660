package reconcile

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Applies reads the Flux objects that apply what Git says.
type Applies interface {
	// Reconciler reads a Kustomization or a HelmRelease; nil where the key is about an object of another kind.
	Reconciler(ctx context.Context, key Key) (*Reconciler, error)
	// Blame finds the commit at which what fails broke. A Refusal explains why none can be looked for. with is as in
	// Origin.
	Blame(ctx context.Context, key Key, f v1alpha1.Failure, with *types.NamespacedName) (Blamed, error)
	// Undo reads what is to be kept of what was applied well, and gives the proof that reverting the suspect's files
	// keeps it. A Refusal explains why it has none.
	Undo(ctx context.Context, key Key, f v1alpha1.Failure, s v1alpha1.Suspect, with *types.NamespacedName,
	) (UndoProof, error)
}

// Reconciler is a Kustomization or a HelmRelease as it says that it is now.
type Reconciler struct {
	// Ref of the object, its UID and its labels.
	Ref    v1alpha1.ObjectRef
	UID    types.UID
	Labels map[string]string
	// Says is what its annotation RollbackAnnotation says; empty where it has none. Preferences are that and what its
	// namespace says.
	Says        string
	Preferences map[string]Preference
	// Gone means that it does not exist.
	Gone bool
	// Idle means that nothing can be told of it now: it is suspended, is being deleted or at work, or has not looked at
	// its newest spec.
	Idle bool
	// Ready means that what it attempted last is applied.
	Ready bool
	// Failed is the condition that explains why it is not; nil where none does.
	Failed *Condition
	// Revision that was attempted last, and LastApplied that was applied last without an error.
	Revision, LastApplied string
	// Unchanged explains why nothing in Git can have broken it; empty where something may have.
	Unchanged string
}

// Condition is why something is not ready, in another controller's words.
type Condition struct {
	Reason, Message string
	// At is since when it says so.
	At time.Time
}

// PastCommit is a commit as people know it.
type PastCommit struct {
	// Commit and Parent are full hashes; Parent is the first one.
	Commit, Parent string
	// Subject, Author and When are as the commit says. The first two are data.
	Subject, Author string
	When            time.Time
}

// Blamed is what a search for the commit that broke something found.
type Blamed struct {
	// Source and Branch that were searched, and By who applies them.
	Source v1alpha1.ObjectRef
	Branch string
	By     v1alpha1.ObjectRef
	// Suspect is the one commit that did it; nil where none can be named.
	Suspect *PastCommit
	// ChangedBy are the commits at which what fails changed, oldest first.
	ChangedBy []PastCommit
	// Why explains why no single commit is named; empty where one is.
	Why string
	// Files of the suspect that may go back, and SharedBy who else applies them; none where it is only told.
	Files    []v1alpha1.Place
	SharedBy []v1alpha1.ObjectRef
	// SharedWith are other namespaces that those apply into.
	SharedWith []string
}

// AppliedObject is an object that a Kustomization applies.
type AppliedObject struct{ Group, Kind, Namespace, Name string }

func (o AppliedObject) String() string {
	return v1alpha1.ObjectRef{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}.String()
}

// Released is what a HelmRelease says of its releases, as far as an undo by files is proved by it.
type Released struct {
	// Digest is that of the values of the release that was last deployed well, Chart the version of its chart, and OCI
	// the digest of the artifact that the chart came from; empty where it came from none.
	Digest, Chart, OCI string
	// Attempted is the digest of the values that fail; empty where they were not read.
	Attempted string
}
