package watcher

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func election(t *testing.T, s *apiServer, identity string) Election {
	t.Helper()
	return Election{Leases: s.clients(t).Core.CoordinationV1(), Namespace: "backstop", Name: "backstop", Identity: identity}
}

func leads(s *apiServer) string {
	return field(s.get("Lease", "backstop", "backstop"), "spec", "holderIdentity")
}

func TestTheLeaseEndsAfterTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		ctx, stop := context.WithCancel(t.Context())
		atEnd, done := "", make(chan error, 1)
		go func() {
			done <- Lead(ctx, election(t, s, "one"), func(ctx context.Context) error {
				<-ctx.Done()
				// A push that goes on, for longer than the lease lasts without being renewed.
				time.Sleep(time.Minute)
				atEnd = leads(s)
				return nil
			})
		}()
		synctest.Wait()
		time.Sleep(time.Minute)
		begin := time.Now()
		stop()
		if err := <-done; err != nil || time.Since(begin) != time.Minute {
			t.Errorf("Lead: %v after %s, want to wait for the work", err, time.Since(begin))
		}
		if atEnd != "one" || leads(s) != "" {
			t.Errorf("at the end of the work the lease was %q's, then %q's; want one's, then nobody's", atEnd, leads(s))
		}
	})
}

func TestAFollowerTakesOverWhatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		first, stopFirst := context.WithCancel(t.Context())
		second, stopSecond := context.WithCancel(t.Context())
		won, done, known := make(chan string, 2), make(chan error, 2), make(chan string, 8)
		lead := func(ctx context.Context, identity string) {
			e := election(t, s, identity)
			e.Known = func() { known <- identity }
			done <- Lead(ctx, e, func(ctx context.Context) error {
				won <- identity
				<-ctx.Done()
				return nil
			})
		}
		go lead(first, "one")
		synctest.Wait()
		go lead(second, "two")
		time.Sleep(time.Minute)
		if got := <-won; got != "one" || len(won) != 0 {
			t.Fatalf("%s leads and %d more, want one alone", got, len(won))
		}
		if a, b := <-known, <-known; a == b {
			t.Errorf("%s alone knows who leads, want both", a)
		}
		begin := time.Now()
		stopFirst()
		if err := <-done; err != nil {
			t.Errorf("Lead: %v", err)
		}
		if got := <-won; got != "two" || time.Since(begin) > 15*time.Second {
			t.Errorf("%s leads after %s, want two within 15 s", got, time.Since(begin))
		}
		stopSecond()
		if err := <-done; err != nil {
			t.Errorf("Lead: %v", err)
		}
	})
}

func TestAFollowerThatIsStoppedNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		first, stopFirst := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Lead(first, election(t, s, "one"), func(ctx context.Context) error { <-ctx.Done(); return nil })
		}()
		synctest.Wait()
		second, stopSecond := context.WithTimeout(t.Context(), 10*time.Second)
		defer stopSecond()
		err := Lead(second, election(t, s, "two"), func(context.Context) error { t.Error("two runs"); return nil })
		if err != nil || leads(s) != "one" {
			t.Errorf("Lead: %v, the lease is %q's; want one to keep it", err, leads(s))
		}
		stopFirst()
		if err := <-done; err != nil {
			t.Errorf("Lead, stopped: %v", err)
		}
	})
}

func TestALostLeaseStopsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		done := make(chan error, 1)
		var stopped time.Time
		go func() {
			done <- Lead(t.Context(), election(t, s, "one"), func(ctx context.Context) error {
				<-ctx.Done()
				stopped = time.Now()
				return errors.New("stop: walks were cut off")
			})
		}()
		time.Sleep(20 * time.Second)
		s.forbid("leases", 500)
		begin := time.Now()
		err := <-done
		if !errors.Is(err, ErrLostLease) || !strings.Contains(err.Error(), "walks were cut off") {
			t.Errorf("Lead: %v, want the lost lease and what the work said", err)
		}
		if took := stopped.Sub(begin); took > 35*time.Second {
			t.Errorf("the work was told after %s, when others may lead already", took)
		}
	})
}

func TestWorkThatEndsByItselfGivesTheLeaseUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t)
		broken := errors.New("broken")
		if err := Lead(t.Context(), election(t, s, "one"), func(context.Context) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("Lead: %v, want what the work said", err)
		}
		if leads(s) != "" {
			t.Errorf("the lease is still %q's", leads(s))
		}
	})
}

func TestALeaseThatCannotBeGivenUpIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newAPIServer(t), &logged{}
		e := election(t, s, "one")
		e.Log = slog.New(slog.NewTextHandler(log, nil))
		err := Lead(t.Context(), e, func(context.Context) error { s.forbid("leases", 403); return nil })
		if err != nil || !strings.Contains(log.String(), "the lease could not be given up") {
			t.Errorf("Lead: %v; log:\n%s", err, log)
		}
	})
}

func TestALeaseThatCannotWork(t *testing.T) {
	t.Parallel()
	e := election(t, newAPIServer(t), "one")
	e.LeaseDuration, e.RenewDeadline = time.Second, time.Minute
	err := Lead(t.Context(), e, func(context.Context) error { t.Error("runs"); return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "lead with Lease backstop/backstop: ") {
		t.Errorf("Lead: %v", err)
	}
}
