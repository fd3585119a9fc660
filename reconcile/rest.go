package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
)

// atRest: the Rollback has ended; a hold may still stand.
func atRest(w *World) Step {
	s := &w.Rollback.Status
	// What says that something is wrong is not left to say so when it is over.
	if e := over(w); e != nil && mayHeal(s.Outcome.Result) {
		return end(w, e.Result, "%s", e.Sentence)
	}
	if step, ok := openedAgain(w); ok {
		return step
	}
	if step, ok := leftOpen(w); ok {
		return step
	}
	if stillAsks(s) {
		return askingAtRest(w)
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
		if pr := s.LiftPullRequest; pr != nil {
			by = fmt.Sprintf("pull request %d%s", pr.Number, mergedOrNot(w.Lifting))
		}
		return Step{Do: DoLifted, By: by, Why: "the hold no longer stands in Git: " + by}
	}
	step := dueHolds(w)
	var no *barredBy
	if step.Do == DoLift && errors.As(mayLift(w.Policy), &no) {
		step = Step{Do: DoWait, Wait: restAgain, Barred: no.bar, Why: "the hold stands, nothing is pushed: " + no.why}
	}
	if step.Do == DoLift {
		step = lifting(w, step)
	}
	return remind(w, step)
}

// mayHeal reports which ends are about something that can still be over by itself.
func mayHeal(r v1alpha1.Result) bool {
	return r == v1alpha1.ResultExpired || r == v1alpha1.ResultSourceNotFound || r == v1alpha1.ResultReportedOnly
}

// remind has a hold that stands for days say so: the sentence changes once a day, and each change is told.
func remind(w *World, step Step) Step {
	days := int(w.Now.Sub(w.Rollback.Status.Change.At.Time) / (24 * time.Hour))
	if step.Do == DoWait && days > 0 {
		step.Why = fmt.Sprintf("%s (day %d)", step.Why, days+1)
	}
	return step
}

// heldNow are the indices of the places that the tip holds, in their order.
func heldNow(w *World) []int32 { return slices.Sorted(maps.Keys(w.Branch.Held)) }

// dueHolds describes what becomes of the standing holds, place by place: a person lifts all of them, and the newer image
// of a policy those on its own places.
func dueHolds(w *World) Step {
	held := heldNow(w)
	if d := w.Rollback.Spec.Lift; d != nil {
		return Step{Do: DoLift, By: d.By, Why: "a person lifted the hold", Holds: held}
	}
	var due, waits Step
	for _, i := range held {
		h := w.Branch.Held[i]
		step := onceSelected(w, h, nameOfHold(w, h))
		if step.Do == DoLift {
			due = Step{Do: DoLift, By: joinNew(due.By, step.By), Why: step.Why, Holds: append(due.Holds, i)}
			continue
		}
		if waits.Do == "" || step.Wait < waits.Wait {
			waits.Wait = step.Wait
		}
		waits.Do, waits.Why = DoWait, joinNew(waits.Why, step.Why)
	}
	byPullRequest := w.Policy.Delivery == v1alpha1.DeliveryPullRequest || w.Rollback.Status.LiftPullRequest != nil
	if due.Do == DoLift && len(due.Holds) < len(held) && byPullRequest {
		// A Rollback has one pull request that lifts.
		waits.Why = joinNew("by pull request the holds are lifted together", waits.Why)
		return waits
	}
	if due.Do == DoLift {
		return due
	}
	return waits
}

// nameOfHold tells a hold from the others where the tip holds more than one policy off.
func nameOfHold(w *World, h Hold) string {
	for _, o := range w.Branch.Held {
		if o.Policy != h.Policy {
			return "the hold on " + h.Policy
		}
	}
	return "the hold"
}

// joinNew adds a clause to a sentence that does not have it.
func joinNew(sentence, clause string) string {
	if sentence == "" || strings.Contains(sentence, clause) {
		return orElse(sentence, clause)
	}
	return sentence + "; " + clause
}

// onceSelected describes what becomes of a hold, by what its own policy selects. One whose policy cannot be read stands.
func onceSelected(w *World, h Hold, name string) Step {
	e := w.Selections[h.Policy]
	switch {
	case !e.Automation || e.Image == "":
		return Step{Do: DoWait, Wait: restAgain,
			Why: name + " stands: the cluster that has its policy and automation lifts it"}
	case liftOf(w, h) == v1alpha1.LiftManual:
		return Step{Do: DoWait, Wait: restAgain, Why: name + " waits for backstop lift"}
	case failedBefore(e, w.Rollback.Spec.Subject.Name):
		return Step{Do: DoWait, Wait: restAgain,
			Why: name + " stands: the policy selects " + e.Image + ", which was taken back"}
	case e.Proof.Finding != FindingPresent:
		return Step{Do: DoWait, Wait: proveAgain, Why: name + " stands: the policy selects " + e.Image +
			", which is not proved to run here: " + e.Proof.Sentence}
	}
	return Step{Do: DoLift, By: byNewer(e), Why: "a newer image was selected"}
}

// byNewer says who lifts a hold where its policy does.
func byNewer(e Selection) string { return "the policy's newer image " + e.Image }

func failedBefore(e Selection, bad string) bool {
	return slices.ContainsFunc(append([]string{bad}, e.Failed...), func(f string) bool { return image.SameTag(e.Image, f) })
}

// askingAtRest asks on after an end, until Git says something else or the question is too old.
func askingAtRest(w *World) Step {
	s := &w.Rollback.Status
	until := s.Outcome.At.Add(askFor)
	if w.Policy.MaxAge > 0 {
		until = s.Outcome.At.Add(w.Policy.MaxAge)
	}
	expired := s.Outcome.Result == v1alpha1.ResultExpired
	switch {
	case w.Branch != nil && merged(w) && (len(aloneAt(w)) == 0 || w.Now.Before(until)):
		return landedAsked(w)
	case s.PullRequest != nil && s.PullRequest.State == v1alpha1.PullRequestClosed && w.Now.Before(until):
		return closed(w)
	case !w.Now.Before(until) && w.PullRequest != nil && s.PullRequest.IsOpen() && !w.Shared:
		return Step{Do: DoClose, Why: "nobody decided"}
	case !w.Now.Before(until):
		return Step{Do: DoWait}
	case w.Branch == nil:
		return Step{Do: DoWait, Wait: restAgain, Question: s.Question}
	case stand(s, w.Branch).bad == 0 && expired:
		return superseded(w)
	case stand(s, w.Branch).bad == 0 || onlyTold(w) != "":
		return Step{Do: DoWait, Wait: restAgain}
	}
	q := questionOf(w, doubtsOf(w))
	if d, ok := decisionOn(w, q); ok {
		return person(w, d, q)
	}
	return Step{Do: DoWait, Wait: min(restAgain, max(until.Sub(w.Now), time.Second)), Question: q}
}
