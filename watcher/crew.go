package watcher

import (
	"context"
	"sync"
	"time"
)

const (
	// slowAfter is how long a worker may be at one item before another worker takes its place.
	slowAfter = time.Second
	// longestWalk is how long one walk may take. What it waits for has deadlines of its own, which are shorter.
	longestWalk = 10 * time.Minute
)

// getter is the part of a queue that workers need.
type getter[K comparable] interface {
	Get() (item K, shutdown bool)
	Done(item K)
}

// crew is the workers of one queue. An item that takes long waits for somebody, a Git server or a registry: it gives
// its place to another one, and its namespace has but half of the places until one of its items is quick again.
//
//	Get ─► do ── a second ──► slow: another worker begins
//	        └► done: the next one, or the end where there are workers enough
type crew[K comparable] struct {
	queue getter[K]
	turns *turns[K]
	// all are the workers that run.
	all *sync.WaitGroup
}

// look is work whose items are looked at for as long as a walk may take.
func (c crew[K]) look(ctx context.Context, look func(context.Context, K)) {
	c.work(ctx, func(item K) {
		defer c.queue.Done(item)
		within, cancel := context.WithTimeout(ctx, longestWalk)
		defer cancel()
		look(within, item)
	})
}

// work hands items to do until the queue is shut down or ctx ends.
func (c crew[K]) work(ctx context.Context, do func(K)) {
	c.turns.came()
	defer c.turns.left()
	for {
		item, stop := c.queue.Get()
		if stop {
			return
		}
		// A queue that is shut down still hands out what is left in it.
		if ctx.Err() != nil {
			c.queue.Done(item)
			return
		}
		slow := make(chan bool, 1)
		timer := time.AfterFunc(slowAfter, func() {
			is, another := c.turns.slowed(item)
			if another {
				// Before the worker of the item may go: nobody begins when the last one has gone.
				c.all.Go(func() { c.work(ctx, do) })
			}
			slow <- is
		})
		do(item)
		if c.turns.ended(item, !timer.Stop() && <-slow) {
			return
		}
	}
}
