package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

// What decide was before a trigger was a value, for FuzzTriggersDecideAsBefore alone. It changes no more.

func oldDecide(w World) Step {
	s := &w.Form.Status
	if rest := w.Form.CreationTimestamp.Add(adoptWithin).Sub(w.Now); adopting(&w.Form) && rest > 0 {
		return Step{Do: DoWait, Wait: rest,
			Why: "the hold of " + w.Form.Annotations[AdoptsAnnotation] + " in Git is being adopted"}
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
		return allowed(&w)
	}
	return underWay(&w)
}

func oldUndecided(w *World) Step {
	s := &w.Form.Status
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
	t, reverted := trailOf(w)
	switch st := stand(s, w.Branch); {
	case st.bad == 0 && !reverted:
		return superseded(w)
	case s.Target == nil:
		return Step{Do: DoTarget, Why: "asking the registry"}
	case st.bad == 0:
		return verdict(w, v1alpha1.VerdictByBranch, "revert "+short(t.Commit),
			"another Backstop or Rollback took the image back already")
	case !oldSettled(w) && !w.Now.Before(askAgain(s)):
		return Step{Do: DoTarget, Why: "asking the registry again"}
	}
	return oldJudge(w)
}

func oldGone(w *World) Step {
	if w.Form.Spec.OpenedFor == v1alpha1.TriggerDrift {
		return end(w, v1alpha1.ResultRestored, "a change by hand was taken back before it could be recorded: what Git "+
			"says, %s, is not changed by hand any more", w.Form.Spec.Subject.Name)
	}
	return end(w, v1alpha1.ResultRecovered, "the failure was gone before it could be recorded")
}

func oldSettled(w *World) bool {
	s := &w.Form.Status
	switch t := s.Target; {
	case newer(s), !t.Proved && agree(w):
		return false
	case !oldPulled(s):
		return t.Proved || len(t.Values) == 0
	default:
		return t.Proved && t.BadProved
	}
}

func oldJudge(w *World) Step {
	s := &w.Form.Status
	barred := onlyTold(w)
	if barred != "" && !restorable(w) {
		if barred == w.ReadOnly && w.ReadOnlyKind.Heals() {
			return waitsForAccess(w, w.ReadOnlyKind, w.ReadOnly)
		}
		return oldWithdrawn(w, barred)
	}
	asks := oldDoubts(w)
	if barred != "" {
		barred = orElse(unwritable(w), barred)
		asks = append(asks, v1alpha1.Doubt{Type: v1alpha1.DoubtNotAdoptable,
			Message: "it cannot be adopted into Git, only be restored from it: " + barred})
	}
	if at := s.Target.ConfirmAt; at != nil && w.Policy.Mode == v1alpha1.ModeAuto && barred == "" && len(asks) == 1 {
		// Nothing but the second look keeps the policy from deciding.
		return Step{Do: DoWait, Wait: max(at.Sub(w.Now), time.Second), Until: at.Time, Why: asks[0].Message}
	}
	q := oldQuestionOf(w, asks)
	if d, ok := counted(w, q); ok {
		return person(w, d, q)
	}
	if w.Policy.Mode == v1alpha1.ModeAuto && len(asks) == 0 {
		return verdict(w, v1alpha1.VerdictByPolicy, "policy "+strings.Join(w.Policy.By, ", "), s.Target.Proof)
	}
	if !w.Now.Before(q.Until.Time) {
		step := end(w, v1alpha1.ResultExpired, "nobody decided in %s; it can still be approved or rejected. Asked because %s",
			ShortDuration(w.Policy.Approval), messages(asks))
		step.Question = q
		return step
	}
	wait := min(q.Until.Sub(w.Now), oldHeals(w))
	return Step{Do: DoWait, Wait: min(max(wait, time.Second), restAgain), Question: q,
		Why: "a person decides by " + q.Until.UTC().Format("15:04:05 MST") + ": " + messages(asks)}
}

func oldWithdrawn(w *World, why string) Step {
	s := &w.Form.Status
	waited := s.Question != nil || len(s.Lapsed) > 0 || s.Waiting != nil && s.Waiting.Barred != ""
	if w.Policy.Bar != v1alpha1.BarSuspended || !waited {
		return end(w, v1alpha1.ResultReportedOnly, "%s: %s", oldTold(w), why)
	}
	rest := oldDeadline(w).Sub(w.Now)
	if rest <= 0 {
		return end(w, v1alpha1.ResultExpired, "nobody decided before %s; when that is over it is asked again", why)
	}
	return Step{Do: DoWait, Wait: min(restAgain, max(rest, time.Second)), Barred: w.Policy.Bar,
		Why: "nothing is asked and nothing pushed: " + why}
}

