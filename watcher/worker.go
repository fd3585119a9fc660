package watcher

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
)

// work walks keys until ctx ends. walks is the context of the walks themselves, which outlives it.
func (w *Watcher) work(ctx, walks context.Context, walker Walker) {
	c := crew[reconcile.Key]{queue: w.queue, turns: w.queue.turns, all: &w.working}
	c.work(ctx, func(k reconcile.Key) { w.walk(walks, walker, k) })
}

// longestLeft bounds how long a peer may ask to be left alone: a peer may ask for too much.
const longestLeft = time.Hour

// walk walks one key and enqueues it again where it asks for that. A queue never hands out a key that is not done,
// so that no two workers walk one key.
func (w *Watcher) walk(ctx context.Context, walker Walker, key reconcile.Key) {
	defer w.queue.Done(key)
	w.mark(key, true)
	defer w.mark(key, false)
	again, err := w.guarded(ctx, walker, key)
	var later *reconcile.RetryAfter
	switch {
	case err == nil && again > 0 && w.rests(key):
		w.queue.Forget(key)
		w.queue.Rest(key, again)
	case err == nil && again > 0:
		w.queue.Forget(key)
		w.queue.AddAfter(key, again)
	case err == nil:
		w.queue.Forget(key)
	case errors.As(err, &later) && later.After > 0:
		w.complain(key, err)
		w.queue.AddAfter(key, min(later.After, longestLeft))
	default:
		w.complain(key, err)
		w.queue.AddRateLimited(key)
	}
}

// rests reports whether the Rollbacks of a key have ended, as far as the watch knows, and only hold any more.
func (w *Watcher) rests(key reconcile.Key) bool {
	all := w.indexed(byKey, key.String())
	for _, r := range all {
		if !r.Status.Ended() {
			return false
		}
	}
	return len(all) > 0
}

// guarded turns a panic into an error: one Rollback that breaks an assumption must not stop the others.
func (w *Watcher) guarded(ctx context.Context, walker Walker, key reconcile.Key) (again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			again, err = 0, &panicError{value: p, stack: string(debug.Stack())}
			if w.opts.Metrics != nil {
				w.opts.Metrics.panics.WithLabelValues("rollbacks").Inc()
			}
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, longestWalk, fmt.Errorf("the walk took longer than %s", longestWalk))
	defer cancel()
	return walker.Walk(ctx, key)
}

// panicError is a panic as an error.
type panicError struct {
	value any
	stack string
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// complain is the one place where an error of a walk is logged.
func (w *Watcher) complain(key reconcile.Key, err error) {
	log := w.log.With("namespace", key.Namespace, "subject", key.Subject, "rollback", w.rollbackName(key))
	var p *panicError
	switch {
	case errors.Is(err, errApplying):
		log.Debug("walk waits", "why", err)
	case errors.As(err, &p):
		log.Error("walk panicked, trying again", "error", err, "stack", p.stack)
	case errors.Is(err, context.Canceled):
		log.Warn("walk was cut off", "error", err)
	default:
		log.Error("walk failed, trying again", "error", err)
	}
}

func (w *Watcher) mark(key reconcile.Key, busy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if busy {
		w.busy[key] = struct{}{}
	} else {
		delete(w.busy, key)
	}
}
