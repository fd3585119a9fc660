package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// DescribePolicies writes into the status of each policy whether it can do what its spec asks for, if that changed.
// home is Backstop's own namespace, whose policies may be the fleet's policy.
func (r *Records) DescribePolicies(ctx context.Context, subjects []reconcile.Subject, home string, now time.Time,
) error {
	policies, _, err := r.Policies(ctx, home)
	if err != nil {
		return fmt.Errorf("list policies: %w", err)
	}
	slices.SortFunc(policies, func(a, b v1alpha1.RollbackPolicy) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	var errs []error
	for i, conditions := range reconcile.PolicyConditions(policies, subjects, home) {
		p := policies[i].DeepCopy()
		p.Status.ObservedGeneration = p.Generation
		for _, c := range conditions {
			c.LastTransitionTime = metav1.NewTime(now)
			meta.SetStatusCondition(&p.Status.Conditions, c)
		}
		if len(conditions) == 1 {
			meta.RemoveStatusCondition(&p.Status.Conditions, "Stalled")
		}
		r.describeSlack(p, now)
		if equality.Semantic.DeepEqual(p.Status, policies[i].Status) {
			continue
		}
		// A policy that was changed or deleted since is described next time.
		if err := r.Client.Status().Update(ctx, p); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("write the status of policy %s/%s: %w", p.Namespace, p.Name, err))
		}
	}
	return errors.Join(errs...)
}

// PoliciesNow lists the policies that may speak of a namespace, live. The namespace's labels are those of the watch:
// they cannot be read one at a time.
func (r *Records) PoliciesNow(ctx context.Context,
	namespace string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	_, labels, err := r.Policies(ctx, namespace)
	if err != nil {
		return nil, nil, fmt.Errorf("read the labels of namespace %s: %w", namespace, err)
	}
	from := []string{namespace}
	if r.Home != namespace && (len(r.Namespaces) == 0 || slices.Contains(r.Namespaces, r.Home)) {
		from = append(from, r.Home)
	}
	var out []v1alpha1.RollbackPolicy
	for _, ns := range from {
		var list v1alpha1.RollbackPolicyList
		if err := r.Client.List(ctx, &list, client.InNamespace(ns)); err != nil {
			return nil, nil, fmt.Errorf("list RollbackPolicies in %s: %w", ns, err)
		}
		out = append(out, list.Items...)
	}
	return out, labels, nil
}

// slackReady is the condition that the cards' channel has its say in.
const slackReady = "SlackReady"

// describeSlack reports whether the policy's cards reach anybody.
func (r *Records) describeSlack(p *v1alpha1.RollbackPolicy, now time.Time) {
	var c *metav1.Condition
	if r.Slack != nil {
		c = r.Slack(p)
	}
	if c == nil {
		meta.RemoveStatusCondition(&p.Status.Conditions, slackReady)
		return
	}
	c.ObservedGeneration, c.LastTransitionTime = p.Generation, metav1.NewTime(now)
	meta.SetStatusCondition(&p.Status.Conditions, *c)
}
