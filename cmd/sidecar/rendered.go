package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// rendered renders what Flux would apply before and after a revert, and refuses one that would break it. No lock of the
// mirror is held meanwhile. What cannot be rendered as it is now says nothing of a revert: variables that come from the
// cluster stay open, since their values may be secret.
func rendered(mirrors *gitrepo.Mirrors, live client.Reader, log *slog.Logger,
) func(context.Context, reconcile.Origin, reconcile.Revert) error {
	return func(ctx context.Context, origin reconcile.Origin, r reconcile.Revert) error {
		k := &kustomizev1.Kustomization{}
		by := origin.Root.By
		err := live.Get(ctx, types.NamespacedName{Namespace: by.Namespace, Name: by.Name}, k)
		if err != nil {
			return fmt.Errorf("read %s: %w", by, err)
		}
		plan, err := mirrors.Preview(ctx, origin.Source, []reconcile.Revert{r})
		if _, refused := reconcile.AsRefusal(err); refused || err == nil && plan.Landings[0].Err != nil {
			// Whoever pushes it is told the same, on the tip of then.
			return nil //nolint:nilerr // what cannot be planned renders nothing
		}
		if err != nil {
			return fmt.Errorf("plan the revert: %w", err)
		}
		job := &render.Job{Spec: k.Spec, Open: k.Spec.PostBuild != nil && len(k.Spec.PostBuild.SubstituteFrom) > 0}
		if _, err := render.Objects(ctx, render.NewTree(plan.Tree), job); err != nil {
			log.Debug("what Git says now is not rendered", "by", by.String(), "why", err.Error())
			return ctx.Err()
		}
		after := plan.After()
		_, err = render.Objects(ctx, render.NewTree(render.Over(plan.Tree, after)), job)
		if why, refused := reconcile.AsRefusal(err); refused {
			return reconcile.Refuse("taking %s back in %v would keep Flux from applying %s: %s. Take it back by hand", r.Image,
				slices.Sorted(maps.Keys(after)), by, why)
		}
		return err
	}
}
