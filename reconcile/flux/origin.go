package flux

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Origin finds the source of a workload, as reconcile.Flux asks. with names the GitRepository to push with instead of
// Flux's own; it must follow the branch that Flux deploys.
func (f *Flux) Origin(ctx context.Context, namespace string, w v1alpha1.Workload, with *types.NamespacedName,
	since time.Time,
) (reconcile.Origin, error) {
	p, err := f.placeOf(ctx, namespace, w, since)
	if err != nil {
		return reconcile.Origin{}, err
	}
	assemble := func(ctx context.Context) (reconcile.Origin, error) {
		return f.assemble(ctx, request{place: p, namespace: namespace, with: with, since: since})
	}
	if since.IsZero() {
		return assemble(ctx)
	}
	// What one Kustomization or HelmRelease applies has one origin.
	key := fmt.Sprintln("of", namespace, p.reconciler, p.version(), with)
	return f.reopened.Do(ctx, key, since, assemble)
}

// Reopen finds the source of a suspect again, as reconcile.Flux asks. It refuses when Flux now deploys another branch
// than the suspect's. A suspect without an applier was read from a hold: its GitRepository alone leads on.
func (f *Flux) Reopen(ctx context.Context, namespace string, s v1alpha1.Suspect, with *types.NamespacedName,
	since time.Time,
) (reconcile.Origin, error) {
	key := fmt.Sprintln(namespace, s.Source, s.Branch, s.Reconciler, s.Automation, s.SharedBy, with)
	return f.reopened.Do(ctx, key, since, func(ctx context.Context) (reconcile.Origin, error) {
		return f.reopen(ctx, request{namespace: namespace, with: with, suspect: &s, since: since})
	})
}

func (f *Flux) reopen(ctx context.Context, w request) (reconcile.Origin, error) {
	by := w.suspect.Reconciler
	if by.Kind != kindKustomization && by.Kind != kindHelmRelease {
		return f.reopenSource(ctx, w.namespace, *w.suspect, w.with)
	}
	var err error
	if w.place, err = f.placeOfReconciler(ctx, by, w.since); err != nil {
		return reconcile.Origin{}, err
	}
	return f.assemble(ctx, w)
}
