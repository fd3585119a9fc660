package watcher

import (
	"slices"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// crashes turns workloads whose newest revision does not become ready into keys.
//
//	Events with reason BackOff ── pod ── its workload ──┐
//	a template that changed ── after a while ───────────┼─► queue ─► live look ─► keys
//	a workload that says that its deadline passed ──────┘
//
// A pod that crashes is Running, so that the watch of Pending pods does not see it; a watch of all pods would cost
// memory for each that is well. What was found is remembered as long as it lasts: it is what is enqueued when it is
// over.
type crashes struct {
	queue workqueue.TypedRateLimitingInterface[v1alpha1.ObjectRef]
	turns *turns[v1alpha1.ObjectRef]
	lastFound[reconcile.Key]
	// told is what was said last of a workload whose new revision fails for another reason than its image.
	told map[v1alpha1.ObjectRef]string
}

func newCrashes(m *Metrics, tenant func(namespace string) string) *crashes {
	t := newTurns(func(ref v1alpha1.ObjectRef) string { return tenant(ref.Namespace) })
	q := newQueueOf("rollouts", m, 100*time.Millisecond, 30*time.Second, t)
	return &crashes{queue: q, turns: t, told: map[v1alpha1.ObjectRef]string{}}
}

// tells reports whether something is new about a workload, and keeps it; empty where nothing is to be said any more.
func (c *crashes) tells(ref v1alpha1.ObjectRef, says string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if says == "" {
		delete(c.told, ref)
		return false
	}
	before := c.told[ref]
	c.told[ref] = says
	return before != says
}

// knows reports whether something was said of an object.
func (c *crashes) knows(ref v1alpha1.ObjectRef) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told[ref] != ""
}

// of lists the workloads that were found to fail about a key.
func (c *crashes) of(key reconcile.Key) []v1alpha1.Workload {
	return c.workloads(func(_ v1alpha1.ObjectRef, found []reconcile.Key) bool { return slices.Contains(found, key) })
}

const (
	// unsettledFor is after how long a workload is looked at again of which there is not enough to judge by yet, or which
	// fails for another reason than its image.
	unsettledFor = 10 * time.Second
	// settlesWithin is after how long it is while its first pods are started again and again: no event tells that one was.
	// youngFor is how long a kubelet takes for the restarts that a crash needs, and fewUnsettled how many may be looked at
	// so often.
	settlesWithin = time.Second
	youngFor      = 2 * time.Minute
	fewUnsettled  = 20
	// failingFor is after how long one is looked at again that fails: events may be lost.
	failingFor = time.Minute
)
