package trigger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile"
)

// manyFormer is how many earlier values are looked through for one that runs: people go further back than a revert
// does.
const manyFormer = 16

// Drift sees containers that run, but not what Git says, since somebody changed them by hand.
func Drift() reconcile.Trigger {
	return reconcile.Trigger{
		Type: v1alpha1.TriggerDrift, Observe: among(v1alpha1.TriggerDrift, changesByHand), Ended: undone,
		Gone: undoneBefore, Doubts: doubtsOfDrift, Depth: manyFormer, Prefer: running,
	}
}

func changesByHand(o *reconcile.Observation, pods *reconcile.PodsSeen) { o.Over = pods.Restored }

// undone: Flux has given the workloads what Git says. What was only told is over as well when Git was made to say
// something else.
func undone(w *reconcile.World) *reconcile.Ending {
	s, now := &w.Rollback.Status, w.Seen[v1alpha1.TriggerDrift]
	switch {
	case now.Over != "":
		return &reconcile.Ending{Result: v1alpha1.ResultRestored,
			Sentence: fmt.Sprintf("%s, %s after the change by hand: %s runs %s again, as Git says", who(s),
				reconcile.Roughly(w.Now.Sub(changedAt(s))), now.Over, w.Rollback.Spec.Subject)}
	case s.Ended() && now.Unnamed != "":
		return &reconcile.Ending{Result: v1alpha1.ResultRecovered,
			Sentence: fmt.Sprintf("%s does not ask for %s any more, and nothing there is changed by hand", now.Unnamed,
				w.Rollback.Spec.Subject)}
	}
	return nil
}

func undoneBefore(w *reconcile.World) reconcile.Ending {
	return reconcile.Ending{Result: v1alpha1.ResultRestored, Sentence: fmt.Sprintf("a change by hand was undone "+
		"before it could be recorded: what Git says, %s, is not changed by hand any more", w.Rollback.Spec.Subject)}
}

// who undid a drift. A person had it restored only where Flux was asked to: it may have been faster than the
// answer.
func who(s *v1alpha1.RollbackStatus) string {
	v, by := s.Verdict, "Flux"
	for _, f := range s.Failures {
		if f.Drift != nil && f.Drift.UndoneBy != nil {
			by = f.Drift.UndoneBy.String()
			break
		}
	}
	switch {
	case v == nil || v.Answer != v1alpha1.Reject:
		return by + " undid it"
	case s.Request == nil || s.Request.At.Before(&v.At):
		return by + " undid it by itself before the answer of " + v.By + " was carried out"
	}
	return v.By + " had it restored from Git"
}

// changedAt is when the change by hand was made, as far as that is known.
func changedAt(s *v1alpha1.RollbackStatus) time.Time {
	var last time.Time
	for _, f := range s.Failures {
		if f.Drift == nil {
			continue
		}
		at := f.Since.Time
		if f.Drift.At != nil && f.Drift.At.Time.Before(at) {
			at = f.Drift.At.Time
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

func doubtsOfDrift(w *reconcile.World) []v1alpha1.Doubt {
	if by := reconcile.ByHand(&w.Rollback.Status); by != "" {
		return []v1alpha1.Doubt{{Type: v1alpha1.DoubtChangedByHand, Message: by}}
	}
	return nil
}

// running makes a target of what people have put in place by hand, if Git had it there before and the registry still
// has it.
func running(w *reconcile.World, former []reconcile.Former, prove reconcile.Prover) (*v1alpha1.Target, error) {
	live := reconcile.LiveImages(w.Rollback.Status.Drifts())
	if left := reconcile.LiveImages(w.Seen[v1alpha1.TriggerDrift].Failures); len(live) > 1 && len(left) > 0 {
		// What Flux undid already does not count.
		live = left
	}
	switch len(live) {
	case 0:
		return nil, nil
	case 1:
	default:
		return &v1alpha1.Target{Proof: "the workloads run different images by hand (" + strings.Join(live, ", ") +
			"): commit the one that is meant"}, nil
	}
	i := slices.IndexFunc(former, func(f reconcile.Former) bool { return image.SameTag(f.Image, live[0]) })
	if i < 0 {
		return &v1alpha1.Target{
			Proof: live[0] + " was never in Git at this place: commit it by hand, or restore what Git says",
		}, nil
	}
	p, err := prove(former[i].Image)
	if err != nil {
		return nil, err
	}
	t := &v1alpha1.Target{Image: former[i].Image, Digest: p.Digest, Proof: p.Sentence,
		Proved: p.Finding == reconcile.FindingPresent}
	if p.Finding != reconcile.FindingAbsent {
		t.Values = former[i].Values
	}
	return t, nil
}
