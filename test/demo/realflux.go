package main

import (
	"context"

	"github.com/backstop-dev/backstop/test/realflux"
)

// realFlux runs Flux's own controllers beside the control plane instead of the stand-ins. Only the kubelet is stood in
// for.
func (w *world) realFlux(ctx context.Context, dir string) error {
	w.say("starting Flux's own controllers from %s, and a stand-in for the kubelet", dir)
	ctx, cancel := context.WithCancel(ctx)
	w.later(cancel)
	w.kubelet(ctx)
	var err error
	w.flux, err = realflux.Start(ctx, realflux.Options{Dir: dir, Env: w.env, Data: w.dir})
	w.later(w.flux.Stop)
	return err
}
