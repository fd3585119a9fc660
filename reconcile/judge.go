package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// judge finds the verdict: what the policy and the ceiling forbid first, then people, then what needs a person, then
// the policy.
func judge(w *World) Step {
	s := &w.Rollback.Status
	barred := onlyTold(w)
	if barred != "" && !restorable(w) {
		if barred == w.ReadOnly && w.ReadOnlyKind.Heals() {
			return waitsForAccess(w, w.ReadOnlyKind, w.ReadOnly)
		}
		return withdrawn(w, barred)
	}
	asks := doubtsOf(w)
	if barred != "" {
		barred = orElse(unwritable(w), barred)
		asks = append(asks, v1alpha1.Doubt{Type: v1alpha1.DoubtNotAdoptable,
			Message: "it cannot be adopted into Git, only be restored from it: " + barred})
	}
	if at := s.Target.ConfirmAt; at != nil && w.Policy.Mode == v1alpha1.ModeAuto && barred == "" && len(asks) == 1 {
		// Nothing but the second look keeps the policy from deciding.
		return Step{Do: DoWait, Wait: max(at.Sub(w.Now), time.Second), Until: at.Time, Why: asks[0].Message}
	}
	q := questionOf(w, asks)
	if d, ok := decisionOn(w, q); ok {
		return answeredBy(w, d, q)
	}
	if w.Policy.Mode == v1alpha1.ModeAuto && len(asks) == 0 {
		return verdict(w, v1alpha1.VerdictByPolicy, "policy "+strings.Join(w.Policy.By, ", "), s.Target.Proof)
	}
	if barred == "" && opensFirst(w) {
		return Step{Do: DoPullRequest, Why: "opening a pull request to " + s.Suspect.Branch}
	}
	if !w.Now.Before(q.Until.Time) {
		return expires(w, q, messages(asks))
	}
	wait := min(q.Until.Sub(w.Now), heals(w), proposedIn(w))
	return Step{Do: DoWait, Wait: min(max(wait, time.Second), restAgain), Question: q,
		Why: "a person decides by " + deadline(q.Until.Time, w.Now) + ": " + messages(asks)}
}

// withdrawn describes what becomes of a Rollback where nothing may be done. A suspension is for a while: what was asked
// or allowed before it waits for its end, and is asked again after it.
func withdrawn(w *World, why string) Step {
	s := &w.Rollback.Status
	waited := s.Question != nil || s.PullRequest != nil || len(s.Lapsed) > 0 || s.Waiting != nil && s.Waiting.Barred != ""
	if w.Policy.Bar != v1alpha1.BarSuspended || !waited {
		return end(w, v1alpha1.ResultReportedOnly, "%s: %s", toldByHand(w), why)
	}
	rest := answerBy(w).Sub(w.Now)
	if rest <= 0 {
		return end(w, v1alpha1.ResultExpired, "nobody decided before %s; when that is over it is asked again", why)
	}
	return Step{Do: DoWait, Wait: min(restAgain, max(rest, time.Second)), Barred: w.Policy.Bar,
		Why: "nothing is asked and nothing pushed: " + why}
}

// heals is how long it takes at most until what keeps the policy from deciding may be over by itself.
func heals(w *World) time.Duration {
	s := &w.Rollback.Status
	wait := restAgain
	if !askedEnough(w) {
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

// toldByHand is what a person needs to revert by hand.
func toldByHand(w *World) string {
	s := &w.Rollback.Status
	if s.Suspect.ByFiles() {
		return brokenBy(&w.Rollback)
	}
	if by := ByHand(s); by != "" && !s.Blamed() {
		return fmt.Sprintf("%s, while Git says %s since %s (%s)", by, w.Rollback.Spec.Subject.Name,
			text.Short(s.Suspect.Commit), s.Suspect.Branch)
	}
	return fmt.Sprintf("%s came in with %s (%s)", w.Rollback.Spec.Subject.Name, text.Short(s.Suspect.Commit),
		s.Suspect.Branch)
}

// doubtsOf lists why the policy's word is not enough.
func doubtsOf(w *World) []v1alpha1.Doubt {
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
	if pr := s.PullRequest; pr != nil && pr.Foreign != "" {
		add(v1alpha1.DoubtForeignCommit, "pull request %d is a person's to finish: %s", pr.Number, pr.Foreign)
	}
	if w.Breaker != "" {
		add(v1alpha1.DoubtBreaker, "%s", w.Breaker)
	}
	for _, t := range w.rows() {
		if t.Doubts != nil {
			out = append(out, t.Doubts(w)...)
		}
	}
	out = append(out, doubtsOfProof(w)...)
	if s.Suspect.Automation == nil && !s.Suspect.OnlyImages && !s.Suspect.ByFiles() {
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

// doubtsOfProof are about what is known of the bad image and of the target.
func doubtsOfProof(w *World) []v1alpha1.Doubt {
	s := &w.Rollback.Status
	var out []v1alpha1.Doubt
	add := func(t v1alpha1.DoubtType, format string, args ...any) {
		out = append(out, v1alpha1.Doubt{Type: t, Message: fmt.Sprintf(format, args...)})
	}
	if at := s.Target.ConfirmAt; at != nil && !s.Target.BadProved && asksRegistry(w) {
		add(v1alpha1.DoubtBadNotProved, "image automation found the image, so the registry is asked once more at %s (%s)",
			clock(at.Time), s.Target.Proof)
	} else if !s.Target.BadProved && asksRegistry(w) {
		add(v1alpha1.DoubtBadNotProved, "the registry does not confirm that the image cannot run (%s)", s.Target.Proof)
	} else if !s.Target.Proved && len(s.Target.Values) > 0 {
		add(v1alpha1.DoubtTargetNotProved, "the target is not proved (%s)", s.Target.Proof)
	}
	if over := s.Target.PassedOver; len(over) > 0 && s.Blamed() {
		add(v1alpha1.DoubtPassedOver, "it goes back over %s, which never failed here and which the registry has no more",
			strings.Join(over, ", "))
	}
	return out
}

func refsInWords(refs []v1alpha1.ObjectRef) string {
	var out []string
	for _, r := range refs {
		out = append(out, r.String())
	}
	return strings.Join(out, ", ")
}

// askedEnough reports that asking the registry again would tell nothing new.
func askedEnough(w *World) bool {
	s := &w.Rollback.Status
	switch t := s.Target; {
	case driftedSince(s), !t.Proved && agree(w):
		return false
	case !asksRegistry(w):
		return t.Proved || len(t.Values) == 0
	default:
		return t.Proved && t.BadProved
	}
}

// askAgain is when the registry is asked again for what it did not prove: after as long as the pods failed until it was
// asked last. So a short outage costs seconds, and a long one does not cost a request every few seconds.
func askAgain(s *v1alpha1.RollbackStatus) time.Time {
	if driftedSince(s) {
		return s.Target.At.Time
	}
	if s.Target.ConfirmAt != nil {
		return s.Target.ConfirmAt.Time
	}
	lasted := s.Target.At.Sub(s.FirstSeen())
	return s.Target.At.Add(min(max(lasted, proveSoonest), proveAgain))
}
