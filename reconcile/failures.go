package reconcile

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// failures are what all triggers see right now.
func (w *World) failures() []v1alpha1.Failure { return failuresOf(w.Seen) }

// failuresOf joins what triggers see, in the order of their table.
func failuresOf(seen map[v1alpha1.TriggerType]Observation) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, row := range v1alpha1.Triggers() {
		out = append(out, seen[row.Type].Failures...)
	}
	return out
}

// unnamedIn names the workloads that ask for the subject's image no more, where a trigger says so.
func unnamedIn(seen map[v1alpha1.TriggerType]Observation) string {
	for _, row := range v1alpha1.Triggers() {
		if o := seen[row.Type]; o.Unnamed != "" {
			return o.Unnamed
		}
	}
	return ""
}

// podsOf counts the failing pods, where a trigger does.
func podsOf(w *World) *v1alpha1.PodCount {
	for _, row := range v1alpha1.Triggers() {
		if o := w.Seen[row.Type]; o.Pods != nil {
			return o.Pods
		}
	}
	return nil
}

// covers reports whether the Rollback already knows a failure: the same revision of the same workload and container.
func covers(s *v1alpha1.RollbackStatus, f v1alpha1.Failure) bool {
	return slices.ContainsFunc(s.Failures, func(o v1alpha1.Failure) bool { return sameFailure(o, f) })
}

func sameFailure(a, b v1alpha1.Failure) bool {
	return a.Trigger == b.Trigger && a.Workload == b.Workload && a.Revision == b.Revision && a.Container == b.Container
}

// unseen are failures that the Rollback does not know yet, or knows less well.
func unseen(s *v1alpha1.RollbackStatus, now []v1alpha1.Failure) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, f := range now {
		i := slices.IndexFunc(s.Failures, func(o v1alpha1.Failure) bool { return sameFailure(o, f) })
		switch {
		case i < 0 && len(s.Failures) < v1alpha1.MaxFailures:
			out = append(out, f)
		case i >= 0 && (saysMore(f.Cause, s.Failures[i].Cause) || driftMoved(f, s.Failures[i]) ||
			rolloutMoved(f, s.Failures[i]) || applyMoved(f, s.Failures[i]) || canaryMoved(f, s.Failures[i])):
			out = append(out, f)
		}
	}
	return out
}

// saysMore reports whether a later look knows the cause better: older kubelets hide the first error behind the
// back-off, and a registry that was down at the first pull may later answer that it lacks the image.
func saysMore(now, before v1alpha1.Cause) bool {
	switch {
	case now == before, now == v1alpha1.CauseUnknown, before.ImageFault():
		return false
	}
	return before == v1alpha1.CauseUnknown || now.ImageFault()
}

// driftMoved reports that a look tells something else of a known drift: when Flux undoes it, or what Git says after
// all.
func driftMoved(now, before v1alpha1.Failure) bool {
	return now.Drift != nil && !equality.Semantic.DeepEqual(now.Drift, before.Drift)
}

// rolloutMoved reports whether what is recorded of a new revision is not what it shows now.
func rolloutMoved(now, before v1alpha1.Failure) bool {
	a, b := now.Rollout, before.Rollout
	if a == nil || b == nil {
		return false
	}
	return now.Cause != before.Cause || a.Pods != b.Pods || !slices.Equal(a.Nodes, b.Nodes) ||
		!equality.Semantic.DeepEqual(a.Changed, b.Changed) || !slices.Equal(typesOf(a.Doubts), typesOf(b.Doubts))
}

// applyMoved reports that a look tells something else of what Flux cannot apply than was recorded.
func applyMoved(now, before v1alpha1.Failure) bool {
	a, b := now.Apply, before.Apply
	return a != nil && b != nil && (a.Reason != b.Reason || a.Revision != b.Revision)
}

// canaryMoved reports whether what is recorded of a refused update is not what it shows now. Why it was refused is told
// by events, which are gone after an hour: what was read of them stays.
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

// searchedFor is the failure whose commit is found by rendering, as it was seen last; nil where the record is about an
// image.
func searchedFor(rb *v1alpha1.Rollback) *v1alpha1.Failure {
	for i := len(rb.Status.Failures) - 1; i >= 0 && rb.OfObject(); i-- {
		if f := &rb.Status.Failures[i]; f.Apply != nil || f.Rollout != nil {
			return f
		}
	}
	return nil
}

// triggerOf describes what a record of failures is opened for: the first of their triggers in the table.
func triggerOf(failures []v1alpha1.Failure) v1alpha1.TriggerType {
	if len(failures) == 0 {
		return ""
	}
	return failures[0].Trigger
}
