package main

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/spf13/pflag"

	"github.com/backstop-dev/backstop/watcher/alerts"
)

// alertOptions are the flags about Flux's alerts.
type alertOptions struct {
	addr, keyFile string
}

func (o *alertOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.addr, "alerts-addr", "",
		"where to take the events of a Flux Provider of type generic-hmac, at "+alerts.Path+" (default: nowhere)")
	f.StringVar(&o.keyFile, "alerts-key-file", "",
		"file that holds the token of that Provider's Secret; it is read anew for each event")
}

// check reads the flags.
func (o *alertOptions) check() error {
	if o.addr != "" && o.keyFile == "" {
		return errors.New("--alerts-addr needs --alerts-key-file: an event that is not signed is not taken")
	}
	return nil
}

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
