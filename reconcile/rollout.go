package reconcile

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// crashedHere says whether a Rollback of the namespace recorded that a new revision with an image did not become ready,
// whatever became of it: the registry still has it, and it is no target.
func (e *Engine) crashedHere(ctx context.Context, form *v1alpha1.Rollback, former string) (bool, error) {
	r, err := e.Records.Latest(ctx, ImageKey(form.Namespace, former))
	if err != nil {
		return false, fmt.Errorf("look for the Rollback of %s: %w", former, err)
	}
	return r != nil && r.Status.SeenBy(v1alpha1.TriggerRollout) &&
		(r.Status.Outcome == nil || r.Status.Outcome.Result != v1alpha1.ResultRecovered), nil
}

// canaryMoved says whether what is recorded of a refused update is not what it shows now. Why it was refused is told by
// events, which are gone after an hour: what was read of them stays.
func canaryMoved(now, before v1alpha1.Failure) bool {
	a, b := now.Canary, before.Canary
	if a == nil || b == nil || a.Reason == v1alpha1.CanaryUnknown && b.Reason != v1alpha1.CanaryUnknown {
		return false
	}
	return now.Cause != before.Cause || a.Reason != b.Reason || a.Promoted != b.Promoted ||
		!equality.Semantic.DeepEqual(a.Changed, b.Changed) || !slices.Equal(typesOf(a.Doubts), typesOf(b.Doubts))
}

func typesOf(doubts []v1alpha1.RolloutDoubt) []v1alpha1.DoubtType {
	var out []v1alpha1.DoubtType
	for _, d := range doubts {
		out = append(out, d.Type)
	}
	return out
}

// rolloutMoved says whether what is recorded of a new revision is not what it shows now.
func rolloutMoved(now, before v1alpha1.Failure) bool {
	a, b := now.Rollout, before.Rollout
	if a == nil || b == nil {
		return false
	}
	return now.Cause != before.Cause || a.Pods != b.Pods || !slices.Equal(a.Nodes, b.Nodes) ||
		!equality.Semantic.DeepEqual(a.Changed, b.Changed) || !slices.Equal(typesOf(a.Doubts), typesOf(b.Doubts))
}
