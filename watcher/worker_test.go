package watcher

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestWhenAKeyIsWalkedAgain(t *testing.T) {
	t.Parallel()
	failure := errors.New("registry.test: connection refused")
	cases := []struct {
		name string
		// answers of the first walks; the last goes on.
		again []time.Duration
		errs  []error
		// at which times after the first walk.
		want []time.Duration
	}{
		{"not at all without a wish", []time.Duration{0}, []error{nil}, nil},
		{
			"when it asked for it", []time.Duration{10 * time.Second, 0}, []error{nil, nil},
			[]time.Duration{10 * time.Second},
		},
		{
			"with growing back-off after errors, up to two minutes", []time.Duration{0}, []error{failure},
			[]time.Duration{1 * time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second,
				63 * time.Second, 127 * time.Second, 247 * time.Second, 367 * time.Second},
		},
		{
			"from the beginning of the back-off after a success", []time.Duration{0, 0, 5 * time.Second, 0, 0},
			[]error{failure, failure, nil, failure, nil},
			[]time.Duration{1 * time.Second, 3 * time.Second, 8 * time.Second, 9 * time.Second},
		},
		{
			"when a peer said so", []time.Duration{0}, []error{&reconcile.RetryAfter{After: 90 * time.Second, Err: failure}, nil},
			[]time.Duration{90 * time.Second},
		},
		{
			"but at the latest after an hour, whatever a peer says", []time.Duration{0},
			[]error{&reconcile.RetryAfter{After: 1e6 * time.Hour, Err: failure}, nil}, []time.Duration{time.Hour},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &walks{}
				var first time.Time
				var got []time.Duration
				n := 0
				r.do = func(context.Context, reconcile.Key) (time.Duration, error) {
					if n++; n == 1 {
						first = time.Now()
					} else {
						got = append(got, time.Since(first))
					}
					return c.again[min(n, len(c.again))-1], c.errs[min(n, len(c.errs))-1]
				}
				w := run(t, newAPIServer(t), r, Options{})
				w.Wake(reconcile.ImageKey("app", badImage))
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				w.end(t)
				if len(got) < len(c.want) || (len(c.errs) > 1 || c.errs[0] == nil) && len(got) != len(c.want) {
					t.Fatalf("walked again after %v, want %v", got, c.want)
				}
				for i := range c.want {
					if d := got[i] - c.want[i]; d < 0 || d > time.Millisecond {
						t.Errorf("walk %d came after %s, want %s", i+2, got[i], c.want[i])
					}
				}
			})
		})
	}
}

func TestAPanicIsTriedAgainAndStopsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := NewMetrics(), &walks{}
		panics := 0
		r.do = func(_ context.Context, key reconcile.Key) (time.Duration, error) {
			if key.Image() == badImage && panics < 2 {
				panics++
				var nothing map[string]int
				nothing["x"]++ //nolint:staticcheck // the panic that is asked for
			}
			return 0, nil
		}
		w := run(t, newAPIServer(t), r, Options{Metrics: m, Workers: 1})
		w.Wake(reconcile.ImageKey("app", badImage))
		w.Wake(reconcile.ImageKey("app", goodImage))
		time.Sleep(time.Minute)
		want(t, "a panic and a neighbour", r, webKey, "app/"+goodImage, webKey, webKey)
		w.end(t)
		log := w.log.String()
		if !strings.Contains(log, "assignment to entry in nil map") || !strings.Contains(log, "worker_test.go") {
			t.Errorf("the log lacks the panic or its stack:\n%s", log)
		}
		if got := value(t, m, "backstop_panics_total", "rollbacks"); got != 2 {
			t.Errorf("%v panics counted, want 2", got)
		}
	})
}

func TestAStopWaitsForTheWalkThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &walks{}
		var pushed atomic.Bool
		r.do = func(ctx context.Context, _ reconcile.Key) (time.Duration, error) {
			time.Sleep(20 * time.Second)
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			pushed.Store(true)
			return time.Second, nil
		}
		w := run(t, newAPIServer(t), r, Options{Workers: 1})
		w.Wake(reconcile.ImageKey("app", badImage))
		w.Wake(reconcile.ImageKey("app", goodImage))
		synctest.Wait()
		if got := w.Busy(); len(got) != 1 || got[0].Image() != badImage {
			t.Errorf("busy with %v, want the first key", got)
		}
		w.stop()
		synctest.Wait()
		select {
		case err := <-w.done:
			t.Fatalf("Run returned %v in the middle of a walk", err)
		default:
		}
		begin := time.Now()
		if err := <-w.done; err != nil || !pushed.Load() {
			t.Errorf("Run: %v, pushed: %t; want the walk to have ended well", err, pushed.Load())
		}
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("the stop took %s, want as long as the walk", took)
		}
		want(t, "what was enqueued is left for the next leader", r, webKey)
		if !strings.Contains(w.log.String(), "waiting for walks to finish") {
			t.Errorf("no line says what is waited for:\n%s", w.log)
		}
	})
}

func TestAStopCutsOffAWalkThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &walks{}
		r.do = func(ctx context.Context, _ reconcile.Key) (time.Duration, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		w := run(t, newAPIServer(t), r, Options{StopTimeout: 7 * time.Second})
		w.Wake(reconcile.ImageKey("app", badImage))
		synctest.Wait()
		begin := time.Now()
		w.stop()
		err := <-w.done
		if err == nil || err.Error() != "stop: walks were cut off after 7s: "+webKey {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(begin); took != 7*time.Second {
			t.Errorf("the stop took %s, want 7s", took)
		}
		if !strings.Contains(w.log.String(), "walk was cut off") {
			t.Errorf("no line says that it was cut off:\n%s", w.log)
		}
	})
}

func TestAStopDoesNotWaitForeverForAWalkThatDoesNotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &walks{}
		r.do = func(context.Context, reconcile.Key) (time.Duration, error) {
			time.Sleep(time.Hour)
			return 0, nil
		}
		w := run(t, newAPIServer(t), r, Options{})
		w.Wake(reconcile.ImageKey("app", badImage))
		synctest.Wait()
		begin := time.Now()
		w.stop()
		if err := <-w.done; err == nil {
			t.Error("Run: no error")
		}
		if took := time.Since(begin); took != 26*time.Second {
			t.Errorf("the stop took %s, want 25 s and one to listen", took)
		}
		// The bubble only ends when the walk has.
		time.Sleep(time.Hour)
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := NewMetrics(), &walks{}
		r.do = func(context.Context, reconcile.Key) (time.Duration, error) {
			time.Sleep(3 * time.Second)
			return time.Hour, nil
		}
		w := run(t, newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), failingPod("a")), r,
			Options{Metrics: m, Workers: 1})
		w.Wake(reconcile.ImageKey("app", goodImage))
		time.Sleep(2 * time.Second)
		for name, want := range map[string]float64{
			"backstop_queue_depth": 1, "backstop_queue_adds_total": 2, "backstop_queue_later_total": 0,
			"backstop_queue_wait_seconds": 1, "backstop_queue_work_seconds": 0, "backstop_queue_longest_running_seconds": 2,
			"backstop_queue_unfinished_seconds": 2, "backstop_panics_total": 0,
		} {
			if got := value(t, m, name, "rollbacks"); got < want-0.5 || got > want+0.5 {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if got := value(t, m, "backstop_queue_adds_total", "pods"); got != 1 {
			t.Errorf("%v pods counted, want 1", got)
		}
		time.Sleep(10 * time.Second)
		for name, want := range map[string]float64{
			"backstop_queue_depth": 0, "backstop_queue_work_seconds": 2, "backstop_queue_later_total": 2,
		} {
			if got := value(t, m, name, "rollbacks"); got != want {
				t.Errorf("%s is %v in the end, want %v", name, got, want)
			}
		}
		w.end(t)
	})
}

// value is a metric of a queue: of a histogram the count.
func value(t *testing.T, c prometheus.Collector, name, queue string) float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(c); err != nil {
		t.Fatal(err)
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if f.GetName() != name || m.GetLabel()[0].GetValue() != queue {
				continue
			}
			switch {
			case m.GetHistogram() != nil:
				return float64(m.GetHistogram().GetSampleCount())
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			}
			return m.GetGauge().GetValue()
		}
	}
	return 0
}
