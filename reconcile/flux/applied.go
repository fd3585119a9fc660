package flux

import (
	"context"
	"fmt"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// Applied describes what was applied to a workload last, and when that is done again, as reconcile.Flux asks.
func (f *Flux) Applied(ctx context.Context, namespace string, w v1alpha1.Workload, since time.Time,
) (reconcile.Applied, error) {
	p, err := f.placeOf(ctx, namespace, w, time.Time{})
	if err != nil {
		return reconcile.Applied{}, err
	}
	out := reconcile.Applied{Reconciler: p.reconciler, Busy: applying(p)}
	k := p.kustomization
	src, err := f.deployedSource(ctx, sourceRef(k))
	if _, refused := reconcile.AsRefusal(err); err != nil && !refused && !apierrors.IsNotFound(err) {
		return out, err
	}
	out.Commit = commitOf(k, src, appliedRevision(k))
	if p.release != nil {
		out.Again = nextRelease(p.release, since)
		released := replaced(p.release, since)
		out.Released = &released
	} else {
		out.Again = nextKustomization(k, since)
	}
	return out, nil
}

// applying reports that an applier has fetched a revision and not yet applied it. A health check comes after that.
func applying(p place) string {
	conditions, ref := p.kustomization.Status.Conditions, p.kustomizationRef()
	if p.release != nil {
		if p.release.Status.LastAttemptedGeneration != p.release.Generation && !p.release.Spec.Suspend {
			return fmt.Sprintf("%s has not attempted its newest values yet", p.reconciler)
		}
		conditions, ref = p.release.Status.Conditions, p.reconciler
	}
	if len(conditions) == 0 {
		return fmt.Sprintf("%s has not run yet", ref)
	}
	c := apimeta.FindStatusCondition(conditions, meta.ReconcilingCondition)
	if c == nil || c.Status != metav1.ConditionTrue || c.Reason != meta.ProgressingReason {
		return ""
	}
	if doing, ok := parseProgress(c.Message); ok && doing.What == runningHealthChecks {
		return ""
	}
	return fmt.Sprintf("%s is applying: %s", ref, tell(c.Message))
}

// appliedRevision is the revision whose manifests are in the cluster. One that is attempted is, as soon as its health
// is checked; one that could not be built or applied is not.
func appliedRevision(k *kustomizev1.Kustomization) string {
	attempted, applied := k.Status.LastAttemptedRevision, k.Status.LastAppliedRevision
	ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	if applied == "" || ready == nil || ready.Status != metav1.ConditionFalse {
		return attempted
	}
	switch ready.Reason {
	case meta.HealthCheckFailedReason, meta.PruneFailedReason:
		return attempted
	}
	return applied
}

// nextKustomization is when a Kustomization applies again. kustomize-controller counts from the end of its last run,
// and shifts its interval by 5 % at random.
func nextKustomization(k *kustomizev1.Kustomization, since time.Time) reconcile.Again {
	ref := refTo(kindKustomization, k.Namespace, k.Name)
	interval, retry := k.Spec.Interval.Duration, k.GetRetryInterval()
	if k.Spec.Suspend {
		return suspended(ref)
	}
	if why, until, ok := working(ref, k.Status.Conditions); ok {
		// Which of the two it is depends on how the check ends: people go by the sooner.
		next := until.Add(retry)
		if soon := since.Add(interval); !since.IsZero() && soon.Before(next) {
			next = soon
		}
		return about(next, until, why)
	}
	last, known := lastRun(k)
	ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	switch {
	case ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == meta.DependencyNotReadyReason:
		return reconcile.Again{When: fmt.Sprintf("as soon as what %s depends on is ready", ref), Why: tell(ready.Message)}
	case !known && since.IsZero():
		return reconcile.Again{When: fmt.Sprintf("within %s, the interval of %s", duration.HumanDuration(interval), ref)}
	case !known:
		next := since.Add(interval)
		return reconcile.Again{Next: next,
			When: fmt.Sprintf("at %s at the latest, after the interval of %s", deadline(next, since), ref)}
	case ready != nil && ready.Status == metav1.ConditionFalse:
		next := last.Add(retry)
		return about(next, last, fmt.Sprintf("%s fails and tries again every %s", ref, duration.HumanDuration(retry)))
	}
	next := last.Add(interval)
	return about(next, last, fmt.Sprintf("%s applies every %s, and each new revision at once",
		ref, duration.HumanDuration(interval)))
}

// about is a time that Flux's jitter moves a little.
func about(next, from time.Time, why string) reconcile.Again {
	return reconcile.Again{Next: next, When: "at about " + deadline(next, from), Why: why}
}

// suspended is never, before somebody resumes it.
func suspended(ref v1alpha1.ObjectRef) reconcile.Again {
	return reconcile.Again{Never: true, When: "never", Why: fmt.Sprintf("%s is suspended (%s)", ref, resume(ref))}
}

// lastRun is when a Kustomization ended its last run, which its history tells since Flux 2.7.
func lastRun(k *kustomizev1.Kustomization) (time.Time, bool) {
	var last time.Time
	for _, h := range k.Status.History {
		if h.LastReconciled.After(last) {
			last = h.LastReconciled.Time
		}
	}
	return last, !last.IsZero()
}

// nextRelease is when a HelmRelease undoes a drift: with drift detection at its next run, whose last one its
// status does not tell; without it not before something else makes it upgrade.
func nextRelease(hr *helmv2.HelmRelease, since time.Time) reconcile.Again {
	ref := refTo(kindHelmRelease, hr.Namespace, hr.Name)
	if hr.Spec.Suspend {
		return suspended(ref)
	}
	if hr.GetDriftDetection().GetMode() != helmv2.DriftDetectionEnabled {
		return reconcile.Again{Never: true, When: "not until the next upgrade",
			Why: fmt.Sprintf("%s does not correct drift (spec.driftDetection)", ref)}
	}
	interval := hr.Spec.Interval.Duration
	if since.IsZero() {
		return reconcile.Again{When: fmt.Sprintf("within %s, the interval of %s, which corrects drift",
			duration.HumanDuration(interval), ref)}
	}
	next := since.Add(interval)
	return reconcile.Again{Next: next, When: fmt.Sprintf("at %s at the latest", deadline(next, since)),
		Why: fmt.Sprintf("%s corrects drift every %s", ref, duration.HumanDuration(interval))}
}

// deadline is a time of day, with the day where it is half a day or more after what it is counted from.
func deadline(t, from time.Time) string { return text.Day(t, from) + t.UTC().Format("15:04:05 MST") }

// replaced is when helm-controller replaces a release that a person made with helm. helm-controller finds at its next
// run that it did not make the newest release, and upgrades, with drift detection or without; one that is stalled does
// not run.
func replaced(hr *helmv2.HelmRelease, since time.Time) reconcile.Again {
	ref := refTo(kindHelmRelease, hr.Namespace, hr.Name)
	interval := hr.Spec.Interval.Duration
	c := apimeta.FindStatusCondition(hr.Status.Conditions, meta.StalledCondition)
	switch {
	case hr.Spec.Suspend:
		return suspended(ref)
	case c != nil && c.Status == metav1.ConditionTrue:
		return reconcile.Again{Never: true, When: "not before Git says something else", Why: fmt.Sprintf(
			"%s is stalled (%s), and runs again when its spec changes or somebody asks for it: flux -n %s reconcile "+
				"helmrelease %s", ref, tell(c.Reason), ref.Namespace, ref.Name)}
	case since.IsZero():
		return reconcile.Again{When: fmt.Sprintf("within %s, the interval of %s", duration.HumanDuration(interval), ref)}
	}
	next := since.Add(interval)
	return reconcile.Again{Next: next, When: fmt.Sprintf("at %s at the latest", deadline(next, since)),
		Why: fmt.Sprintf("%s upgrades at its next run, every %s, as it did not make the newest release", ref,
			duration.HumanDuration(interval))}
}
