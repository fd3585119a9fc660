package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
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
	held, gone := holdsNow(w)
	if len(held) == 0 || len(gone) > 0 {
		// One after the other: each may have been lifted by somebody else.
		gone = gone[:min(len(gone), 1)]
		by := liftedBy(w, gone)
		return Step{Do: DoLifted, By: by, Holds: gone, Why: "the hold no longer stands in Git: " + by}
	}
	step := dueHolds(w, held)
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

// dueHolds describes what becomes of the standing holds, place by place: a person lifts those that the wish names, and
// the newer image of a policy those on its own places.
func dueHolds(w *World, held []int32) Step {
	byPullRequest := w.Policy.Delivery == v1alpha1.DeliveryPullRequest || w.Rollback.Status.LiftPullRequest != nil
	if asked := askedFor(w, held); len(asked) > 0 && (len(asked) == len(held) || !byPullRequest) {
		return Step{Do: DoLift, By: w.Rollback.LiftWish().By, Why: "a person lifted the hold", Holds: asked}
	}
	var due, waits Step
	var why []string
	for _, i := range held {
		h := w.Branch.Held[i]
		step := onceSelected(w, h, nameOfHold(w, h))
		if step.Do == DoLift {
			due = Step{Do: DoLift, By: joinWords(due.By, step.By), Why: step.Why, Holds: append(due.Holds, i)}
			continue
		}
		if waits.Do == "" || step.Wait < waits.Wait {
			waits = step
		}
		why = append(why, step.Why)
	}
	switch {
	case due.Do == DoLift && len(due.Holds) < len(held) && byPullRequest:
		// A Rollback has one pull request that lifts.
		why = slices.Insert(why, 0, "by pull request the holds are lifted together")
	case due.Do == DoLift:
		return due
	}
	if l := w.Rollback.Spec.Lift; l != nil && w.Rollback.LiftWish() == nil {
		why = append(why, l.By+" asked for a lift before this hold stood, which does not count")
	}
	waits.Why = joinWords(why...)
	return waits
}

// onceSelected describes what becomes of a hold, by what its own policy selects. One whose policy cannot be read
// stands.
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
			Why: name + " stands: the policy selects " + e.Image + ", which was reverted"}
	case e.Proof.Finding != FindingPresent:
		return Step{Do: DoWait, Wait: proveAgain, Why: name + " stands: the policy selects " + e.Image +
			", which is not proved to run here: " + e.Proof.Sentence}
	}
	return Step{Do: DoLift, By: byNewer(e), Why: "a newer image was selected"}
}

// byNewer says who lifts a hold where its policy does.
func byNewer(e Selection) string { return "the policy's newer image " + e.Image }

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
		return answeredBy(w, d, q)
	}
	return Step{Do: DoWait, Wait: min(restAgain, max(until.Sub(w.Now), time.Second)), Question: q}
}
