package flux

import (
	"fmt"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// remediated says what Helm did by itself about the values that Git says now; nil where nothing. The conditions of a
// release that is ready, or that has not attempted its newest spec, are about something else.
func remediated(hr *helmv2.HelmRelease) *v1alpha1.Remediation {
	if hr == nil || hr.Status.LastAttemptedGeneration != hr.Generation {
		return nil
	}
	c := apimeta.FindStatusCondition(hr.Status.Conditions, helmv2.RemediatedCondition)
	if c == nil || c.Status != metav1.ConditionTrue ||
		apimeta.IsStatusConditionTrue(hr.Status.Conditions, meta.ReadyCondition) {
		return nil
	}
	action := map[string]v1alpha1.RemediationAction{
		helmv2.RollbackSucceededReason:  v1alpha1.RemediationRollback,
		helmv2.UninstallSucceededReason: v1alpha1.RemediationUninstall,
	}[c.Reason]
	if action == "" {
		return nil
	}
	return &v1alpha1.Remediation{
		Release: refTo(kindHelmRelease, hr.Namespace, hr.Name), Action: action,
		At:        v1alpha1.NewTime(c.LastTransitionTime.Time),
		Exhausted: apimeta.IsStatusConditionTrue(hr.Status.Conditions, meta.StalledCondition),
		Message:   text.Cut(text.Mask(c.Message), 1024),
	}
}

// replaced is when a release that somebody made with helm itself is replaced by what Git says. helm-controller finds at
// its next run that it did not make the newest release, and upgrades, with drift detection or without; one that is
// stalled does not run.
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
	return reconcile.Again{Next: next, When: fmt.Sprintf("at %s at the latest", clock(next)),
		Why: fmt.Sprintf("%s upgrades at its next run, every %s, as it did not make the newest release", ref,
			duration.HumanDuration(interval))}
}
