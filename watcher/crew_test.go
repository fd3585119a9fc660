package watcher

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// oneItem is a queue of one item that is shut down after it.
type oneItem struct{ taken bool }

func (q *oneItem) Get() (item string, shutdown bool) {
	if q.taken {
		return "", true
	}
	q.taken = true
	return "app/a", false
}

func (*oneItem) Done(string) {}

// The race detector is the judge: an item that ends as it becomes slow calls nobody in who begins after the end.
func TestNobodyBeginsWhenTheLastOneHasGone(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			var all sync.WaitGroup
			c := crew[string]{queue: &oneItem{}, turns: newTurns(func(string) string { return "app" }), all: &all}
			all.Go(func() { c.work(t.Context(), func(string) { time.Sleep(slowAfter) }) })
			all.Wait()
		})
	}
}
