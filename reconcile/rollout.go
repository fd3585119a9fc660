package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

// A new revision that has its image and does not become ready is proved by its pods and not by the registry, which has
// the image. Everything that tells it from a failed pull is here.

// pulled says whether a container waits for the image, so that the registry can say whether it is there.
func pulled(s *v1alpha1.RollbackStatus) bool { return s.SeenBy(v1alpha1.TriggerImagePull) }

// rolled says whether a new revision has the image and does not become ready.
func rolled(s *v1alpha1.RollbackStatus) bool { return s.SeenBy(v1alpha1.TriggerRollout) }

// rollouts are the failures of new revisions as they are now, or else as they were recorded.
func rollouts(w *World) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, all := range [][]v1alpha1.Failure{w.Sighting.Failures, w.Form.Status.Failures} {
		for _, f := range all {
			if f.Rollout != nil {
				out = append(out, f)
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return out
}

// doubtsOfRollout are why the policy's word is not enough where a new revision fails: what its pods leave open, and who
// else may deploy it.
func doubtsOfRollout(w *World) []v1alpha1.Doubt {
	s := &w.Form.Status
	if !rolled(s) {
		return nil
	}
	var out []v1alpha1.Doubt
	failing := rollouts(w)
	for _, f := range failing {
		for _, d := range f.Rollout.Doubts {
			if !slices.ContainsFunc(out, func(o v1alpha1.Doubt) bool { return o.Type == d.Type }) {
				out = append(out, v1alpha1.Doubt{Type: d.Type, Message: f.Workload.String() + ": " + d.Message})
			}
		}
		if was := f.Rollout.FormerImage; was != "" && s.Target.Image != "" && !image.SameTag(was, s.Target.Image) {
			out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtTargetNotRan, Message: fmt.Sprintf(
				"%s ran %s before, and the target is %s", f.Workload, was, s.Target.Image)})
		}
	}
	if !w.Policy.SoleCluster {
		out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtOtherClusters,
			Message: "other clusters may deploy the same and run it well, unless the policy says soleCluster"})
	}
	return out
}

// proveByPods takes what the pods of a new revision show for a proof, where nothing speaks against it.
func proveByPods(w *World, target *v1alpha1.Target) {
	var said []string
	target.BadProved = true
	for _, f := range rollouts(w) {
		target.BadProved = target.BadProved && len(f.Rollout.Doubts) == 0
		said = append(said, fmt.Sprintf("%s of revision %s %s%s", f.Container, f.Revision, f.Cause.Words(), exitOf(f.Rollout)))
	}
	slices.Sort(said)
	target.Proof = joinWords(strings.Join(slices.Compact(said), ", "), target.Proof)
}

// exitOf says how a container ended.
func exitOf(r *v1alpha1.Rollout) string {
	if r.ExitCode == nil {
		return ""
	}
	return fmt.Sprintf(" with exit code %d", *r.ExitCode)
}

// crashedHere says whether a Rollback of the namespace recorded that a new revision with an image did not become ready,
// whatever became of it: the registry still has it, and it is no target.
func (e *Engine) crashedHere(ctx context.Context, form *v1alpha1.Rollback, former string) (bool, error) {
	r, err := e.Records.Latest(ctx, ImageKey(form.Namespace, former))
	if err != nil {
		return false, fmt.Errorf("look for the Rollback of %s: %w", former, err)
	}
	return r != nil && rolled(&r.Status) &&
		(r.Status.Outcome == nil || r.Status.Outcome.Result != v1alpha1.ResultRecovered), nil
}

// rolloutMoved says whether what is recorded of a new revision is not what it shows now.
func rolloutMoved(now, before v1alpha1.Failure) bool {
	a, b := now.Rollout, before.Rollout
	if a == nil || b == nil {
		return false
	}
	types := func(r *v1alpha1.Rollout) []v1alpha1.DoubtType {
		var out []v1alpha1.DoubtType
		for _, d := range r.Doubts {
			out = append(out, d.Type)
		}
		return out
	}
	return now.Cause != before.Cause || a.Pods != b.Pods || !slices.Equal(a.Nodes, b.Nodes) ||
		!equality.Semantic.DeepEqual(a.Changed, b.Changed) || !slices.Equal(types(a), types(b))
}
