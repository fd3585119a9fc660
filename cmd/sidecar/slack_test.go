package main

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestThePoliciesOfARecordThatWasJustOpenedAreAskedAgain(t *testing.T) {
	team, asked := types.NamespacedName{Namespace: "shop", Name: "slack"}, 0
	c := &cards{policies: map[string]aged[reconcile.Policy]{}}
	c.resolve = func(_ context.Context, r *v1alpha1.Rollback) (reconcile.Policy, error) {
		asked++
		if len(r.Status.Workloads()) == 0 {
			return reconcile.Policy{}, nil
		}
		return reconcile.Policy{Provider: &team}, nil
	}
	r := &v1alpha1.Rollback{}
	r.UID = "uid"
	if p, err := c.policyOf(t.Context(), r); err != nil || p.Provider != nil {
		t.Fatalf("without a workload: %v, %v", p.Provider, err)
	}
	r.Status.Failures = []v1alpha1.Failure{{Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend"}}}
	for range 3 {
		if p, err := c.policyOf(t.Context(), r); err != nil || p.Provider == nil {
			t.Errorf("with its workload: %v, %v", p.Provider, err)
		}
	}
	if asked != 2 {
		t.Errorf("the policies were asked %d times, want once for each state", asked)
	}
}
