package alerts

import (
	"context"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const (
	// mostWaiting is how many objects may wait to be looked at.
	mostWaiting = 4096
	// rest is how long an object is left alone after it was looked at: a flood of events costs no more than that.
	rest = time.Second
)

// add has an object looked at, once however often it is named; false where there is no room.
func (r *Receiver) add(ref v1alpha1.ObjectRef) bool {
	if r.queue.Len() >= mostWaiting {
		return false
	}
	r.queue.Add(ref)
	return true
}

// Run hands over what events name until ctx ends.
func (r *Receiver) Run(ctx context.Context) {
	defer context.AfterFunc(ctx, r.queue.ShutDown)()
	for {
		ref, over := r.queue.Get()
		if over {
			return
		}
		r.Wake(ref)
		// What is named meanwhile waits until the object is done.
		time.AfterFunc(rest, func() { r.queue.Done(ref) })
	}
}
