package alerts

import (
	"context"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const (
	// mostWaiting is how many objects may wait to be looked at.
	mostWaiting = 4096
	// rest is how long an object is left alone after it was looked at: a flood of events costs no more than that.
	rest = time.Second
)

// queue holds the objects that events named, each once, in the order in which they came.
type queue struct {
	mu    sync.Mutex
	order []v1alpha1.ObjectRef
	waits map[v1alpha1.ObjectRef]bool
	// woken is when an object was looked at last; it is forgotten after the rest.
	woken map[v1alpha1.ObjectRef]time.Time
	more  chan struct{}
}

func newQueue() *queue {
	return &queue{
		waits: map[v1alpha1.ObjectRef]bool{}, woken: map[v1alpha1.ObjectRef]time.Time{}, more: make(chan struct{}, 1),
	}
}

// add puts an object in; false where there is no room.
func (q *queue) add(ref v1alpha1.ObjectRef) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.waits[ref]:
		return true
	case len(q.order) >= mostWaiting:
		return false
	}
	q.waits[ref] = true
	q.order = append(q.order, ref)
	select {
	case q.more <- struct{}{}:
	default:
	}
	return true
}

// next takes out the objects that may be looked at, and says when the next of the others may; zero for no other.
func (q *queue) next(now time.Time) (out []v1alpha1.ObjectRef, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ref, at := range q.woken {
		if now.Sub(at) >= rest {
			delete(q.woken, ref)
		}
	}
	var left []v1alpha1.ObjectRef
	for _, ref := range q.order {
		at, resting := q.woken[ref]
		if resting {
			left = append(left, ref)
			if until := at.Add(rest).Sub(now); wait == 0 || until < wait {
				wait = until
			}
			continue
		}
		delete(q.waits, ref)
		q.woken[ref] = now
		out = append(out, ref)
	}
	q.order = left
	return out, wait
}

// Run hands over what events name until ctx ends.
func (r *Receiver) Run(ctx context.Context) {
	timer := time.NewTimer(rest)
	defer timer.Stop()
	for {
		objects, wait := r.queue.next(time.Now())
		for _, ref := range objects {
			r.Wake(ref)
		}
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.queue.more:
		case <-timer.C:
		}
	}
}
