package watcher

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/watcher/drift"
)

// drifts turns workloads that were changed by hand into keys. The watch brings the managedFields, so that all others
// cost nothing; what Git says of the few only requests can tell, so that it happens in workers of its own. What was
// found is remembered as long as it lasts: it is what is enqueued when it is over.
type drifts struct {
	queue workqueue.TypedRateLimitingInterface[v1alpha1.ObjectRef]
	turns *turns[v1alpha1.ObjectRef]
	lastFound[drifting]
}

// drifting is a container that runs something else than Git says.
type drifting struct {
	container, live string
	// git is the image that Git says; empty where that cannot be read.
	git string
}

func newDrifts(m *Metrics, tenant func(namespace string) string) *drifts {
	t := newTurns(func(ref v1alpha1.ObjectRef) string { return tenant(ref.Namespace) })
	q := newQueueOf("drifts", m, 100*time.Millisecond, 30*time.Second, t)
	return &drifts{queue: q, turns: t}
}

// of lists the workloads that were found to drift from what a key names.
func (d *drifts) of(key reconcile.Key) []v1alpha1.Workload {
	return d.workloads(func(ref v1alpha1.ObjectRef, found []drifting) bool {
		return ref.Namespace == key.Namespace &&
			slices.ContainsFunc(found, func(f drifting) bool { return f.git == key.Image() })
	})
}

// Wanter describes what a workload should run; a new one is made for each look.
type Wanter interface {
	Want(ctx context.Context, namespace string, w v1alpha1.Workload, since time.Time, containers map[string][]string,
	) (reconcile.Want, error)
}

// Walker takes a key as far as it can go. again is when to come back without being woken; zero means not at all.
type Walker interface {
	Walk(ctx context.Context, key reconcile.Key) (again time.Duration, err error)
}

// errApplying means that what runs is between two revisions.
var errApplying = errors.New("flux is applying")

// errUnsaid means that nothing tells what a workload should run.
var errUnsaid = errors.New("nothing tells what it should run")

// found is a drift of one container.
type found struct {
	container drift.Container
	drift.Finding
}

// applyingFor is after how long a workload is looked at again that Flux is applying.
const applyingFor = time.Second
