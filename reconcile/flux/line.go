package flux

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Line is all of Flux that has to do with a workload, for people: the chain that applies it, and the origin of what it
// applies. Both are of one place, which is looked for once.
type Line struct {
	// Chain that applies the workload. Where it is nil, NotFlux explains why Flux does not apply it, or Unread what the
	// reader may not see.
	Chain           *Chain
	NotFlux, Unread string
	// Origin is where a revert would be pushed. Where it is nil, NoOrigin explains why, and NoRights whether that is about
	// what the reader may not see.
	Origin   *reconcile.Origin
	NoOrigin string
	NoRights bool
}

// Line reads what Flux has to do with a workload. with names the GitRepository that a source of another kind is built
// from, and that is pushed with, as a RollbackPolicy does; nil for none.
func (f *Flux) Line(ctx context.Context, namespace string, w v1alpha1.Workload, with *types.NamespacedName,
) (Line, error) {
	var out Line
	p, notPlaced := f.placeOf(ctx, namespace, w, time.Time{})
	if err := notPlaced; err != nil {
		if err = out.noChain(err); err == nil {
			err = out.noOrigin(notPlaced)
		}
		return out, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		c, err := f.chainOf(ctx, p, namespace, with)
		if err == nil {
			out.Chain = &c
		}
		return out.noChain(err)
	})
	group.Go(func() error {
		o, err := f.assemble(ctx, request{place: p, namespace: namespace, with: with})
		if err == nil {
			out.Origin = &o
		}
		return out.noOrigin(err)
	})
	err := group.Wait()
	return out, err
}

// noChain writes down why there is no chain; what does not explain why is an error.
func (l *Line) noChain(err error) error {
	why, refused := reconcile.AsRefusal(err)
	switch {
	case reconcile.KindOf(err) == reconcile.FaultNoRights:
		l.Unread = why
	case refused:
		l.NotFlux = why
	default:
		return err
	}
	return nil
}

// noOrigin writes down why there is no origin; what does not explain why is an error.
func (l *Line) noOrigin(err error) error {
	why, refused := reconcile.AsRefusal(err)
	switch {
	case refused:
		l.NoOrigin, l.NoRights = why, reconcile.KindOf(err) == reconcile.FaultNoRights
	case apierrors.IsNotFound(err):
		l.NoOrigin = err.Error()
	default:
		return err
	}
	return nil
}
