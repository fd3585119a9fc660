package trace

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/program"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/registry"
)

// Gatherer reads facts: from the API server, the Git server and the registry, all at once where nothing depends on
// anything else, and nothing of the cluster that the workload has nothing to do with.
type Gatherer struct {
	Client client.Reader
	Flux   *flux.Flux
	// Git keeps what was cloned between two looks.
	Git      *gitrepo.Mirrors
	Registry *registry.Registry
	// Logins are the user's own credentials for the registry of an image.
	Logins func(ctx context.Context, image string) reconcile.Access
	Now    func() time.Time
	// Program is what the reader types before a command.
	Program program.Name
	// History is how many changes of the image are looked for in Git; 0 for none.
	History int
}

// shared is what all containers of a workload have in common.
type shared struct {
	g   *Gatherer
	q   Question
	obj *unstructured.Unstructured
	now time.Time

	line  flux.Line
	state reconcile.WorkloadState
	// with is the GitRepository that a RollbackPolicy names; nil for none.
	with      *types.NamespacedName
	pods      *pods
	canary    *Canary
	rollbacks []v1alpha1.Rollback
	// applies are about what applies the workload.
	applies []v1alpha1.Rollback
	// noRollbacks explains why they were not read.
	noRollbacks string
}

// Question is what is traced: a workload, or one container of it, and the image where one is asked for.
type Question struct {
	Namespace string
	Workload  v1alpha1.Workload
	// Container; empty for all of them.
	Container string
	// Image that is asked for; empty for what the workload should run.
	Image string
}

// pods are a workload's pods and the platforms of the nodes that they are on.
type pods struct {
	unread    string
	all       []corev1.Pod
	platforms []string
	// nodesUnread means that the user may not read them.
	nodesUnread bool
}
