package flux

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// remediated tells what Helm did by itself about the values that Git says now; nil where nothing. The conditions of a
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
