package main

import (
	"context"
	"net/http"
	"os"

	"github.com/backstop-dev/backstop/watcher/alerts"
)

// newAlerts makes what takes events; nil where none are taken.
func (s *sidecar) newAlerts(o *alertOptions) *alerts.Receiver {
	if o.addr == "" {
		return nil
	}
	r := alerts.New(alerts.Options{
		Key:   func() ([]byte, error) { return os.ReadFile(o.keyFile) },
		Ready: s.working.Load, Wake: s.watch.Nudge, Log: s.log,
	})
	s.metrics.MustRegister(r)
	return r
}

// serveAlerts takes events until the function that it gives is called. Only the leader hands them over; who does not
// lead says that another replica is to be tried.
func (s *sidecar) serveAlerts(ctx context.Context, addr string) (func(), error) {
	if s.alerts == nil {
		return func() {}, nil
	}
	mux := http.NewServeMux()
	mux.Handle(alerts.Path, s.alerts)
	return listen(ctx, addr, mux, s.log)
}

// takeAlerts wakes what events name while this replica leads.
func (s *sidecar) takeAlerts(ctx context.Context) {
	if s.alerts == nil {
		return
	}
	s.working.Store(true)
	defer s.working.Store(false)
	s.alerts.Run(ctx)
}
