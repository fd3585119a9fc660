package watcher

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// Options of a Watcher. The zero value watches the whole cluster.
type Options struct {
	// Namespaces to watch; none means all of them.
	Namespaces []string
	// Home is Backstop's own namespace, where the fleet's default policies are.
	Home string
	// TenantLabel of a Namespace names the tenant whose it is; empty for none.
	TenantLabel string
	// Workers that walk keys; 8 when zero.
	Workers int
	// StopTimeout is how long walks may go on after the stop, before their context ends; 25 s when zero, which fits
	// a pod's default of 30 s.
	StopTimeout time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Log; nil discards.
	Log *slog.Logger
	// Metrics of the queues; nil for none.
	Metrics *Metrics
	// Unreadable keeps the objects that cannot be decoded; nil for nothing.
	Unreadable *kube.Unreadables
	// TellRollout hears of a new revision that fails and that is not the image's fault, once; nil for nobody.
	TellRollout func(workload v1alpha1.ObjectRef, says string)
	// TellRun hears of a run of a CronJob that failed where one passed before, once; nil for nobody.
	TellRun func(cronJob v1alpha1.ObjectRef, says string)
	// Wants says what workloads should run, anew for each look; nil does not look for changes by hand.
	Wants func() Wanter
}

// Watcher watches the cluster and walks the keys that its changes concern.
type Watcher struct {
	clients  Clients
	opts     Options
	log      *slog.Logger
	queue    *keys
	pods     *observations
	listings *listings
	drifts   *drifts
	crashes  *crashes
	// templates remember what ran before what runs now.
	templates *templates
	// promoted remembers what canaries had promoted.
	promoted *promoted
	first    *FirstErrors

	// informers of each kind, one for each watched namespace; fixed by New.
	informers map[string][]cache.SharedIndexInformer
	required  []cache.DoneChecker
	troubles  []*trouble

	// working are the workers that run.
	working sync.WaitGroup

	mu   sync.Mutex
	busy map[reconcile.Key]struct{}
}

func (w *Watcher) everywhere() bool { return len(w.opts.Namespaces) == 0 }

// Synced reports whether everything that has to be there was seen once, for a readiness probe.
func (w *Watcher) Synced() error {
	for _, c := range w.required {
		if !cache.IsDone(c) {
			return fmt.Errorf("not watching yet: %s", c.Name())
		}
	}
	return nil
}

// Busy lists the keys that are being walked.
func (w *Watcher) Busy() []reconcile.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]reconcile.Key, 0, len(w.busy))
	for k := range w.busy {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b reconcile.Key) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// Wake enqueues a key, for inputs that do not come from the API server.
func (w *Watcher) Wake(key reconcile.Key) { w.queue.Add(key) }

// Woken is when something that changed woke a key last; zero for longer ago than a moment.
func (w *Watcher) Woken(key reconcile.Key) time.Time { return w.queue.wokenAt(key) }

// wakeRollback enqueues a Rollback's own key.
func (w *Watcher) wakeRollback(o metav1.Object) {
	if r, ok := o.(*v1alpha1.Rollback); ok {
		w.queue.Add(keyOf(r))
	}
}

// wakeConcerned enqueues the open Rollbacks that an object of a kind concerns.
func (w *Watcher) wakeConcerned(kind string) func(metav1.Object) {
	return func(o metav1.Object) {
		ref := v1alpha1.ObjectRef{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
		for _, r := range w.indexed(byName, ref.String()) {
			if kind != kindImagePolicy && r.Status.Ended() {
				w.queue.Rest(keyOf(r), restLook)
				continue
			}
			w.queue.Add(keyOf(r))
		}
		if kind == kindGitRepository {
			// It may be the one to push with, or that of a Rollback that knows no source yet.
			for _, r := range w.indexed(byRefused, noAccess) {
				w.queue.Rest(keyOf(r), restLook)
			}
		}
	}
}

// restLook is how long a Rollback that only holds any more lets pass before it looks at its branch again: hundreds may
// hold images of a branch that moves every second. A policy that selects another image wakes it at once.
const restLook = 3 * time.Second

// wakeNamespace enqueues the open Rollbacks of a namespace whose labels changed: another fleet default may select it.
func (w *Watcher) wakeNamespace(o metav1.Object) { w.wakeIndexed(byOpen, o.GetName()) }

// policyHandler enqueues the open Rollbacks that a policy may concern: those of its namespace, and for a policy in
// Backstop's own namespace, which may be or may have been the fleet's default, all of them.
func (w *Watcher) policyHandler() cache.ResourceEventHandler {
	return wakeHandler(asked, func(o metav1.Object) {
		if o.GetNamespace() != w.opts.Home {
			w.wakeIndexed(byOpen, o.GetNamespace())
			return
		}
		for _, r := range w.rollbacks() {
			if open(r) {
				w.queue.Add(keyOf(r))
			}
		}
	})
}

func (w *Watcher) wakeIndexed(index, value string) {
	for _, r := range w.indexed(index, value) {
		w.queue.Add(keyOf(r))
	}
}

// indexed are the cache's own: they must not be changed.
func (w *Watcher) indexed(index, value string) []*v1alpha1.Rollback {
	var out []*v1alpha1.Rollback
	for _, inf := range w.informers[kindRollback] {
		objects, err := inf.GetIndexer().ByIndex(index, value)
		if err != nil {
			continue
		}
		for _, obj := range objects {
			if r, ok := obj.(*v1alpha1.Rollback); ok {
				out = append(out, r)
			}
		}
	}
	return out
}

// rollbacks are the cache's own: they must not be changed.
func (w *Watcher) rollbacks() []*v1alpha1.Rollback {
	var out []*v1alpha1.Rollback
	for _, inf := range w.informers[kindRollback] {
		for _, obj := range inf.GetStore().List() {
			if r, ok := obj.(*v1alpha1.Rollback); ok {
				out = append(out, r)
			}
		}
	}
	return out
}

// takeIn remembers about which images an object fails now, tells where it is another thing than the image, and enqueues
// the keys of both: those about which it fails, and those about which it did.
func (w *Watcher) takeIn(ref v1alpha1.ObjectRef, now []reconcile.Key, says string) {
	before := w.crashes.get(ref)
	w.crashes.set(ref, now)
	if w.crashes.tells(ref, says) {
		w.log.Warn("what is new fails, and it is not the image", "object", ref.String(), "why", says)
		if w.opts.TellRollout != nil {
			w.opts.TellRollout(ref, says)
		}
	}
	keys := map[reconcile.Key]bool{}
	for _, key := range slices.Concat(before, now) {
		keys[key] = true
	}
	for key := range keys {
		w.queue.Add(key)
	}
}

// full reports whether all pods of a workload are available, as the watch knows it.
func (w *Watcher) full(ref v1alpha1.ObjectRef) bool {
	for _, inf := range w.informers[ref.Kind] {
		obj, ok, _ := inf.GetStore().GetByKey(ref.Namespace + "/" + ref.Name)
		if wl, is := obj.(*keptWorkload); ok && is {
			return wl.full
		}
	}
	return true
}
