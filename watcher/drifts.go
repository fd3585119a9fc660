package watcher

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/watcher/drift"
)

// Adrift lists the workloads that run something else than Git says, as they were found last.
func (w *Watcher) Adrift() []v1alpha1.ObjectRef {
	w.drifts.mu.Lock()
	defer w.drifts.mu.Unlock()
	return slices.Collect(maps.Keys(w.drifts.seen))
}

// workloadHandler enqueues the Rollbacks that a workload concerns, and the workload if somebody changed it by hand or
// did before.
func (w *Watcher) workloadHandler(kind string) cache.ResourceEventHandler {
	see := func(o metav1.Object) {
		ref := v1alpha1.ObjectRef{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
		if wl, ok := o.(*keptWorkload); ok && w.opts.Wants != nil && (len(wl.suspects) > 0 || len(w.drifts.get(ref)) > 0) {
			w.drifts.queue.Add(ref)
		}
	}
	concerned := wakeHandler(nil, w.wakeConcerned(kind))
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			concerned.OnAdd(obj, false)
			if o, ok := obj.(metav1.Object); ok {
				see(o)
			}
			if wl, ok := obj.(*keptWorkload); ok {
				w.seeTemplate(refOfWorkload(kind, wl), nil, wl)
			}
		},
		UpdateFunc: func(before, now any) {
			concerned.OnUpdate(before, now)
			a, ok := before.(*keptWorkload)
			b, ok2 := now.(*keptWorkload)
			// Its status moves all the time.
			if ok && ok2 && (a.UID != b.UID || !drift.Equal(a.suspects, b.suspects)) {
				see(b)
			}
			if ok && ok2 && a.ResourceVersion != b.ResourceVersion {
				w.seeTemplate(refOfWorkload(kind, b), a, b)
			}
		},
		DeleteFunc: func(obj any) {
			concerned.OnDelete(obj)
			if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = t.Obj
			}
			if o, ok := obj.(metav1.Object); ok {
				see(o)
			}
			if wl, ok := obj.(*keptWorkload); ok {
				w.templates.forget(wl.UID)
				if ref := refOfWorkload(kind, wl); len(w.crashes.get(ref)) > 0 {
					w.crashes.queue.Add(ref)
				}
			}
		},
	}
}

// compare looks at workloads that were changed by hand until ctx ends.
func (w *Watcher) compare(ctx context.Context) {
	c := crew[v1alpha1.ObjectRef]{queue: w.drifts.queue, turns: w.drifts.turns, all: &w.working}
	c.look(ctx, func(within context.Context, ref v1alpha1.ObjectRef) {
		switch err := w.resolveDrift(within, ref); {
		case ctx.Err() != nil:
		case errors.Is(err, errApplying):
			w.drifts.queue.AddAfter(ref, applyingFor)
		case errors.Is(err, errUnsaid):
			w.drifts.queue.AddAfter(ref, unsaidFor)
		case err != nil:
			w.log.Error("cannot tell whether a workload runs what Git says, trying again", "workload", ref.String(),
				"error", err)
			w.drifts.queue.AddRateLimited(ref)
		default:
			w.drifts.queue.Forget(ref)
		}
	})
}

// unsaidFor is after how long it is asked again what a workload should run, where nothing told: Git may only be away.
const unsaidFor = time.Minute

// resolveDrift enqueues the keys of one workload: those that it drifts from now, and those that it did.
func (w *Watcher) resolveDrift(ctx context.Context, ref v1alpha1.ObjectRef) error {
	l := newLook(w.clients.Core, ref.Namespace)
	h, err := l.get(ctx, ref.Kind, ref.Name)
	if err != nil {
		return err
	}
	before := w.drifts.get(ref)
	var now []drifting
	if !h.gone && len(h.suspects) > 0 {
		found, err := l.drifts(ctx, h, w.opts.Wants())
		if err != nil {
			return err
		}
		for _, f := range found {
			now = append(now, drifting{f.container.Name, f.container.Image, f.Git})
		}
	}
	w.drifts.set(ref, now)
	var unsaid error
	// Each key once: a worker may take it up before the loop is over.
	keys := map[reconcile.Key]bool{}
	for _, d := range slices.Concat(before, now) {
		if d.git == "" {
			if !slices.Contains(before, d) {
				w.log.Warn("a workload was changed by hand, and nothing tells what it should run",
					"workload", ref.String(), "container", d.container, "image", d.live)
			}
			if slices.Contains(now, d) {
				unsaid = errUnsaid
			}
			continue
		}
		keys[reconcile.ImageKey(ref.Namespace, d.git)] = true
	}
	for key := range keys {
		w.queue.Add(key)
	}
	return unsaid
}