func oldQuestionOf(w *World, doubts []v1alpha1.Doubt) *v1alpha1.Question {
	answers := answersOf(w)
	out := make([]v1alpha1.Doubt, 0, len(doubts))
	for _, d := range doubts[:min(len(doubts), 32)] {
		out = append(out, v1alpha1.Doubt{Type: d.Type, Message: sentence(d.Message)})
	}
	return &v1alpha1.Question{
		ID: questionID(w, answers), Until: v1alpha1.NewTime(oldDeadline(w)), Doubts: out, Answers: answers,
	}
}

func oldDeadline(w *World) time.Time {
	s := &w.Form.Status
	out := s.FirstSeen().Add(w.Policy.Grace + w.Policy.Approval)
	if n := len(s.Lapsed); n > 0 {
		if after := s.Lapsed[n-1].At.Add(w.Policy.Approval); after.After(out) {
			return after
		}
	}
	return out
}

func oldDoubts(w *World) []v1alpha1.Doubt {
	s := &w.Form.Status
	var out []v1alpha1.Doubt
	add := func(t v1alpha1.DoubtType, format string, args ...any) {
		out = append(out, v1alpha1.Doubt{Type: t, Message: fmt.Sprintf(format, args...)})
	}
	if w.Policy.Mode == v1alpha1.ModeApprove {
		why := ""
		if w.Policy.Why != "" {
			why = " (" + w.Policy.Why + ")"
		}
		add(v1alpha1.DoubtPolicyAsks, "the policy asks for an approval%s", why)
	}
	out = append(out, w.Policy.Asks...)
	if n := len(s.Lapsed); n > 0 {
		add(v1alpha1.DoubtVerdictLapsed, "%s", s.Lapsed[n-1].Why)
	}
	if w.Breaker != "" {
		add(v1alpha1.DoubtBreaker, "%s", w.Breaker)
	}
	if by := ByHand(s); by != "" {
		add(v1alpha1.DoubtChangedByHand, "%s", by)
	}
	for _, c := range s.Causes() {
		if !c.ImageFault() && c != v1alpha1.CauseDrift {
			add(v1alpha1.DoubtCause, "the cause is %s, which need not be the image's fault", c)
		}
	}
	out = append(out, oldDoubtsOfProof(w)...)
	out = append(out, oldDoubtsOfRollout(w)...)
	if s.Suspect.Automation == nil && !s.Suspect.OnlyImages {
		add(v1alpha1.DoubtMoreThanImages, "a person's commit changed more than images")
	}
	if len(s.Suspect.SharedBy) > 0 {
		add(v1alpha1.DoubtSharedFiles, "the files are also rendered by %s", list(s.Suspect.SharedBy))
	}
	if len(w.Suspended) > 0 {
		add(v1alpha1.DoubtSuspended, "Flux applies nothing before somebody resumes %s", list(w.Suspended))
	}
	// Cooldown and budget restrain the policy alone: where a person is asked anyway they are no news.
	if err := claimOf(w, w.Policy.Cooldown).restraint(*w.Branch); err != nil && len(out) == 0 {
		add(v1alpha1.DoubtRestraint, "%s", err)
	}
	return out
}

func oldDoubtsOfProof(w *World) []v1alpha1.Doubt {
	s := &w.Form.Status
	var out []v1alpha1.Doubt
	add := func(t v1alpha1.DoubtType, format string, args ...any) {
		out = append(out, v1alpha1.Doubt{Type: t, Message: fmt.Sprintf(format, args...)})
	}
	if at := s.Target.ConfirmAt; at != nil && !s.Target.BadProved && oldPulled(s) {
		add(v1alpha1.DoubtBadNotProved, "image automation found the image, so the registry is asked once more at %s (%s)",
			clock(at.Time), s.Target.Proof)
	} else if !s.Target.BadProved && oldPulled(s) {
		add(v1alpha1.DoubtBadNotProved, "the registry does not confirm that the image cannot run (%s)", s.Target.Proof)
	} else if !s.Target.Proved && len(s.Target.Values) > 0 {
		add(v1alpha1.DoubtTargetNotProved, "the target is not proved (%s)", s.Target.Proof)
	}
	if over := s.Target.PassedOver; len(over) > 0 && oldBlamed(s) {
		add(v1alpha1.DoubtPassedOver, "it goes back over %s, which never failed here and which the registry has no more",
			strings.Join(over, ", "))
	}
	if podsSeen(w).RanHere != "" && oldPulled(s) {
		add(v1alpha1.DoubtRanHere, "the image has run here: %s", podsSeen(w).RanHere)
	}
	return out
}

func oldAtRest(w *World) Step {
	s := &w.Form.Status
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
		for _, t := range w.Branch.Trails {
			if t.Kind == TrailLift && t.When.After(s.Change.At.Time.Add(-time.Second)) {
				by = "the lift " + short(t.Commit)
				break
			}
		}
		return Step{Do: DoReleased, By: by}
	}
	step := selected(w)
	if d := w.Form.Spec.ReleaseHold; d != nil {
		step = Step{Do: DoLift, By: d.By, Why: "a person released the hold"}
	}
	var no *barred
	if step.Do == DoLift && errors.As(mayLift(w.Policy), &no) {
		step = Step{Do: DoWait, Wait: restAgain, Barred: no.bar, Why: "the hold stands, nothing is pushed: " + no.why}
	}
	return remind(w, step)
}

