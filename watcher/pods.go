package watcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
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

// sighting is a look for one key.
type sighting struct {
	*look
	pods             *Pods
	key              reconcile.Key
	found            map[failureID]v1alpha1.Failure
	labels           map[string]map[string]string
	started, ranHere string
	// made is when the oldest failing pod of each workload was made.
	made map[string]time.Time
	// waiting counts the pods that wait for the image.
	waiting int32
}

// failureID tells failures apart. The platform is part of it: an image may lack only one.
type failureID struct {
	kind, name, revision, container, platform string
}

// failures are what was found, in an order that does not change from look to look. Of one container the platform
// whose error is the image's own fault comes first.
func (s *sighting) failures() []v1alpha1.Failure {
	out := make([]v1alpha1.Failure, 0, len(s.found))
	for _, f := range s.found {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b v1alpha1.Failure) int {
		return cmp.Or(
			cmp.Compare(a.Workload.String(), b.Workload.String()), cmp.Compare(a.Container, b.Container),
			cmp.Compare(a.Revision, b.Revision), cmp.Compare(fault(a), fault(b)), cmp.Compare(a.Pull.Platform, b.Pull.Platform),
		)
	})
	return out
}

func fault(f v1alpha1.Failure) int {
	if f.Cause.ImageFault() {
		return 0
	}
	return 1
}

// mostGets is how many pods are read one by one; more are listed.
const mostGets = 16

// pending reads the pods that may wait for the image, and says whether those were not simply all.
func (s *sighting) pending(ctx context.Context) (narrow bool, err error) {
	if s.pods.Asking == nil {
		return false, s.all(ctx)
	}
	names := s.pods.Asking(s.key)
	if len(names) > mostGets {
		return false, s.all(ctx)
	}
	return true, s.byName(ctx, names)
}

// byName reads the pods of these names.
func (s *sighting) byName(ctx context.Context, names []string) error {
	for _, name := range names {
		pod, err := s.client.CoreV1().Pods(s.namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return fmt.Errorf("read pod %s/%s: %w", s.namespace, name, err)
		}
		if err := s.failing(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// all reads every pod of the namespace that is Pending or updated in place; simply every pod where no watch looks.
func (s *sighting) all(ctx context.Context) error {
	if s.pods.Asking == nil {
		return s.each(ctx, metav1.ListOptions{}, s.failing)
	}
	seen := map[string]bool{}
	err := s.each(ctx, metav1.ListOptions{FieldSelector: pendingSelector},
		func(ctx context.Context, pod *corev1.Pod) error {
			seen[pod.Name] = true
			return s.failing(ctx, pod)
		})
	if err != nil {
		return err
	}
	return s.byName(ctx, slices.DeleteFunc(s.pods.Asking(s.key), func(name string) bool { return seen[name] }))
}

// failing takes in the containers of a pod that wait for the key's image.
func (s *sighting) failing(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	all := waitingFor(pod)
	if len(all) == 0 {
		return nil
	}
	o, err := s.owner(ctx, pod)
	if err != nil {
		return err
	}
	counted := false
	for _, c := range all {
		asked := o.asked(c.name, c.image)
		if asked != s.key.Image() || !o.current(c.name, asked) {
			continue
		}
		if !counted {
			counted = true
			s.waiting++
		}
		f := s.pods.First.recall(pod.UID, c, s.pods.Now())
		platform, err := s.platform(ctx, pod.Spec.NodeName)
		if err != nil {
			return err
		}
		f.Workload, f.Revision, f.Pull = o.workload, o.revision, &v1alpha1.Pull{Pod: pod.Name, Platform: platform}
		s.take(f)
		s.labels[o.workload.String()] = o.labels
		s.wasMade(o.workload, pod)
	}
	return nil
}

// take keeps one failure of several pods of one revision: an error that is the image's own fault before one that is
// not, then the first one seen. It stands for all of them since the first.
func (s *sighting) take(f v1alpha1.Failure) {
	id := failureID{f.Workload.Kind, f.Workload.Name, f.Revision, f.Container, f.Pull.Platform}
	before, ok := s.found[id]
	if !ok {
		s.found[id] = f
		return
	}
	kept, other := before, f
	if cmp.Or(cmp.Compare(fault(f), fault(before)), unknown(f)-unknown(before), f.Since.Compare(before.Since.Time)) < 0 {
		kept, other = f, before
	}
	if other.Since.Before(&kept.Since) {
		kept.Since = other.Since
	}
	s.found[id] = kept
}

func unknown(f v1alpha1.Failure) int {
	if f.Cause == v1alpha1.CauseUnknown {
		return 1
	}
	return 0
}

// page bounds what one answer of the API server takes in memory.
const page = 250

// each visits the pods of a selection, live.
func (l *look) each(ctx context.Context, sel metav1.ListOptions, visit func(context.Context, *corev1.Pod) error) error {
	sel.Limit = page
	for {
		list, err := l.client.CoreV1().Pods(l.namespace).List(ctx, sel)
		if err != nil {
			return fmt.Errorf("list pods in %s: %w", l.namespace, err)
		}
		for i := range list.Items {
			if err := visit(ctx, &list.Items[i]); err != nil {
				return err
			}
		}
		if sel.Continue = list.Continue; sel.Continue == "" {
			return nil
		}
		// The next page is of the same version.
		sel.ResourceVersion, sel.ResourceVersionMatch = "", ""
	}
}

// platform is os/arch of a node; empty where Backstop may not read nodes, or the pod has none.
func (s *sighting) platform(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	now := s.pods.Now()
	if p, ok := s.pods.nodes.get(name, now); ok {
		return p, nil
	}
	var platform string
	n, err := s.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
	case err != nil:
		return "", fmt.Errorf("read node %s: %w", name, err)
	case n.Status.NodeInfo.OperatingSystem != "" && n.Status.NodeInfo.Architecture != "":
		platform = n.Status.NodeInfo.OperatingSystem + "/" + n.Status.NodeInfo.Architecture
	}
	s.pods.nodes.set(name, platform, now)
	return platform, nil
}
