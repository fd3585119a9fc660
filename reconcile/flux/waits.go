package flux

import (
	"cmp"
	"context"
	"fmt"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// runningHealthChecks is how kustomize-controller says that it checks what it has applied. It starts nothing else until
// that ends.
const runningHealthChecks = "Running health checks"

// maxDependencies is how many dependencies are looked at for how long they may take.
const maxDependencies = 10

// kustomizationWaits explains why a Kustomization has not attempted a commit, and until when that lasts at the latest;
// zero where nobody knows. What failed before the source fetched the commit says nothing about it.
func (f *Flux) kustomizationWaits(ctx context.Context, k *kustomizev1.Kustomization, fetched bool,
) (string, time.Time, error) {
	ref := refTo(kindKustomization, k.Namespace, k.Name)
	if k.Spec.Suspend {
		return fmt.Sprintf("%s is suspended and applies nothing: %s", ref, resume(ref)), time.Time{}, nil
	}
	if !k.DeletionTimestamp.IsZero() {
		return fmt.Sprintf("%s is being deleted", ref), time.Time{}, nil
	}
	if why, until, ok := working(ref, k.Status.Conditions); ok {
		return why, until, nil
	}
	ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionFalse {
		return "", time.Time{}, nil
	}
	if ready.Reason == meta.DependencyNotReadyReason {
		until, err := f.dependenciesUntil(ctx, k)
		return fmt.Sprintf("%s waits for what it depends on: %s", ref, tell(ready.Message)), until, err
	}
	if !fetched {
		return "", time.Time{}, nil
	}
	return failedApply(k, ready), ready.LastTransitionTime.Add(min(k.GetRetryInterval(), maxTimeout)), nil
}

// notApplied explains why a Kustomization could not apply what it attempted; empty where it could. One object that the
// API server refuses keeps all of them from being applied.
func notApplied(k *kustomizev1.Kustomization) string {
	ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason == meta.HealthCheckFailedReason {
		return ""
	}
	return failedApply(k, ready)
}

func failedApply(k *kustomizev1.Kustomization, ready *metav1.Condition) string {
	return fmt.Sprintf("%s failed (%s): %s; it tries again every %s", refTo(kindKustomization, k.Namespace, k.Name),
		ready.Reason, tell(ready.Message), k.GetRetryInterval())
}

// working describes what a controller is doing now, and until when.
func working(ref v1alpha1.ObjectRef, conditions []metav1.Condition) (string, time.Time, bool) {
	c := apimeta.FindStatusCondition(conditions, meta.ReconcilingCondition)
	if c == nil || c.Status != metav1.ConditionTrue || c.Reason != meta.ProgressingReason {
		return "", time.Time{}, false
	}
	doing, ok := parseProgress(c.Message)
	if !ok {
		return "", time.Time{}, false
	}
	until := c.LastTransitionTime.Add(doing.Timeout)
	about := ""
	if doing.Revision != "" {
		about = " of " + tell(doing.Revision)
	}
	return fmt.Sprintf("%s is busy (%s%s) and starts nothing else before that ends, at %s at the latest", ref,
		lowerFirst(tell(doing.What)), about, until.UTC().Format("15:04:05 MST")), until, true
}

func lowerFirst(s string) string {
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return s
	}
	return string(s[0]+'a'-'A') + s[1:]
}

// dependenciesUntil is when the last of the dependencies that are busy ends at the latest; zero when none is.
func (f *Flux) dependenciesUntil(ctx context.Context, k *kustomizev1.Kustomization) (time.Time, error) {
	var last time.Time
	for i, d := range k.Spec.DependsOn {
		if i == maxDependencies {
			break
		}
		ref := refTo(kindKustomization, cmp.Or(d.Namespace, k.Namespace), d.Name)
		var dep kustomizev1.Kustomization
		if err := f.get(ctx, ref, &dep); err != nil {
			if _, refused := reconcile.AsRefusal(err); refused || isGone(err) {
				continue
			}
			return last, err
		}
		if _, until, ok := working(ref, dep.Status.Conditions); ok && until.After(last) {
			last = until
		}
	}
	return last, nil
}

// releaseWaits explains why a HelmRelease has not attempted its newest values, and until when that lasts at the latest.
func releaseWaits(hr *helmv2.HelmRelease) (string, time.Time) {
	ref := refTo(kindHelmRelease, hr.Namespace, hr.Name)
	if hr.Spec.Suspend {
		return fmt.Sprintf("%s is suspended and applies nothing: %s", ref, resume(ref)), time.Time{}
	}
	if why, until, ok := working(ref, hr.Status.Conditions); ok {
		return why, until
	}
	ready := apimeta.FindStatusCondition(hr.Status.Conditions, meta.ReadyCondition)
	switch {
	case ready == nil || ready.Status != metav1.ConditionFalse:
		return fmt.Sprintf("%s has not attempted its newest values yet", ref), time.Time{}
	case ready.Reason == helmv2.DependencyNotReadyReason:
		return fmt.Sprintf("%s waits for what it depends on: %s", ref, tell(ready.Message)), time.Time{}
	}
	return fmt.Sprintf("%s has not attempted its newest values yet (%s): %s", ref, ready.Reason, tell(ready.Message)),
		time.Time{}
}
