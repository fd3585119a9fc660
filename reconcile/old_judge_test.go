package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
)

func oldJudge(w *World) Step {
	s := &w.Rollback.Status
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
	if d, ok := decisionOn(w, q); ok {
		return answeredBy(w, d, q)
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
	s := &w.Rollback.Status
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
	s := &w.Rollback.Status
	out := s.FirstSeen().Add(w.Policy.Grace + w.Policy.Approval)
	if n := len(s.Lapsed); n > 0 {
		if after := s.Lapsed[n-1].At.Add(w.Policy.Approval); after.After(out) {
			return after
		}
	}
	return out
}

func oldDoubts(w *World) []v1alpha1.Doubt {
	s := &w.Rollback.Status
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
		add(v1alpha1.DoubtSharedFiles, "the files are also rendered by %s", refsInWords(s.Suspect.SharedBy))
	}
	if len(w.Suspended) > 0 {
		add(v1alpha1.DoubtSuspended, "Flux applies nothing before somebody resumes %s", refsInWords(w.Suspended))
	}
	// Cooldown and budget restrain the policy alone: where a person is asked anyway they are no news.
	if err := restraintOf(w, w.Policy.Cooldown).restrain(*w.Branch); err != nil && len(out) == 0 {
		add(v1alpha1.DoubtRestraint, "%s", err)
	}
	return out
}

func oldDoubtsOfProof(w *World) []v1alpha1.Doubt {
	s := &w.Rollback.Status
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

func oldHeals(w *World) time.Duration {
	s := &w.Rollback.Status
	wait := restAgain
	if !oldSettled(w) {
		wait = min(wait, askAgain(s).Sub(w.Now))
	}
	if w.Breaker != "" {
		wait = min(wait, proveAgain)
	}
	if err := restraintOf(w, w.Policy.Cooldown).restrain(*w.Branch); err != nil {
		wait = min(wait, retryIn(w, err))
	}
	return wait
}

func oldTold(w *World) string {
	s := &w.Rollback.Status
	if by := ByHand(s); by != "" && !oldBlamed(s) {
		return fmt.Sprintf("%s, while Git says %s since %s (%s)", by, w.Rollback.Spec.Subject.Name,
			text.Short(s.Suspect.Commit), s.Suspect.Branch)
	}
	return fmt.Sprintf("%s came in with %s (%s)", w.Rollback.Spec.Subject.Name, text.Short(s.Suspect.Commit), s.Suspect.Branch)
}

func oldDoubtsOfRollout(w *World) []v1alpha1.Doubt {
	s := &w.Rollback.Status
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
