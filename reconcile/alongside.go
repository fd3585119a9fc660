package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// gatherDoubts reads what is looked at before a verdict alone.
func (e *Engine) gatherDoubts(ctx context.Context, w *World, origin Origin) error {
	if err := e.alongside(ctx, w, &origin); err != nil {
		return err
	}
	w.Suspended, w.RanHere = origin.Suspended, e.ranHere(ctx, w, origin)
	return e.neighbours(ctx, w)
}

// alongside has an origin say what stands behind each workload of a Rollback, and not behind the first one alone: what
// keeps Flux from applying anything there, and what it found healthy. Others of one image may be applied by other
// Kustomizations and releases of the same source.
func (e *Engine) alongside(ctx context.Context, w *World, origin *Origin) error {
	rb := &w.Rollback
	workloads := rb.Status.Workloads()
	if len(workloads) < 2 || rb.OfObject() {
		return nil
	}
	var healthy []Healthy
	for _, wl := range workloads {
		o, err := e.Flux.Origin(ctx, rb.Namespace, wl, w.Policy.Source, w.since)
		if _, refused := AsRefusal(err); refused {
			// It is gone, or not Flux's: nothing of it goes back.
			continue
		}
		if err != nil {
			return fmt.Errorf("find the source of %s: %w", wl, err)
		}
		if o.Source.Name != origin.Source.Name || o.Source.Pushes() != origin.Source.Pushes() {
			continue
		}
		for _, ref := range o.Suspended {
			if !slices.Contains(origin.Suspended, ref) {
				origin.Suspended = append(slices.Clip(origin.Suspended), ref)
			}
		}
		for _, h := range o.Healthy {
			if len(h.Only) == 0 {
				h.Only = []v1alpha1.Workload{wl}
			}
			healthy = append(healthy, h)
		}
	}
	if len(healthy) > 0 {
		origin.Healthy = healthy
	}
	return nil
}
