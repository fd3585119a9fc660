package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// What decide was before a trigger was a value, for FuzzTriggersDecideAsBefore alone. It changes no more.

func oldDecide(w World) Step {
	s := &w.Rollback.Status
	if rest := w.Rollback.CreationTimestamp.Add(adoptWithin).Sub(w.Now); adopting(&w.Rollback) && rest > 0 {
		return Step{Do: DoWait, Wait: rest,
			Why: "the hold of " + w.Rollback.Annotations[AdoptsAnnotation] + " in Git is being adopted"}
	}
	if s.Ended() {
		return oldAtRest(&w)
	}
	if seen := unseen(s, podsSeen(&w).Failures); len(seen) > 0 && s.Verdict == nil {
		return Step{Do: DoFailures, Why: "something was seen that the record does not know yet"}
	}
	switch {
	case s.Verdict == nil:
		return oldUndecided(&w)
	case s.Verdict.Answer == v1alpha1.Reject:
		return oldRestoring(&w)
	case s.Change == nil:
		return whenAllowed(&w)
	}
	return underWay(&w)
}

func oldUndecided(w *World) Step {
	s := &w.Rollback.Status
	if r, why := oldOver(w); r != "" {
		return end(w, r, "%s", why)
	}
	if len(s.Failures) == 0 {
		return oldGone(w)
	}
	// Many failures heal by themselves within seconds.
	if ends := s.FirstSeen().Add(w.Policy.Grace); w.Now.Before(ends) && s.Suspect == nil {
		return Step{Do: DoWait, Wait: ends.Sub(w.Now), Until: ends,
			Why: "grace period of " + ShortDuration(w.Policy.Grace)}
	}
	if s.Suspect == nil {
		return Step{Do: DoSuspect, Why: "looking for the commit that brought the image in"}
	}
	if w.Branch == nil {
		if w.ReadOnly != "" {
			return end(w, v1alpha1.ResultSourceNotFound, "%s", w.ReadOnly)
		}
		return noBranch(w)
	}
	t, reverted := commitOf(w)
	switch st := stand(s, w.Branch); {
	case st.bad == 0 && !reverted:
		return superseded(w)
	case s.Target == nil:
		return Step{Do: DoTarget, Why: "asking the registry"}
	case st.bad == 0:
		return verdict(w, v1alpha1.VerdictByBranch, "revert "+text.Short(t.Commit),
			"another Backstop or Rollback reverted the image already")
	case !oldSettled(w) && !w.Now.Before(askAgain(s)):
		return Step{Do: DoTarget, Why: "asking the registry again"}
	}
	return oldJudge(w)
}

func oldGone(w *World) Step {
	if w.Rollback.Spec.OpenedFor == v1alpha1.TriggerDrift {
		return end(w, v1alpha1.ResultRestored, "a change by hand was undone before it could be recorded: what Git "+
			"says, %s, is not changed by hand any more", w.Rollback.Spec.Subject.Name)
	}
	return end(w, v1alpha1.ResultRecovered, "the failure was gone before it could be recorded")
}

func oldSettled(w *World) bool {
	s := &w.Rollback.Status
	switch t := s.Target; {
	case driftedSince(s), !t.Proved && agree(w):
		return false
	case !oldPulled(s):
		return t.Proved || len(t.Values) == 0
	default:
		return t.Proved && t.BadProved
	}
}

func oldAtRest(w *World) Step {
	s := &w.Rollback.Status
	// What says that something is wrong is not left to say so when it is over.
	if r, why := oldOver(w); r != "" && mayHeal(s.Outcome.Result) {
		return end(w, r, "%s", why)
	}
	if stillAsks(s) {
		return oldAskingAtRest(w)
	}
	if !s.HoldStands() {
		return Step{Do: DoWait}
	}
	if w.Unread != nil {
		return waitsForAccess(w, w.Unread.Kind, "the hold stands: "+w.Unread.Sentence)
	}
	if w.Branch == nil {
		return Step{Do: DoWait, Wait: restAgain}
	}
	if stand(s, w.Branch).held == 0 {
		by := "a commit that took the prefix away"
		for _, t := range w.Branch.Commits {
			if t.Kind == TrailerLift && t.When.After(s.Change.At.Time.Add(-time.Second)) {
				by = "the lift " + text.Short(t.Commit)
				break
			}
		}
		return Step{Do: DoLifted, By: by}
	}
	step := onceSelected(w, w.Branch.Held[0], "the hold")
	if d := w.Rollback.Spec.Lift; d != nil {
		step = Step{Do: DoLift, By: d.By, Why: "a person released the hold"}
	}
	var no *barredBy
	if step.Do == DoLift && errors.As(mayLift(w.Policy), &no) {
		step = Step{Do: DoWait, Wait: restAgain, Barred: no.bar, Why: "the hold stands, nothing is pushed: " + no.why}
	}
	return remind(w, step)
}

