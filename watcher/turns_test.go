package watcher

import (
	"fmt"
	"strings"
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
				q := newKeys(nil, alone, time.Second, time.Minute)
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

// alone has each namespace be a tenant of its own.
func alone(namespace string) string { return namespace }

// The namespaces of one tenant have one turn together, and one share of the places.
func TestATenantOfManyNamespacesHasOneTurn(t *testing.T) {
	whose := func(namespace string) string { return strings.TrimRight(namespace, "0123456789") }
	key := func(namespace string) reconcile.Key { return reconcile.ImageKey(namespace, "registry.test/app:v1") }
	synctest.Test(t, func(t *testing.T) {
		q := newKeys(nil, whose, time.Second, time.Minute)
		defer q.ShutDown()
		for i := range 20 {
			q.Add(key(fmt.Sprint("many", i)))
		}
		q.Add(key("one"))
		synctest.Wait()
		first, _ := q.Get()
		second, _ := q.Get()
		if first.Namespace != "many0" || second.Namespace != "one" {
			t.Errorf("the turn is of %s, then of %s", first.Namespace, second.Namespace)
		}
		q.turns.slowed(first)
		if got := q.turns.places(); q.turns.at["many"] != 1 || !q.turns.free("many") {
			t.Errorf("of %d places many has %d", got, q.turns.at["many"])
		}
		for range 3 {
			k, _ := q.Get()
			defer q.Done(k)
		}
		if n := q.turns.Len(); n != 0 {
			t.Errorf("many is slow and has half of the places, and %d more may begin", n)
		}
	})
}

// Whose a namespace is may change while its items wait and are worked on.
func TestWhoseANamespaceIsMayChange(t *testing.T) {
	whose := map[string]string{"a": "x"}
	turn := newTurns(func(k string) string { return whose[k] })
	turn.rest("a")
	turn.Push("a")
	whose["a"] = "y"
	turn.hurry("a")
	turn.Touch("a")
	if got := turn.Pop(); got != "a" || turn.at["y"] != 1 {
		t.Errorf("it is the turn of %q; at work: %v", got, turn.at)
	}
	turn.slowed("a")
	whose["a"] = "z"
	turn.ended("a", true)
	if len(turn.at)+len(turn.slowIn)+len(turn.taken) != 0 {
		t.Errorf("it counts as at work: %v, slow: %v, taken: %v", turn.at, turn.slowIn, turn.taken)
	}
}
