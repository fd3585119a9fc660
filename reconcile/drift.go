package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A drift is a failure of another kind: a container that runs, but not what Git says. It meets a failed pull of what
// Git says in one form, and everything that tells the two apart is here.

// astray are the containers that run something else than Git says right now.
func astray(w *World) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, f := range w.failures() {
		if f.Drift != nil {
			out = append(out, f)
		}
	}
	return out
}

// restoring: a person keeps what Git says. What runs something else is given back to Flux.
func restoring(w *World) Step {
	s := &w.Rollback.Status
	if e := putBack(w); e != nil && e.Result == v1alpha1.ResultRestored {
		return end(w, e.Result, "%s", e.Sentence)
	}
	left := astray(w)
	switch {
	case w.Unread != nil && w.Now.Before(restoredBy(w)):
		return waitsForAccess(w, w.Unread.Kind, w.Unread.Sentence)
	case w.Unread != nil:
		return end(w, v1alpha1.ResultFailed, "%s", w.Unread.Sentence)
	case len(left) == 0 && s.Drifted() && s.Suspect != nil && w.Branch != nil && stand(s, w.Branch).bad == 0:
		return superseded(w)
	case len(left) == 0:
		return end(w, v1alpha1.ResultRejected, "%s", keptByReject(w))
	}
	why := fmt.Sprintf("%s still runs %s; Flux undoes that %s", left[0].Workload, left[0].Drift.Live,
		orElse(left[0].Drift.Undone, "at its next run"))
	deadline := restoredBy(w)
	switch next, _ := nextStop(w); {
	case w.Rollout == nil && w.ReadOnly != "":
		return end(w, v1alpha1.ResultFailed, "%s", w.ReadOnly)
	case next != nil || w.Rollout == nil && !opened(s):
		return requestRestore(w)
	case !opened(s) && w.Rollout.Waits != "":
		why = fmt.Sprintf("%s still runs %s: %s", left[0].Workload, left[0].Drift.Live, w.Rollout.Waits)
	}
	if w.Now.After(deadline) {
		return end(w, v1alpha1.ResultFailed, "asked Flux to restore what Git says, but not verified in %s: %s",
			ShortDuration(w.Policy.Verify), why)
	}
	return untilDue(w, Step{Do: DoWait, Wait: min(lookAgain, deadline.Sub(w.Now)+time.Second), Why: why})
}

// requestRestore is written down before Flux hears of it: Flux may have undone the change before this walk is
// saved, and then nothing else says that it was asked to.
func requestRestore(w *World) Step {
	if !opened(&w.Rollback.Status) {
		return Step{Do: DoRequest, Why: "asking Flux to restore what Git says"}
	}
	step, _ := request(w, " to restore what Git says")
	return step
}

// keptByReject says what a person kept by a rejection, where nothing is changed by hand any more.
func keptByReject(w *World) string {
	s := &w.Rollback.Status
	what := badInWords(w)
	if s.ByHandAlone() {
		what = "what Git says, " + what + ", and nothing is changed by hand any more"
	}
	return fmt.Sprintf("%s keeps %s: %s", s.Verdict.By, what, orElse(s.Verdict.Why, "no reason given"))
}

// restoredBy is when a restore has failed. What Flux is busy with is over first; until then it is not asked.
func restoredBy(w *World) time.Time {
	s := &w.Rollback.Status
	from := s.Verdict.At.Time
	if s.Request != nil {
		from = s.Request.At.Time
	}
	if w.Rollout != nil && w.Rollout.WaitsUntil.After(from) {
		from = w.Rollout.WaitsUntil
	}
	return from.Add(w.Policy.Verify)
}

// unwritable explains why an approval cannot be carried out; empty when it can.
func unwritable(w *World) string {
	if len(w.Rollback.Status.Target.Values) == 0 {
		return w.Rollback.Status.Target.Proof
	}
	return w.ReadOnly
}

// restorable reports that people are asked although nothing may be written to Git: what runs can be restored from it.
func restorable(w *World) bool {
	return len(astray(w)) > 0 && w.Policy.Mode != v1alpha1.ModeNotify && w.Policy.Mode != ""
}

// LiveImages are the images that people put in place by hand, each once.
func LiveImages(drifts []v1alpha1.Failure) []string {
	var out []string
	for _, f := range drifts {
		if !slices.Contains(out, f.Drift.Live) {
			out = append(out, f.Drift.Live)
		}
	}
	return out
}

// agree reports that people put different images in place by hand, and that only one of them is left.
func agree(w *World) bool {
	return len(LiveImages(w.Rollback.Status.Drifts())) > 1 && len(LiveImages(astray(w))) == 1
}

// driftedSince reports that people changed something by hand after the target was found.
func driftedSince(s *v1alpha1.RollbackStatus) bool {
	return slices.ContainsFunc(s.Failures, func(f v1alpha1.Failure) bool {
		return f.Drift != nil && s.Target.At.Before(&f.Since)
	})
}

// ByHand lists what people changed, for a sentence.
func ByHand(s *v1alpha1.RollbackStatus) string {
	var out []string
	for _, f := range s.Failures {
		if f.Drift == nil {
			continue
		}
		who := fmt.Sprintf("%s was changed by hand with %s", f.Workload, orElse(f.Drift.By, "something unknown"))
		if !slices.Contains(out, who) {
			out = append(out, who)
		}
	}
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("%d more", len(out)-3))
	}
	return strings.Join(out, ", ")
}
