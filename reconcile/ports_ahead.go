package reconcile

import (
	"context"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Forwarder sets images on workloads ahead of Flux.
type Forwarder interface {
	// Ahead reads what a fast-forward of a landed Rollback goes by. contains answers whether a revision's commit contains
	// another.
	Ahead(ctx context.Context, rb *v1alpha1.Rollback, contains func(tip, commit string) (bool, error)) (*Ahead, error)
	// Wanted fills in what Git says of a workload now.
	Wanted(ctx context.Context, rb *v1alpha1.Rollback, src Source, o AheadWorkload) (AheadWorkload, error)
	// Set gives a workload the images that are wanted, if it still is as it was read; a RetryAfter where it is not.
	Set(ctx context.Context, namespace string, o AheadWorkload) error
	// Disown takes Backstop's entry out of a workload's managedFields; one that is gone is no error.
	Disown(ctx context.Context, namespace string, of v1alpha1.Workload) error
}

// Ahead is what a fast-forward goes by: the landed revert is there for Flux to apply, and Flux is still in the health
// check of another revision. It is read live, right before it is decided.
type Ahead struct {
	// Held means that it is so.
	Held bool
	// Since is when this process first saw it.
	Since time.Time
	// Checked is the revision whose check runs, as Flux writes it.
	Checked string
	// Installed means that Backstop has the rights of components/fast-forward, and OptedIn that the namespace's label
	// allows it.
	Installed, OptedIn bool
	// Suspended is what keeps Flux from applying anything; empty where nothing does.
	Suspended []v1alpha1.ObjectRef
	// Remote means that the Kustomization or the HelmRelease applies to another cluster.
	Remote bool
	// Dependents are the objects that wait for the Kustomization or the HelmRelease to be ready.
	Dependents []Dependent
	// Release is the HelmRelease that applies the workloads; nil where a Kustomization does.
	Release *AheadRelease
	// Workloads that failed, as they are now.
	Workloads []AheadWorkload
}

// Dependent waits for another object to be ready.
type Dependent struct {
	Object v1alpha1.ObjectRef
	// Expr means that it has an expression of its own for that, OtherSource that it is deployed from another source: both
	// may take the bad revision for a good one.
	Expr, OtherSource bool
}

// AheadRelease is what a HelmRelease says of itself.
type AheadRelease struct {
	Object v1alpha1.ObjectRef
	// OptedIn means that its owner allows it, NoHooks that no hook of its chart runs.
	OptedIn, NoHooks bool
	// Tests and Drift say that it runs tests, and that it corrects drift.
	Tests, Drift bool
}

// AheadWorkload is a workload whose image may be set.
type AheadWorkload struct {
	// Workload with the UID that it has now.
	Workload v1alpha1.Workload
	// Gone means that it does not exist any more.
	Gone bool
	// Elsewhere tells who applies it, where that is not the suspect's Kustomization or HelmRelease; empty where it is.
	Elsewhere string
	// LeftAlone is the mark by which Flux is told not to touch it as usual; empty for none.
	LeftAlone string
	// Paused, ByHand and Partition are what keeps a rollout from replacing pods by itself.
	Paused, ByHand, Partition bool
	// Ordered means that a pod that cannot start keeps the others from being replaced.
	Ordered bool
	// Canary is who shifts traffic to it, such as Canary/web; empty for nobody.
	Canary string
	// Differs tells what of the workload is not as Git says beside the images of Containers, or why that cannot be told;
	// empty where nothing is. Only Wanted fills it.
	Differs string
	// Ours means that Backstop set its images, and does not know it any more.
	Ours bool
	// Containers that failed and still have the bad image, or ours.
	Containers []AheadContainer
}

// AheadContainer is a container of a workload's template.
type AheadContainer struct {
	Name string
	// Init means that it is among the initContainers, and Index where.
	Init  bool
	Index int
	// Live is its image. Want is the one that Git says; only Wanted fills it.
	Live, Want string
}

// ForwardedBy is the field manager of a fast-forward. kustomize-controller takes what managers wrote whose names begin
// with kubectl into its own entry at its next apply: no ghost owner keeps a container that Git renames later.
const ForwardedBy = "kubectl-backstop"

// The label of a namespace and the annotation of a HelmRelease that allow it, and their value.
const (
	FastForwardLabel   = "backstop.dev/fast-forward"
	FastForwardAllowed = "enabled"
)

// Forward is what a step of DoForward does to one workload: set its images, or write down why not.
type Forward struct {
	Workload AheadWorkload
	Checked  string
	Release  *v1alpha1.ObjectRef
	// Refused explains why not; empty to set them.
	Refused string
}
