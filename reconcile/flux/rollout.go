package flux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Rollout reports how far the landed commit got, as reconcile.Flux asks.
func (f *Flux) Rollout(ctx context.Context, rb *v1alpha1.Rollback, contains func(tip, commit string) (bool, error),
) (reconcile.Rollout, error) {
	s := &rb.Status
	switch {
	case s.Suspect == nil || s.Landed == nil && s.Verdict == nil:
		return reconcile.Rollout{}, errors.New("read the rollout: the Rollback has not landed yet")
	case s.Landed == nil:
		return f.restoring(ctx, s, reached(s.Suspect.Commit, contains))
	}
	var out reconcile.Rollout
	p, err := f.placeOfReconciler(ctx, s.Suspect.Reconciler, time.Time{})
	why, refused := reconcile.AsRefusal(err)
	switch {
	case refused:
		out.Waits = why
	case err != nil:
		return out, err
	default:
		if err := f.arrival(ctx, &out, p, reached(s.Landed.Commit, contains)); err != nil {
			return out, err
		}
	}
	if err := f.states(ctx, &out, p, rb); err != nil {
		return out, err
	}
	if out.Attempted == "" && out.Waits == "" && p.kustomization != nil && f.wordless(ctx, p) {
		out.Contains = arrived(out.Workloads)
	}
	return out, nil
}

// reached answers whether a commit that was fetched or attempted contains the landed one, and asks for each only once.
// What cannot be told is not contained, and why says so: a commit that a force push took away is known to nobody any
// more, and must not keep the rest from being seen.
func reached(landed string, contains func(tip, commit string) (bool, error)) func(tip string) (has bool, why string) {
	type answer struct {
		has bool
		why string
	}
	known := map[string]answer{"": {}, landed: {has: true}}
	return func(tip string) (bool, string) {
		a, ok := known[tip]
		if !ok {
			has, err := contains(tip, landed)
			a.has = has && err == nil
			if err != nil {
				a.why = fmt.Sprintf("it cannot be told whether %s contains %s: %s", tip, landed, tell(err.Error()))
			}
			known[tip] = a
		}
		return a.has, a.why
	}
}

// arrival reads the source and the appliers.
func (f *Flux) arrival(ctx context.Context, out *reconcile.Rollout, p place, has func(string) (bool, string)) error {
	ref := sourceRef(p.kustomization)
	src, err := f.deployedSource(ctx, ref)
	switch {
	case apierrors.IsNotFound(err):
		out.Source = ref.String() + " does not exist any more"
	case err != nil:
		if why, refused := reconcile.AsRefusal(err); refused {
			out.Source = why
			break
		}
		return err
	}
	var unknown string
	if out.Way, err = f.wayOf(ctx, p, src, way{has: has}); err != nil {
		return err
	}
	out.Fetched, unknown = has(src.commit())
	if !out.Fetched {
		out.Source = cmp.Or(out.Source, src.says(), unknown)
	}
	out.Attempted = commitOf(p.kustomization, src, p.kustomization.Status.LastAttemptedRevision)
	out.Contains, unknown = has(out.Attempted)
	if !out.Contains {
		out.Waits, out.WaitsUntil, err = f.kustomizationWaits(ctx, p.kustomization, out.Fetched)
		out.Waits = cmp.Or(out.Waits, unknown)
		return err
	}
	out.Waits = notApplied(p.kustomization)
	if p.release != nil && p.release.Status.LastAttemptedGeneration != p.release.Generation {
		out.Contains = false
		out.Waits, out.WaitsUntil = releaseWaits(p.release)
	}
	return nil
}

// wordless reports whether a source names no commit at all, so that only the workloads themselves can tell.
func (f *Flux) wordless(ctx context.Context, p place) bool {
	ref := sourceRef(p.kustomization)
	if ref.Kind == kindGitRepository {
		return false
	}
	src, err := f.deployedSource(ctx, ref)
	return err == nil && strings.TrimSpace(src.origin()) == ""
}

// arrived reports whether no workload's template names the bad image any more.
func arrived(states []reconcile.WorkloadState) bool {
	for _, s := range states {
		if !s.Gone && !s.Complete {
			return false
		}
	}
	return len(states) > 0
}
