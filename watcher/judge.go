package watcher

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	kinds "github.com/backstop-dev/backstop/internal/workload"
)

// judgeRollouts looks at workloads whose newest revision may fail until ctx ends.
func (w *Watcher) judgeRollouts(ctx context.Context) {
	c := crew[v1alpha1.ObjectRef]{queue: w.crashes.queue, turns: w.crashes.turns, all: &w.working}
	c.look(ctx, func(within context.Context, ref v1alpha1.ObjectRef) {
		again, err := w.resolveCrash(within, ref)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			w.log.Error("cannot tell whether a workload's newest revision runs, trying again", "object", ref.String(),
				"error", err)
			w.crashes.queue.AddRateLimited(ref)
		default:
			w.crashes.queue.Forget(ref)
			if again > 0 {
				w.crashes.queue.AddAfter(ref, again)
			}
		}
	})
}

// resolveCrash enqueues the keys of one workload: those about which it fails now, and those about which it did.
func (w *Watcher) resolveCrash(ctx context.Context, ref v1alpha1.ObjectRef) (again time.Duration, err error) {
	l := newLook(w.clients.Core, ref.Namespace)
	if ref.Kind == kindPod {
		ref, err = l.workloadOf(ctx, ref)
		if err != nil || ref.Name == "" {
			return 0, err
		}
		w.crashes.queue.Add(ref)
		return 0, nil
	}
	if ref.Kind == kinds.Job {
		return 0, w.resolveRun(ctx, l, ref)
	}
	if judges(ref.Kind) {
		return w.resolveCanary(ctx, l, ref)
	}
	if w.pods.count(ref.Namespace) >= listAt && w.pulls(ref) {
		// Hundreds of images fail, this one is known to, and what reverts them comes first.
		return unsettledFor, nil
	}
	seen, err := w.Pods().observe(ctx, l, ref.Kind, ref.Name)
	if err != nil {
		return 0, err
	}
	now := seen.keys(ref.Namespace)
	w.takeIn(ref, now, seen.elsewhere())
	switch {
	case len(now) > 0:
		return w.failsOn(seen), nil
	case w.mayBeOver(ref):
		return failingFor, nil
	case len(seen.judged) > 0:
		return w.settles(seen), nil
	}
	if since := w.templates.since(seen.facts.Workload.UID); !since.IsZero() && !w.full(ref) {
		return nextLook(w.opts.Now().Sub(since)), nil
	}
	return 0, nil
}

// workloadOf finds the workload of a pod; one without a name if no workload rolls it out.
func (l *look) workloadOf(ctx context.Context, ref v1alpha1.ObjectRef) (v1alpha1.ObjectRef, error) {
	pod, err := l.client.CoreV1().Pods(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return v1alpha1.ObjectRef{}, nil
	case err != nil:
		return v1alpha1.ObjectRef{}, fmt.Errorf("read pod %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	o, err := l.owner(ctx, pod)
	if err != nil || o.gone || !rolls(o.workload.Kind) && o.workload.Kind != kinds.Rollout {
		return v1alpha1.ObjectRef{}, err
	}
	return v1alpha1.ObjectRef{Kind: o.workload.Kind, Namespace: ref.Namespace, Name: o.workload.Name}, nil
}
