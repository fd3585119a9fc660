package reconcile

import (
	"errors"
	"fmt"
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
	step := onceSelected(w)
	if d := w.Rollback.Spec.Lift; d != nil {
		step = Step{Do: DoLift, By: d.By, Why: "a person lifted the hold"}
	}
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

// onceSelected describes what becomes of a standing hold, by what the policy selects.
func onceSelected(w *World) Step {
	e := w.Selection
	switch {
	case e == nil || !e.Automation || e.Image == "":
		return Step{Do: DoWait, Wait: restAgain,
			Why: "the hold stands: the cluster that has its policy and automation lifts it"}
	case e.Lift == v1alpha1.LiftManual:
		return Step{Do: DoWait, Wait: restAgain, Why: "the hold waits for backstop lift"}
	case failedBefore(e, w.Rollback.Spec.Subject.Name):
		return Step{Do: DoWait, Wait: restAgain,
			Why: "the hold stands: the policy selects " + e.Image + ", which was taken back"}
	case e.Proof.Finding != FindingPresent:
		return Step{Do: DoWait, Wait: proveAgain, Why: "the hold stands: the policy selects " + e.Image +
			", which is not proved to run here: " + e.Proof.Sentence}
	}
	return Step{Do: DoLift, By: "the policy's newer image " + e.Image, Why: "a newer image was selected"}
}

func failedBefore(e *Selection, bad string) bool {
	if image.SameTag(e.Image, bad) {
		return true
	}
	for _, f := range e.Failed {
		if image.SameTag(e.Image, f) {
			return true
		}
	}
	return false
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
