package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

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
	clients Clients
	opts    Options
	log     *slog.Logger
	queue   *keys
	pods    *sightings
	drifts  *drifts
	crashes *crashes
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

// New makes a Watcher. Nothing is watched before Run.
func New(c Clients, opts Options) (*Watcher, error) {
	if opts.Workers <= 0 {
		opts.Workers = 8
	}
	if opts.StopTimeout <= 0 {
		opts.StopTimeout = 25 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{
		clients: c, opts: opts, log: opts.Log, first: newFirstErrors(opts.Now),
		queue:     newKeys(opts.Metrics, time.Second, 2*time.Minute),
		pods:      newSightings(newQueue[types.NamespacedName]("pods", opts.Metrics, 100*time.Millisecond, 30*time.Second)),
		drifts:    newDrifts(opts.Metrics),
		crashes:   newCrashes(opts.Metrics),
		templates: newTemplates(),
		promoted:  newPromoted(),
		informers: map[string][]cache.SharedIndexInformer{},
		busy:      map[reconcile.Key]struct{}{},
	}
	w.queue.turns.workers, w.drifts.turns.workers, w.crashes.turns.workers = opts.Workers, opts.Workers, opts.Workers
	for _, k := range w.kinds(c) {
		if err := w.add(k); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// newQueue makes a queue whose back-off for one item goes from least to most.
func newQueue[T comparable](name string, m *Metrics, least, most time.Duration,
) workqueue.TypedRateLimitingInterface[T] {
	return newQueueWith(queueConfig[T](name, m), least, most)
}

func newQueueWith[T comparable](cfg workqueue.TypedRateLimitingQueueConfig[T], least, most time.Duration,
) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](least, most), cfg)
}

func queueConfig[T comparable](name string, m *Metrics) workqueue.TypedRateLimitingQueueConfig[T] {
	cfg := workqueue.TypedRateLimitingQueueConfig[T]{Name: name}
	if m != nil {
		cfg.MetricsProvider = queueMetrics{m}
	}
	return cfg
}

// add makes the informers of a kind.
func (w *Watcher) add(k kind) error {
	namespaces := w.opts.Namespaces
	if w.everywhere() {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range namespaces {
		t := &trouble{log: w.log.With("namespace", ns), kind: k.name, optional: k.optional, metrics: w.opts.Metrics,
			now: w.opts.Now}
		w.troubles = append(w.troubles, t)
		if ns == metav1.NamespaceAll {
			t.log = w.log
		}
		// The indexers are copied: an informer adds its own to the map.
		inf, err := k.inform(ns, cloneIndexers(k.indexers))
		if err != nil {
			return err
		}
		err = errors.Join(inf.SetTransform(t.arrived(k.strip)), inf.SetWatchErrorHandlerWithContext(t.watch))
		if err != nil {
			return fmt.Errorf("watch %s: %w", k.name, err)
		}
		if _, err := inf.AddEventHandler(w.gone(k.name)); err != nil {
			return fmt.Errorf("watch %s: %w", k.name, err)
		}
		handled, err := inf.AddEventHandler(k.handler)
		if err != nil {
			return fmt.Errorf("watch %s: %w", k.name, err)
		}
		w.informers[k.name] = append(w.informers[k.name], inf)
		if !k.optional {
			w.required = append(w.required, waited{handled.HasSyncedChecker(), k.name})
		}
	}
	return nil
}

// waited is a kind that is waited for, by its name.
type waited struct {
	cache.DoneChecker
	kind string
}

// Name is the kind's.
func (k waited) Name() string { return k.kind }

func cloneIndexers(in cache.Indexers) cache.Indexers {
	out := cache.Indexers{}
	for name, f := range in {
		out[name] = f
	}
	return out
}

func (w *Watcher) everywhere() bool { return len(w.opts.Namespaces) == 0 }

// Run watches and walks until ctx ends. Then it takes no more in, lets the walks that run finish, and returns when
// the last worker has. The context of a walk outlives ctx by StopTimeout; walks that it cut off are an error. A
// Watcher runs once.
func (w *Watcher) Run(ctx context.Context, walker Walker) error {
	// client-go's own lines go where the others go.
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(w.log.Handler()))
	var watching sync.WaitGroup
	for _, informers := range w.informers {
		for _, inf := range informers {
			watching.Go(func() { inf.RunWithContext(ctx) })
		}
	}
	walks, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	if cache.WaitFor(ctx, "", w.required...) {
		w.log.Info("watching", "workers", w.opts.Workers)
		for range w.opts.Workers {
			w.working.Go(func() { w.work(ctx, walks, walker) })
			w.working.Go(func() { w.sight(ctx) })
			w.working.Go(func() { w.compare(ctx) })
			w.working.Go(func() { w.judgeRollouts(ctx) })
		}
	}
	<-ctx.Done()
	w.pods.queue.ShutDown()
	w.drifts.queue.ShutDown()
	w.crashes.queue.ShutDown()
	w.queue.ShutDown()
	err := w.finish(cut)
	watching.Wait()
	return err
}

// afterCut is how long a walk may take to notice that its context ended.
const afterCut = time.Second

// finish waits for the workers, at most for the time that a stop may take.
func (w *Watcher) finish(cut context.CancelFunc) error {
	if keys := w.Busy(); len(keys) > 0 {
		w.log.Info("stopping: waiting for walks to finish", "walks", names(keys))
	}
	done := make(chan struct{})
	go func() {
		w.working.Wait()
		close(done)
	}()
	timer := time.NewTimer(w.opts.StopTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	err := fmt.Errorf("stop: walks were cut off after %s: %s", w.opts.StopTimeout, names(w.Busy()))
	cut()
	timer.Reset(afterCut)
	select {
	case <-done:
	case <-timer.C:
	}
	return err
}

func names(keys []reconcile.Key) string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.String()
	}
	return strings.Join(out, ", ")
}

// Synced says whether everything that has to be there was seen once, for a readiness probe.
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

// Nudge enqueues what concerns an object that somebody says has changed. It is for hints from outside the API server:
// all that counts is read live.
func (w *Watcher) Nudge(ref v1alpha1.ObjectRef) {
	w.wakeConcerned(ref.Kind)(&metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name})
	w.nudgeRollouts(ref)
	if group, ok := applyingGroups[ref.Kind]; ok {
		w.queue.Add(applyKey(group, ref))
	}
}

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
	return handler(asked, func(o metav1.Object) {
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
