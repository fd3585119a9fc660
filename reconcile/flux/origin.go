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
	p, err := f.placeOf(ctx, namespace, w)
	if err != nil {
		return reconcile.Origin{}, err
	}
	return f.assemble(ctx, wish{place: p, namespace: namespace, with: with, since: since})
}

// Reopen finds the source of a suspect again, as reconcile.Flux asks. It refuses when Flux now deploys another branch
// than the suspect's. A suspect without an applier was read from a hold: its GitRepository alone leads on.
func (f *Flux) Reopen(ctx context.Context, namespace string, s v1alpha1.Suspect, with *types.NamespacedName,
	since time.Time,
) (reconcile.Origin, error) {
	key := fmt.Sprintln(namespace, s.Source, s.Branch, s.Applier, s.Automation, s.SharedBy, with)
	return f.reopened.Do(ctx, key, since, func(ctx context.Context) (reconcile.Origin, error) {
		return f.reopen(ctx, namespace, s, with)
	})
}

func (f *Flux) reopen(ctx context.Context, namespace string, s v1alpha1.Suspect, with *types.NamespacedName,
) (reconcile.Origin, error) {
	if s.Applier.Kind != kindKustomization && s.Applier.Kind != kindHelmRelease {
		return f.reopenSource(ctx, namespace, s, with)
	}
	p, err := f.placeOfApplier(ctx, s.Applier)
	if err != nil {
		return reconcile.Origin{}, err
	}
	return f.assemble(ctx, wish{place: p, namespace: namespace, with: with, suspect: &s})
}
