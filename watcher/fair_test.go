package watcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
)

// hanging walks the keys of some namespaces for as long as their context lasts, as with a Git server that answers
// nothing, and the others at once.
type hanging struct {
	walks
	namespaces string
	mu         sync.Mutex
	at, most   int
}

func newHanging(namespaces string) *hanging {
	h := &hanging{namespaces: namespaces}
	h.do = func(ctx context.Context, key reconcile.Key) (time.Duration, error) {
		if !strings.Contains(h.namespaces, key.Namespace) {
			return 0, nil
		}
		h.mu.Lock()
		h.at++
		h.most = max(h.most, h.at)
		h.mu.Unlock()
		<-ctx.Done()
		h.mu.Lock()
		h.at--
		h.mu.Unlock()
		return 0, ctx.Err()
	}
	return h
}

func TestOneTenantsWalksDoNotStopAnothers(t *testing.T) {
	production := reconcile.ImageKey("production", "registry.test/app:v2")
	for name, tt := range map[string]struct {
		namespaces string
		images     int
		workers    int
		within     time.Duration
		since      time.Duration
	}{
		"eight images of one":            {"team-a", 8, 8, slowAfter, 0},
		"a hundred images of one":        {"team-a", 100, 8, slowAfter, 0},
		"a hundred of each of three":     {"team-a team-b team-c", 100, 8, 2 * time.Second, 0},
		"two workers":                    {"team-a", 100, 2, slowAfter, 0},
		"one worker":                     {"team-a", 100, 1, 2 * time.Second, 0},
		"as many tenants as workers":     {"a b c d e f g h", 3, 8, 2 * time.Second, 0},
		"more tenants than workers have": {"a b c d e f g h i j k l", 3, 8, 2 * time.Second, 0},
		"a tenant of many namespaces":    {"a b c d e f g h i j k l m n o q r s t u v w x y", 100, 8, 2 * time.Second, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHanging(tt.namespaces)
				w := run(t, newAPIServer(t), &h.walks, Options{Workers: tt.workers, StopTimeout: time.Second})
				for i := range tt.images {
					for ns := range strings.FieldsSeq(tt.namespaces) {
						w.Wake(reconcile.ImageKey(ns, fmt.Sprint("registry.test/bad:", i)))
					}
				}
				time.Sleep(tt.since)
				synctest.Wait()
				w.Wake(production)
				time.Sleep(tt.within)
				synctest.Wait()
				if walked := strings.Join(h.since(), " "); !strings.Contains(walked, production.String()) {
					t.Errorf("walked %s, want %s within %s; at work: %v", walked, production, tt.within, names(w.Busy()))
				}
				w.stop()
				<-w.done //nolint:errcheck // its walks never end, and are cut off
			})
		})
	}
}

func TestEveryKeyOfATenantHasItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &walks{}
		r.do = func(ctx context.Context, _ reconcile.Key) (time.Duration, error) {
			time.Sleep(3 * time.Second)
			return 0, nil
		}
		w := run(t, newAPIServer(t), r, Options{})
		for i := range 100 {
			w.Wake(reconcile.ImageKey("team-a", fmt.Sprint("registry.test/a:", i)))
		}
		time.Sleep(time.Second)
		w.Wake(reconcile.ImageKey("team-a", "registry.test/a:99"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		walked := map[string]int{}
		for _, key := range r.since() {
			walked[key]++
		}
		for i := range 100 {
			if n := walked[fmt.Sprintf("team-a/registry.test/a:%d", i)]; n != 1 {
				t.Errorf("image %d was walked %d times, want once", i, n)
			}
		}
		w.end(t)
	})
}

func TestSlowWalksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []string
		for i := range 100 {
			all = append(all, fmt.Sprint("tenant-", i))
		}
		h := newHanging(strings.Join(all, " "))
		w := run(t, newAPIServer(t), &h.walks, Options{StopTimeout: time.Second})
		for i := range 10 {
			for _, ns := range all {
				w.Wake(reconcile.ImageKey(ns, fmt.Sprint("registry.test/bad:", i)))
			}
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if h.most > mostSlow+8 {
			t.Errorf("%d walks at once, want at most %d", h.most, mostSlow+8)
		}
		w.stop()
		<-w.done //nolint:errcheck // its walks never end, and are cut off
	})
}

func TestAWalkHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHanging("team-a")
		w := run(t, newAPIServer(t), &h.walks, Options{})
		w.Wake(reconcile.ImageKey("team-a", "registry.test/a:1"))
		time.Sleep(longestWalk + 2*time.Second)
		synctest.Wait()
		if n := len(h.since()); n != 2 {
			t.Errorf("walked %d times, want again after the deadline", n)
		}
		if log := w.log.String(); !strings.Contains(log, "walk failed, trying again") {
			t.Errorf("the log does not say so:\n%s", log)
		}
		w.stop()
		if err := <-w.done; err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v, want the walk that was cut off", err)
		}
	})
}
