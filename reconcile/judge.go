package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// judge finds the verdict: what the policy and the ceiling forbid first, then people, then what needs a person, then the
// policy.
func judge(w *World) Step {
	s := &w.Form.Status
	barred := onlyTold(w)
	if barred != "" && !restorable(w) {
		return end(w, v1alpha1.ResultReportedOnly, "%s: %s", told(w), barred)
	}
	if d, ok := firstDecision(feasible(w)); ok {
		return person(w, d)
	}
	asks := needsPerson(w)
	if barred != "" {
		barred = orElse(unwritable(w), barred)
		asks = append(asks, "it cannot be adopted into Git, only be restored from it: "+barred)
	}
	if w.Policy.Mode == v1alpha1.ModeAuto && len(asks) == 0 {
		return verdict(w, v1alpha1.ByPolicy+strings.Join(w.Policy.By, ", "), s.Target.Proof)
	}
	if w.Policy.Mode == v1alpha1.ModeApprove {
		asks = append([]string{"the policy asks for an approval"}, asks...)
		if w.Policy.Why != "" {
			asks[0] += " (" + w.Policy.Why + ")"
		}
	}
	deadline := s.FirstSeen().Add(w.Policy.Grace + w.Policy.Approval)
	if !w.Now.Before(deadline) {
		return end(w, v1alpha1.ResultExpired, "nobody decided in %s; it can still be approved or rejected. Asked because %s",
			shortDuration(w.Policy.Approval), strings.Join(asks, "; "))
	}
	wait := min(deadline.Sub(w.Now), heals(w))
	return Step{Do: DoWait, Wait: min(max(wait, time.Second), restAgain),
		Asked: &v1alpha1.Asked{Until: v1alpha1.NewTime(deadline), Because: eachSentence(asks),
			OnlyReject: sentence(barred)},
		Why: "a person decides by " + deadline.UTC().Format("15:04:05 MST") + ": " + strings.Join(asks, "; ")}
}

// heals is how long it takes at most until what keeps the policy from deciding may be over by itself.
func heals(w *World) time.Duration {
	s := &w.Form.Status
	wait := restAgain
	if !settled(s) {
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

// person turns a decision into a verdict. An approval needs something to go back to.
func person(w *World, d v1alpha1.Decision) Step {
	s := &w.Form.Status
	if d.Answer == v1alpha1.Approve && len(s.Target.Values) == 0 {
		return end(w, v1alpha1.ResultFailed, "%s approved, but there is nothing to go back to: %s", d.By, s.Target.Proof)
	}
	if d.Answer == v1alpha1.Approve && w.ReadOnly != "" {
		return end(w, v1alpha1.ResultFailed, "%s approved, but Backstop cannot push: %s", d.By, w.ReadOnly)
	}
	return Step{Do: DoVerdict, Verdict: v1alpha1.Verdict{
		Answer: d.Answer, By: d.By, At: v1alpha1.NewTime(w.Now), Why: cut(d.Reason, 500), Release: w.Policy.Release,
	}}
}

// firstDecision is the earliest by its own time; the name breaks a tie, so that every reader agrees.
func firstDecision(ds []v1alpha1.Decision) (v1alpha1.Decision, bool) {
	if len(ds) == 0 {
		return v1alpha1.Decision{}, false
	}
	return slices.MinFunc(ds, func(a, b v1alpha1.Decision) int {
		if c := a.At.Compare(b.At.Time); c != 0 {
			return c
		}
		return strings.Compare(a.By, b.By)
	}), true
}

func verdict(w *World, by, why string) Step {
	return Step{Do: DoVerdict, Verdict: v1alpha1.Verdict{
		Answer: v1alpha1.Approve, By: by, At: v1alpha1.NewTime(w.Now), Why: cut(why, 1000),
		Cooldown: metav1.Duration{Duration: w.Policy.Cooldown}, Release: w.Policy.Release,
	}}
}

// onlyTold says why nothing may be done here at all; empty when something may.
func onlyTold(w *World) string {
	s := &w.Form.Status
	var no *barred
	switch {
	case errors.As(mayWrite(w.Policy, s, w.Now), &no):
		return no.why
	case len(s.Target.Values) == 0:
		return "there is nothing to go back to: " + s.Target.Proof
	case w.ReadOnly != "":
		return w.ReadOnly
	case w.Policy.Delivery == v1alpha1.DeliveryPullRequest:
		return "delivery by pull request is not supported yet: set delivery to Push or revert by hand"
	}
	return ""
}

// roughly prints an age as people say it.
func roughly(d time.Duration) string {
	if d < time.Hour {
		return shortDuration(d.Truncate(time.Second))
	}
	return shortDuration(d.Truncate(time.Minute))
}

// told is what a person needs to revert by hand.
func told(w *World) string {
	s := &w.Form.Status
	if by := byHandBy(s); by != "" && !blamed(s) {
		return fmt.Sprintf("%s, while Git says %s since %s (%s)", by, w.Form.Spec.Image,
			short(s.Suspect.Commit), s.Suspect.Branch)
	}
	return fmt.Sprintf("%s came in with %s (%s)", w.Form.Spec.Image, short(s.Suspect.Commit), s.Suspect.Branch)
}

// needsPerson lists why the policy's word is not enough.
func needsPerson(w *World) []string {
	s := &w.Form.Status
	var asks []string
	ask := func(format string, args ...any) { asks = append(asks, fmt.Sprintf(format, args...)) }
	if w.Breaker != "" {
		ask("%s", w.Breaker)
	}
	if by := byHandBy(s); by != "" {
		ask("%s", by)
	}
	for _, c := range s.Causes() {
		if !c.ImageFault() && c != v1alpha1.CauseDrift {
			ask("the cause is %s, which need not be the image's fault", c)
		}
	}
	if !s.Target.BadProved && blamed(s) {
		ask("the registry does not confirm that the image cannot run (%s)", s.Target.Proof)
	} else if !s.Target.Proved && len(s.Target.Values) > 0 {
		ask("the target is not proved (%s)", s.Target.Proof)
	}
	if over := s.Target.PassedOver; len(over) > 0 && blamed(s) {
		ask("it goes back over %s, which never failed here and which the registry has no more", strings.Join(over, ", "))
	}
	if w.Sighting.RanHere != "" && blamed(s) {
		ask("the image has run here: %s", w.Sighting.RanHere)
	}
	if s.Suspect.Automation == nil && !s.Suspect.OnlyImages {
		ask("a person's commit changed more than images")
	}
	if len(s.Suspect.SharedBy) > 0 {
		ask("the files are also rendered by %s", list(s.Suspect.SharedBy))
	}
	if err := claimOf(w, w.Policy.Cooldown).restraint(*w.Branch); err != nil {
		ask("%s", err)
	}
	return asks
}

func list(refs []v1alpha1.ObjectRef) string {
	var out []string
	for _, r := range refs {
		out = append(out, r.String())
	}
	return strings.Join(out, ", ")
}

// waitUntil is a refusal of permit that time heals.
type waitUntil struct {
	until time.Time
	why   string
}

func (e *waitUntil) Error() string { return e.why }

func retryIn(w *World, err error) time.Duration {
	var wait *waitUntil
	if errors.As(err, &wait) {
		return min(max(wait.until.Sub(w.Now), time.Second), restAgain)
	}
	return time.Second
}
