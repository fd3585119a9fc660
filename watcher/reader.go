package watcher

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// Pods reads pods and their owners live. It implements reconcile.Pods.
type Pods struct {
	// Client reads.
	Client kubernetes.Interface
	// Now is the clock.
	Now func() time.Time
	// First are the first errors that a Watcher saw; nil goes by what pods say now.
	First *FirstErrors
	// Since reports when a Rollback first recorded a workload as failing with the image of a key, where one did; nil
	// for never. It may be a moment old: the time that it tells does not change.
	Since func(reconcile.Key, v1alpha1.Workload) (time.Time, bool)
	// Asking names the pods that may wait for the image of a key. Without it every pod of the namespace that waits for an
	// image is read, with its owners. A pod that Asking does not know yet wakes the key later. nil reads all.
	Asking func(reconcile.Key) []string
	// Seen is the resource version up to which the pods of a namespace were watched; empty for unknown. Pods that may have
	// recovered are read at that version or a newer one, which includes the event that woke the key. The API server can
	// then answer without asking etcd, which counts when hundreds of looks come at once. nil reads the newest.
	Seen func(namespace string) string
	// Wants describes what workloads should run, by which a change by hand is told; nil does not look for one.
	Wants func() Wanter
	// Rolling lists the workloads whose newest revision fails about a key; nil looks at none.
	Rolling func(reconcile.Key) []v1alpha1.Workload
	// Judging lists the canaries that refuse an update to a key's image, or did; nil looks at none. Custom reads them, and
	// Promoted describes what is remembered of what one had promoted.
	Judging  func(reconcile.Key) []v1alpha1.ObjectRef
	Custom   func(schema.GroupVersion) (cache.Getter, error)
	Promoted func(types.UID) (map[string]string, bool)
	// Remembers describes what is remembered of a workload's templates; nil for nothing.
	Remembers func(types.UID) trigger.Remembered
	// Namespace gives the annotations of a namespace, as far as they are kept; nil where namespaces are not watched.
	Namespace func(string) map[string]string
	// Adrift lists the workloads that were seen to run something else than a key's image, although Git says it.
	Adrift func(reconcile.Key) []v1alpha1.Workload

	nodes nodes
	// listings list namespaces in which much fails at once; nil reads each object by itself.
	listings *listings
}

// nodes remembers the platforms of nodes for a moment. A platform changes only when another node takes the name.
type nodes struct {
	mu    sync.Mutex
	known map[string]seenNode
}

// seenNode is a node's platform as it was read.
type seenNode struct {
	platform string
	at       time.Time
}

func (n *nodes) get(name string, now time.Time) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known, ok := n.known[name]
	return known.platform, ok && now.Sub(known.at) < nodeLasts
}

func (n *nodes) set(name, platform string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) >= mostNodes {
		n.known = map[string]seenNode{}
	}
	n.known[name] = seenNode{platform, now}
}

const (
	// nodeLasts is how long a node's platform is believed, mostNodes how many are remembered.
	nodeLasts, mostNodes = time.Minute, 8192
)
