package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

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
		pods: newObservations(newQueue[types.NamespacedName]("pods", opts.Metrics, 100*time.Millisecond,
			30*time.Second)),
		templates: newTemplates(opts.Now()),
		promoted:  newPromoted(),
		informers: map[string][]cache.SharedIndexInformer{},
		busy:      map[reconcile.Key]struct{}{},
	}
	w.queue = newKeys(opts.Metrics, w.Tenant, time.Second, 2*time.Minute)
	w.drifts, w.crashes = newDrifts(opts.Metrics, w.Tenant), newCrashes(opts.Metrics, w.Tenant)
	w.listings = &listings{lists: kube.Shared[*listing]{Now: opts.Now}, waiting: w.pods.count}
	w.queue.turns.workers, w.drifts.turns.workers, w.crashes.turns.workers = opts.Workers, opts.Workers, opts.Workers
	for _, k := range w.kinds(c) {
		if err := w.add(k); err != nil {
			return nil, err
		}
	}
	return w, nil
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
			w.required = append(w.required, waitedKind{handled.HasSyncedChecker(), k.name})
		}
	}
	return nil
}

// waitedKind is a kind that is waited for, by its name.
type waitedKind struct {
	cache.DoneChecker
	kind string
}

// Name is the kind's.
func (k waitedKind) Name() string { return k.kind }

func cloneIndexers(in cache.Indexers) cache.Indexers {
	out := cache.Indexers{}
	for name, f := range in {
		out[name] = f
	}
	return out
}

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

// Broken is an error where a kind has not been watched for a minute.
func (w *Watcher) Broken() error {
	for _, t := range w.troubles {
		if why, ok := t.broken(); ok {
			return fmt.Errorf("%s objects cannot be watched: %s", t.kind, why)
		}
	}
	return nil
}
