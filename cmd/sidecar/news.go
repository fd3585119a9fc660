package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify"
	"github.com/backstop-dev/backstop/notify/console"
	"github.com/backstop-dev/backstop/notify/fluxevent"
)

// tellMore lets the others hear the news too, until the function that it gives is called.
func (s *sidecar) tellMore(ctx context.Context, o *options, out io.Writer) (func(), error) {
	var stops []func()
	stop := func() {
		for _, f := range stops {
			f()
		}
	}
	if o.news.console {
		t := console.New(out, time.Now)
		s.alsoTell(t)
		stops = append(stops, t.Stop)
	}
	if o.news.eventsAddr != "" {
		t, err := fluxevent.New(fluxevent.Options{Addr: o.news.eventsAddr, Cluster: o.cluster, Now: time.Now, Log: s.log})
		if err != nil {
			stop()
			return nil, fmt.Errorf("tell notification-controller: %w", err)
		}
		s.alsoTell(t)
		var sending sync.WaitGroup
		// What the last walk has to tell is sent after ctx has ended.
		running, end := context.WithCancel(context.WithoutCancel(ctx))
		sending.Go(func() { t.Run(running) })
		stops = append(stops, func() { end(); sending.Wait() })
	}
	return stop, nil
}

func (s *sidecar) alsoTell(t notify.Teller) {
	first := s.engine.Tell
	s.engine.Tell = func(before, after *v1alpha1.Rollback) {
		first(before, after)
		t.Tell(before, after)
	}
}