func oldAskingAtRest(w *World) Step {
	s := &w.Form.Status
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
	if d, ok := counted(w, q); ok {
		return person(w, d, q)
	}
	return Step{Do: DoWait, Wait: min(restAgain, max(until.Sub(w.Now), time.Second)), Question: q}
}

func oldRestoring(w *World) Step {
	s := &w.Form.Status
	if r, why := oldOver(w); r == v1alpha1.ResultRestored {
		return end(w, r, "%s", why)
	}
	left := astray(w)
	switch {
	case w.Unread != nil && w.Now.Before(restoredBy(w)):
		return waitsForAccess(w, w.Unread.Kind, w.Unread.Sentence)
	case w.Unread != nil:
		return end(w, v1alpha1.ResultFailed, "%s", w.Unread.Sentence)
	case len(left) == 0 && drifted(s) && s.Suspect != nil && w.Branch != nil && stand(s, w.Branch).bad == 0:
		return superseded(w)
	case len(left) == 0:
		return end(w, v1alpha1.ResultRejected, "%s keeps %s: %s", s.Verdict.By, w.Form.Spec.Subject.Name,
			orElse(s.Verdict.Why, "no reason given"))
	}
	why := fmt.Sprintf("%s still runs %s; Flux takes that back %s", left[0].Workload, left[0].Drift.Live,
		orElse(left[0].Drift.Undone, "at its next run"))
	deadline := restoredBy(w)
	switch next, _ := ask(w); {
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
	s := &w.Form.Status
	switch {
	case len(podsSeen(w).Failures) > 0:
	case drifted(s) && podsSeen(w).Restored != "":
		return v1alpha1.ResultRestored, fmt.Sprintf("%s, %s after the change by hand: %s runs %s again, as Git says",
			oldTakenBack(s), Roughly(w.Now.Sub(oldChangedAt(s))), podsSeen(w).Restored, w.Form.Spec.Subject.Name)
	case drifted(s) && !oldBlamed(s) && s.Ended() && podsSeen(w).Unnamed != "":
		return v1alpha1.ResultRecovered, fmt.Sprintf("%s does not ask for %s any more, and nothing there is changed by hand",
			podsSeen(w).Unnamed, w.Form.Spec.Subject.Name)
	case drifted(s) && !oldBlamed(s):
	case s.Ended() && s.Outcome.Result == v1alpha1.ResultSourceNotFound && podsSeen(w).Unnamed != "":
		return v1alpha1.ResultRecovered, NeverInGit(podsSeen(w).Unnamed, w.Form.Spec.Subject)
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
	if s.Verdict != nil && s.Verdict.Answer == v1alpha1.Reject {
		return s.Verdict.By + " had it restored from Git"
	}
	for _, f := range s.Failures {
		if f.Drift != nil && f.Drift.UndoneBy != nil {
			return f.Drift.UndoneBy.String() + " took it back"
		}
	}
	return "Flux took it back"
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

func oldHeals(w *World) time.Duration {
	s := &w.Form.Status
	wait := restAgain
	if !oldSettled(w) {
		wait = min(wait, askAgain(s).Sub(w.Now))
	}
	if w.Breaker != "" {
		wait = min(wait, proveAgain)
	}
	if err := claimOf(w, w.Policy.Cooldown).restraint(*w.Branch); err != nil {
		wait = min(wait, retryIn(w, err))
	}
	return wait
}

func oldTold(w *World) string {
	s := &w.Form.Status
	if by := ByHand(s); by != "" && !oldBlamed(s) {
		return fmt.Sprintf("%s, while Git says %s since %s (%s)", by, w.Form.Spec.Subject.Name,
			short(s.Suspect.Commit), s.Suspect.Branch)
	}
	return fmt.Sprintf("%s came in with %s (%s)", w.Form.Spec.Subject.Name, short(s.Suspect.Commit), s.Suspect.Branch)
}

func oldPulled(s *v1alpha1.RollbackStatus) bool { return s.SeenBy(v1alpha1.TriggerImagePull) }

func oldRolled(s *v1alpha1.RollbackStatus) bool { return s.SeenBy(v1alpha1.TriggerRollout) }

func oldRollouts(w *World) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, all := range [][]v1alpha1.Failure{podsSeen(w).Failures, w.Form.Status.Failures} {
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

func oldDoubtsOfRollout(w *World) []v1alpha1.Doubt {
	s := &w.Form.Status
	if !oldRolled(s) {
		return nil
	}
	var out []v1alpha1.Doubt
	failing := oldRollouts(w)
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
