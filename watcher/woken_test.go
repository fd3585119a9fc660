package watcher

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
)

// TestWhatWokeAKeyIsRemembered has two keys: what changed about one says nothing of the other, and a timer changes
// nothing.
func TestWhatWokeAKeyIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newKeys(nil, alone, time.Second, time.Minute)
		defer q.ShutDown()
		web, worker := reconcile.ImageKey("app", "web:v2"), reconcile.ImageKey("app", "worker:v2")
		began := time.Now()
		q.Add(web)
		time.Sleep(wokenLasts / 2)
		q.AddAfter(web, time.Millisecond)
		q.Rest(worker, time.Millisecond)
		if at := q.wokenAt(web); !at.Equal(began) {
			t.Errorf("web was woken %s after it was", at.Sub(began))
		}
		if at := q.wokenAt(worker); !at.IsZero() {
			t.Errorf("worker was woken at %s, and nothing changed", at)
		}
		time.Sleep(2 * wokenLasts)
		q.Add(worker)
		if at := q.wokenAt(web); !at.IsZero() || len(q.woken) != 1 {
			t.Errorf("web was woken at %s, longer ago than it matters; %d are remembered", at, len(q.woken))
		}
		q.Add(web)
		if at := q.wokenAt(web); !at.Equal(time.Now()) {
			t.Errorf("web was woken again %s ago", time.Since(at))
		}
		synctest.Wait()
	})
}
