package trigger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile"
)

// Canary sees updates that a canary analysis of Flagger or Argo Rollouts refused. The analysis is its proof, and the
// target is what it promoted before and what still serves.
func Canary() reconcile.Trigger {
	return reconcile.Trigger{
		Type: v1alpha1.TriggerCanary, Observe: among(v1alpha1.TriggerCanary, refusedUpdates), Ended: promoted,
		Doubts: doubtsOfCanary, Breaker: manyRefused, Depth: manyFormer, Prefer: promotedBefore, Prove: provePromoted,
		Fault: proveByAnalysis, Arrived: promotedAgain,
	}
}

func refusedUpdates(o *reconcile.Observation, pods *reconcile.PodsSeen) { o.Over = pods.Promoted }

func promoted(w *reconcile.World) *reconcile.Ending {
	return recovered(w, v1alpha1.TriggerCanary, "has what is to run promoted after all")
}

// refused are the updates that are refused now, or else as they were recorded. Why one was refused stays as it was
// recorded, where its events are gone by now.
func refused(w *reconcile.World) []v1alpha1.Failure {
	if now := slices.Clone(w.Seen[v1alpha1.TriggerCanary].Failures); len(now) > 0 {
		for i := range now {
			explainedBefore(&now[i], w.Rollback.Status.Failures)
		}
		return now
	}
	var out []v1alpha1.Failure
	for _, f := range w.Rollback.Status.Failures {
		if f.Canary != nil {
			out = append(out, f)
		}
	}
	return out
}

// explainedBefore takes over what was recorded of the same update's refusal.
func explainedBefore(f *v1alpha1.Failure, recorded []v1alpha1.Failure) {
	i := slices.IndexFunc(recorded, func(r v1alpha1.Failure) bool {
		return r.Canary != nil && r.Workload == f.Workload && r.Revision == f.Revision && r.Container == f.Container
	})
	if i < 0 || f.Canary.Reason != v1alpha1.CanaryUnknown || recorded[i].Canary.Reason == v1alpha1.CanaryUnknown {
		return
	}
	was := recorded[i].Canary
	canary := *f.Canary
	canary.Reason, canary.Checks, f.Cause = was.Reason, was.Checks, recorded[i].Cause
	canary.Doubts = slices.DeleteFunc(slices.Clone(canary.Doubts), func(d v1alpha1.RolloutDoubt) bool {
		return d.Type == v1alpha1.DoubtReasonUnknown
	})
	for _, d := range was.Doubts {
		if slices.Contains(reasons, d.Type) {
			canary.Doubts = append(canary.Doubts, d)
		}
	}
	f.Canary = &canary
}

// reasons are the doubts about why an update was refused.
var reasons = []v1alpha1.DoubtType{v1alpha1.DoubtMetrics, v1alpha1.DoubtAborted, v1alpha1.DoubtDeadline}

func doubtsOfCanary(w *reconcile.World) []v1alpha1.Doubt {
	s := &w.Rollback.Status
	var out []v1alpha1.Doubt
	for _, f := range refused(w) {
		for _, d := range f.Canary.Doubts {
			if !slices.ContainsFunc(out, func(o v1alpha1.Doubt) bool { return o.Type == d.Type }) {
				out = append(out, v1alpha1.Doubt{Type: d.Type, Message: f.Workload.String() + ": " + d.Message})
			}
		}
		if was := f.Canary.Promoted; s.Target != nil && s.Target.Image != "" && !image.SameTag(was, s.Target.Image) {
			out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtTargetNotRan, Message: fmt.Sprintf(
				"%s runs %s, and the target is %s", f.Canary.PromotedBy, was, s.Target.Image)})
		}
	}
	if len(w.Seen[v1alpha1.TriggerCanary].Failures) == 0 {
		out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtAnalysedAgain,
			Message: "it is not refused any more: it is analysed again, or what refused it cannot be read"})
	}
	if !w.Policy.SoleCluster {
		out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtOtherClusters,
			Message: "other clusters may deploy the same and run it well, unless the policy says soleCluster"})
	}
	return out
}

