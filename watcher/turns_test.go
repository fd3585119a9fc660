package watcher

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestWhatRestsLetsOthersGoFirst(t *testing.T) {
	key := func(image string) reconcile.Key { return reconcile.ImageKey("production", image) }
	for name, tt := range map[string]struct {
		in   func(q *keys)
		want []string
	}{
		"in the order in which they came": {func(q *keys) { q.Add(key("a")); q.Add(key("b")) }, []string{"a", "b"}},
		"before those that rest": {func(q *keys) {
			q.Rest(key("a"), time.Second)
			q.Rest(key("b"), time.Second)
			time.Sleep(2 * time.Second)
			q.Add(key("c"))
		}, []string{"c", "a", "b"}},
		"one that rested goes first when something wakes it": {func(q *keys) {
			q.Rest(key("a"), time.Second)
			q.Rest(key("b"), time.Second)
			time.Sleep(2 * time.Second)
			q.Add(key("b"))
		}, []string{"b", "a"}},
		"one that is woken before its time": {func(q *keys) {
			q.Rest(key("a"), time.Second)
			q.Add(key("a"))
			q.Rest(key("b"), 0)
			time.Sleep(2 * time.Second)
		}, []string{"a", "b"}},
		"one that is woken while it is walked": {func(q *keys) {
			q.Add(key("a"))
			walked, _ := q.Get()
			q.Rest(key("b"), 0)
			q.Rest(key("a"), 0)
			q.Add(key("a"))
			q.Done(walked)
		}, []string{"a", "b"}},
		"and is asked for only once at a time": {func(q *keys) {
			q.Rest(key("a"), time.Second)
			q.Rest(key("a"), time.Minute)
			q.Rest(key("a"), 2*time.Second)
			time.Sleep(3 * time.Second)
		}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newKeys(nil, time.Second, time.Minute)
				defer q.ShutDown()
				tt.in(q)
				synctest.Wait()
				var got []string
				for q.Len() > 0 {
					k, _ := q.Get()
					got = append(got, k.Image())
					q.Done(k)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if len(q.turns.calm) != 0 {
					t.Errorf("%v is still said to rest", q.turns.calm)
				}
			})
		})
	}
}