func oldAskingAtRest(w *World) Step {
	s := &w.Rollback.Status
	until := s.Outcome.At.Add(askFor)
	if w.Policy.MaxAge > 0 {
		until = s.Outcome.At.Add(w.Policy.MaxAge)
	}
	expired := s.Outcome.Result == v1alpha1.ResultExpired
	switch {
	case !w.Now.Before(until):
		return Step{Do: DoWait}
	case w.Branch == nil:
		return Step{Do: DoWait, Wait: restAgain, Question: s.Question}
	case stand(s, w.Branch).bad == 0 && expired:
		return superseded(w)
	case stand(s, w.Branch).bad == 0 || onlyTold(w) != "":
		return Step{Do: DoWait, Wait: restAgain}
	}
	q := oldQuestionOf(w, oldDoubts(w))
	if d, ok := decisionOn(w, q); ok {
		return answeredBy(w, d, q)
	}
	return Step{Do: DoWait, Wait: min(restAgain, max(until.Sub(w.Now), time.Second)), Question: q}
}

func oldRestoring(w *World) Step {
	s := &w.Rollback.Status
	if r, why := oldOver(w); r == v1alpha1.ResultRestored {
		return end(w, r, "%s", why)
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
		step, _ := request(w, " to restore what Git says")
		return step
	case !opened(s) && w.Rollout.Waits != "":
		why = fmt.Sprintf("%s still runs %s: %s", left[0].Workload, left[0].Drift.Live, w.Rollout.Waits)
	}
	if w.Now.After(deadline) {
		return end(w, v1alpha1.ResultFailed, "asked Flux to restore what Git says, but not verified in %s: %s",
			ShortDuration(w.Policy.Verify), why)
	}
	return untilDue(w, Step{Do: DoWait, Wait: min(lookAgain, deadline.Sub(w.Now)+time.Second), Why: why})
}

func oldOver(w *World) (v1alpha1.Result, string) {
	s := &w.Rollback.Status
	switch {
	case len(podsSeen(w).Failures) > 0:
	case s.Drifted() && podsSeen(w).Restored != "":
		return v1alpha1.ResultRestored, fmt.Sprintf("%s, %s after the change by hand: %s runs %s again, as Git says",
			oldTakenBack(s), Roughly(w.Now.Sub(oldChangedAt(s))), podsSeen(w).Restored, w.Rollback.Spec.Subject.Name)
	case s.Drifted() && !oldBlamed(s) && s.Ended() && podsSeen(w).Unnamed != "":
		return v1alpha1.ResultRecovered, fmt.Sprintf("%s does not ask for %s any more, and nothing there is changed by hand",
			podsSeen(w).Unnamed, w.Rollback.Spec.Subject.Name)
	case s.Drifted() && !oldBlamed(s):
	case s.Ended() && s.Outcome.Result == v1alpha1.ResultSourceNotFound && podsSeen(w).Unnamed != "":
		return v1alpha1.ResultRecovered, NeverInGit(podsSeen(w).Unnamed, w.Rollback.Spec.Subject)
	case oldRolled(s) && podsSeen(w).Steady != "":
		return v1alpha1.ResultRecovered, podsSeen(w).Steady + " runs well after all"
	case oldRolled(s):
		// That a container starts is no news: it crashes afterwards.
	case podsSeen(w).Started != "":
		return v1alpha1.ResultRecovered, podsSeen(w).Started + " runs the image after all"
	}
	return "", ""
}

func oldTakenBack(s *v1alpha1.RollbackStatus) string {
	by := "Flux"
	for _, f := range slices.Backward(s.Failures) {
		if f.Drift != nil && f.Drift.UndoneBy != nil {
			by = f.Drift.UndoneBy.String()
		}
	}
	if s.Verdict == nil || s.Verdict.Answer != v1alpha1.Reject {
		return by + " undid it"
	}
	if s.Request == nil || s.Request.At.Before(&s.Verdict.At) {
		return by + " undid it by itself before the answer of " + s.Verdict.By + " was carried out"
	}
	return s.Verdict.By + " had it restored from Git"
}

func oldChangedAt(s *v1alpha1.RollbackStatus) time.Time {
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

func oldBlamed(s *v1alpha1.RollbackStatus) bool {
	return slices.ContainsFunc(s.Failures, func(f v1alpha1.Failure) bool { return f.Drift == nil })
}

func oldPulled(s *v1alpha1.RollbackStatus) bool { return s.SeenBy(v1alpha1.TriggerImagePull) }

func oldRolled(s *v1alpha1.RollbackStatus) bool { return s.SeenBy(v1alpha1.TriggerRollout) }

func oldRollouts(w *World) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, all := range [][]v1alpha1.Failure{podsSeen(w).Failures, w.Rollback.Status.Failures} {
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