// manyAt is how many that fail at the same time make the suspect what they share, and refusedWithin is how long that
// time is for canaries.
const (
	manyAt        = 3
	refusedWithin = 30 * time.Minute
)

// manyRefused opens the breaker where several analyses fail at once: they share what measures them.
func manyRefused(w *reconcile.World, open []v1alpha1.Rollback) string {
	by := map[string]bool{}
	add := func(r *v1alpha1.Rollback) {
		for _, f := range r.Status.Failures {
			if f.Canary != nil && w.Now.Sub(f.Since.Time) < refusedWithin {
				by[r.Namespace+"/"+named(f.Canary.By)] = true
			}
		}
	}
	add(&w.Rollback)
	for i := range open {
		add(&open[i])
	}
	if len(by) < manyAt {
		return ""
	}
	return fmt.Sprintf("breaker: %d canaries refuse updates at the same time, what measures them is the suspect", len(by))
}

// promotedImages are what the containers have in what was promoted before, each once.
func promotedImages(w *reconcile.World) (images []string, by string) {
	for _, f := range refused(w) {
		if was := f.Canary.Promoted; was != "" && !slices.ContainsFunc(images, func(i string) bool {
			return image.SameTag(i, was)
		}) {
			images = append(images, was)
			by = f.Canary.PromotedBy
		}
	}
	return images, by
}

// promotedBefore makes a target of what was promoted before, where Git had it there.
func promotedBefore(w *reconcile.World, former []reconcile.Former, _ reconcile.Prover) (*v1alpha1.Target, error) {
	images, by := promotedImages(w)
	if len(images) != 1 {
		return nil, nil
	}
	i := slices.IndexFunc(former, func(f reconcile.Former) bool { return image.SameTag(f.Image, images[0]) })
	if i < 0 {
		return nil, nil
	}
	return &v1alpha1.Target{Image: former[i].Image, Values: former[i].Values, Proved: true,
		Proof: fmt.Sprintf("%s runs %s", by, images[0])}, nil
}

// provePromoted takes what runs for a proof, and nothing else.
func provePromoted(_ context.Context, w *reconcile.World, f reconcile.Former) (reconcile.Proof, error) {
	images, by := promotedImages(w)
	switch {
	case len(images) == 1 && image.SameTag(f.Image, images[0]):
		return reconcile.Proof{Finding: reconcile.FindingPresent, Sentence: fmt.Sprintf("%s runs %s", by, images[0])}, nil
	case len(images) == 0:
		return reconcile.Proof{Finding: reconcile.FindingUnproved, Sentence: "nothing tells what was promoted before"}, nil
	}
	return reconcile.Proof{Finding: reconcile.FindingUnproved, Sentence: fmt.Sprintf(
		"%s is not what was promoted before (%s)",
		f.Image, strings.Join(images, ", "))}, nil
}

// proveByAnalysis takes the refusal for a proof, where nothing speaks against it.
func proveByAnalysis(_ context.Context, w *reconcile.World, _ *v1alpha1.Target) (reconcile.Proof, error) {
	var said []string
	out := reconcile.Proof{Finding: reconcile.FindingAbsent}
	for _, f := range refused(w) {
		if len(f.Canary.Doubts) > 0 {
			out.Finding = reconcile.FindingUnproved
		}
		said = append(said, fmt.Sprintf("%s of %s %s", f.Container, named(f.Canary.By), f.Cause.Words()))
	}
	slices.Sort(said)
	out.Sentence = strings.Join(slices.Compact(said), ", ")
	return out, nil
}

// promotedAgain goes by the workloads' templates, and by the canaries: they have to have taken the revert up.
func promotedAgain(w *reconcile.World) string {
	if missing := reconcile.Arrival(w); missing != "" {
		return missing
	}
	if w.Seen[v1alpha1.TriggerCanary].Over != "" {
		return ""
	}
	var by []string
	for _, f := range w.Rollback.Status.Failures {
		if f.Canary != nil && !slices.Contains(by, named(f.Canary.By)) {
			by = append(by, named(f.Canary.By))
		}
	}
	return fmt.Sprintf("%s has not taken the revert up yet", strings.Join(by, ", "))
}
