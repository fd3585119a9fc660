package watcher

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	// Since says when a Rollback first recorded a workload as failing with the image of a key, where one did; nil
	// for never. It may be a moment old: the time that it tells does not change.
	Since func(reconcile.Key, v1alpha1.Workload) (time.Time, bool)
	// Asking names the pods that may wait for the image of a key, so that not every pod of the namespace that waits for
	// any image needs to be read with its owners. A pod that it does not know yet wakes the key when it does. nil reads
	// all.
	Asking func(reconcile.Key) []string
	// Seen is the resource version up to which the pods of a namespace were watched; empty for unknown. Pods that may
	// have recovered are read at least as new as that, which what woke the key is part of: the API server need not ask
	// etcd whether there is anything newer, as it does for hundreds of looks at once. nil reads the newest.
	Seen func(namespace string) string
	// Wants says what workloads should run, by which a change by hand is told; nil does not look for one.
	Wants func() Wanter
	// Rolling lists the workloads whose newest revision fails about a key; nil looks at none.
	Rolling func(reconcile.Key) []v1alpha1.Workload
	// Judging lists the canaries that refuse an update to a key's image, or did; nil looks at none. Custom reads them, and
	// Promoted says what is remembered of what one had promoted.
	Judging  func(reconcile.Key) []v1alpha1.ObjectRef
	Custom   func(schema.GroupVersion) (cache.Getter, error)
	Promoted func(types.UID) (map[string]string, bool)
	// Remembers says what is remembered of a workload's templates; nil for nothing.
	Remembers func(types.UID) trigger.Remembered
	// Namespace gives the annotations of a namespace, as far as they are kept; nil where namespaces are not watched.
	Namespace func(string) map[string]string
	// Adrift lists the workloads that were seen to run something else than a key's image, although Git says it.
	Adrift func(reconcile.Key) []v1alpha1.Workload

	nodes nodes
}

// nodes remembers for a moment what platforms nodes have, which only changes when another node takes a name.
type nodes struct {
	mu    sync.Mutex
	known map[string]seenNode
}

// seenNode is a node's platform as it was read.
type seenNode struct {
	platform string
	at       time.Time
}

const (
	// nodeLasts is how long a node's platform is believed, mostNodes how many are remembered.
	nodeLasts, mostNodes = time.Minute, 8192
)

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

// Pods gives the live reader that knows the first errors that the Watcher saw.
func (w *Watcher) Pods() *Pods {
	return &Pods{
		Client: w.clients.Core, Now: w.opts.Now, First: w.first, Since: w.failingSince, Asking: w.asking, Seen: w.seen,
		Wants: w.opts.Wants, Adrift: w.drifts.of, Namespace: w.namespaceAnnotations,
		Rolling: w.rolling, Remembers: w.templates.of, Judging: w.judging, Custom: w.clients.Custom, Promoted: w.promoted.of,
	}
}

// Failing lists the containers in the key's namespace that wait for its image, and says what is known of pods that
// have it. known are workloads that a Rollback already names: their pods are looked at too. Pods that are being
// deleted and pods of a revision whose image the workload does not ask for any more do not count as failing.
func (p *Pods) Failing(ctx context.Context, key reconcile.Key, known []v1alpha1.Workload) (reconcile.PodsSeen, error) {
	s := &sighting{
		look: newLook(p.Client, key.Namespace), pods: p, key: key,
		found: map[failureID]v1alpha1.Failure{}, labels: map[string]map[string]string{}, made: map[string]time.Time{},
	}
	narrow, err := s.pending(ctx)
	if err != nil {
		return reconcile.PodsSeen{}, err
	}
	out := reconcile.PodsSeen{Failures: s.failures(), Labels: s.labels}
	all := slices.Clone(known)
	for _, f := range out.Failures {
		all = append(all, f.Workload)
	}
	seen := map[string]bool{}
	for _, workload := range all {
		if seen[workload.String()] {
			continue
		}
		seen[workload.String()] = true
		if err := s.running(ctx, workload); err != nil {
			return reconcile.PodsSeen{}, err
		}
	}
	if narrow && s.started != "" && len(out.Failures) == 0 {
		// Nothing is taken for recovered by what the watch has not seen yet.
		if err := s.all(ctx); err != nil {
			return reconcile.PodsSeen{}, err
		}
		out.Failures = s.failures()
	}
	out.Started, out.RanHere, out.Pods = s.started, s.ranHere, s.count()
	drifted, restored, err := s.adrift(ctx, known)
	if err != nil {
		return reconcile.PodsSeen{}, err
	}
	out.Failures, out.Restored = append(out.Failures, drifted...), restored
	rolled, steady, err := s.rollouts(ctx)
	if err != nil {
		return reconcile.PodsSeen{}, err
	}
	out.Failures, out.Steady = append(out.Failures, rolled...), steady
	refused, promoted, err := s.canaries(ctx)
	if err != nil {
		return reconcile.PodsSeen{}, err
	}
	out.Failures, out.Promoted = append(out.Failures, refused...), promoted
	if out.Pods == nil {
		out.Pods = podsOf(rolled)
	}
	out.Wishes = s.wishes()
	if len(out.Failures) == 0 {
		out.Unnamed, err = s.unnamed(ctx, known)
	}
	return out, err
}

// unnamed names the workloads, if none of them asks for the image any more. One that is gone asks for nothing; one that
// may not be read, or has no template, may still do.
func (s *sighting) unnamed(ctx context.Context, known []v1alpha1.Workload) (string, error) {
	var out []string
	for _, w := range known {
		h, err := s.get(ctx, w.Kind, w.Name)
		switch {
		case err != nil:
			return "", err
		case h.closed, w.Kind == kindPod, h.has(s.key.Image()):
			return "", nil
		case !slices.Contains(out, w.String()):
			out = append(out, w.String())
		}
	}
	return strings.Join(out, ", "), nil
}

// count adds up the pods of the failing workloads. What an owner says of its pods may lag behind the pods.
func (s *sighting) count() *v1alpha1.PodCount {
	if s.waiting == 0 {
		return nil
	}
	out := &v1alpha1.PodCount{Failing: s.waiting}
	counted := map[string]bool{}
	for id := range s.found {
		// The look has read them already.
		if h := s.holders[id.kind+"/"+id.name]; h != nil && !counted[id.kind+"/"+id.name] {
			counted[id.kind+"/"+id.name] = true
			out.Total += h.pods
			out.Ready += h.ready
		}
	}
	if out.Total > 0 {
		out.Total = max(out.Total, out.Failing+out.Ready)
	}
	return out
}

// Delete deletes a pod; one that is gone is no error.
func (p *Pods) Delete(ctx context.Context, namespace, pod string) error {
	err := p.Client.CoreV1().Pods(namespace).Delete(ctx, pod, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
