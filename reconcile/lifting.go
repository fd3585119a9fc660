package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A hold that cannot be lifted by a push is lifted by a pull request, as the revert came. Backstop merges it where the
// provider says that nothing is missing, if the policy decides by itself or a person asked for the lift.

// LiftBranch is the branch of the pull request that lifts a hold.
func LiftBranch(hold string) string { return "backstop/lift-" + hold[:min(12, len(hold))] }

// lifting is what comes of a lift that is due.
func lifting(w *World, step Step) Step {
	s := &w.Rollback.Status
	pr, now := s.LiftPullRequest, w.Lifting
	if pr == nil || asksAnew(w) {
		return step
	}
	name := fmt.Sprintf("pull request %d", pr.Number)
	waits := func(format string, args ...any) Step {
		return Step{Do: DoWait, Wait: proposedAgain, Why: fmt.Sprintf(format, args...)}
	}
	switch {
	case now == nil && pr.State == v1alpha1.PullRequestOpen:
		return waits("the hold stands: %s, which lifts it, cannot be read: %s", name, orElse(w.NoPullRequest,
			"its provider does not answer"))
	case now != nil && liftChanged(pr, now, w.Now):
		return Step{Do: DoLift, By: step.By, Why: name + " changed"}
	case pr.State == v1alpha1.PullRequestClosed:
		step := waits("the hold stands: %s, which lifts it, was closed without a merge%s: %s", name, byWhom(pr.By), pr.URL)
		step.Wait = restAgain
		return step
	case pr.Missed != "":
		step := waits("the hold stands: %s, which lifts it, %s: %s", name, pr.Missed, pr.URL)
		step.Wait = restAgain
		return step
	case missedLift(w):
		return Step{Do: DoLift, By: step.By, Why: name + " is merged, and the hold stands"}
	case pr.State == v1alpha1.PullRequestMerged:
		return waits("%s, which lifts the hold, is merged%s, and %s does not show it yet", name, byWhom(pr.By),
			s.Suspect.Branch)
	case retargeted(w, now) != "":
		step := waits("the hold stands: %s, which lifts it: %s", name, retargeted(w, now))
		step.Wait = restAgain
		return step
	case mergesLift(w):
		return Step{Do: DoLift, By: step.By, Why: "merging " + name}
	}
	return waits("the hold stands until %s is merged, which waits for %s: %s", name, v1alpha1.WaitsFor(pr.WaitsFor),
		pr.URL)
}

// asksAnew reports whether a person asks for the lift of whose wish no pull request came yet, and nothing comes of the
// one that is there.
func asksAnew(w *World) bool {
	return w.Rollback.Status.LiftPullRequest.Spent() && w.Rollback.LiftWish() != nil && !w.Rollback.LiftSpent()
}

// missedLift reports that the lift's pull request is merged for long, and the branch does not show it: somebody had it
// bring something else, or wrote the hold again.
func missedLift(w *World) bool {
	pr := w.Rollback.Status.LiftPullRequest
	return pr != nil && pr.State == v1alpha1.PullRequestMerged && pr.Missed == "" &&
		notYetFor(pr, w.Now) > giveUp(w.Policy)
}

func liftChanged(pr *v1alpha1.PullRequest, now *PullRequest, at time.Time) bool {
	seen := sightOf(pr, now, at)
	return !sameSight(pr, &seen)
}

// mergesLift reports whether Backstop merges the lift now: what it pushed itself, and nothing else.
func mergesLift(w *World) bool {
	pr, now := w.Rollback.Status.LiftPullRequest, w.Lifting
	if now == nil || now.Merge != MergeClean || now.Head != pr.Head || retargeted(w, now) != "" {
		return false
	}
	held, _ := holdsNow(w)
	if w.Policy.Mode != v1alpha1.ModeAuto && len(askedFor(w, held)) < len(held) {
		return false
	}
	return w.Now.Sub(pr.At.Time) > checksWithin && (pr.Tried == nil || w.Now.Sub(pr.Tried.Time) > armedAgain)
}

// readLift reads the pull request that lifts the hold.
func (e *Engine) readLift(ctx context.Context, w *World, src Source) {
	s := &w.Rollback.Status
	if e.Forges == nil || !s.LiftPullRequest.IsOpen() || !s.Ended() || !s.HoldStands() {
		return
	}
	within, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	forge, err := e.provider(within, w, src)
	if err == nil {
		if stand(s, w.Branch).held == 0 {
			forge.Forget(s.LiftPullRequest.Number)
		}
		w.Lifting, err = forge.Read(within, s.LiftPullRequest.Number)
	}
	if err != nil {
		w.Lifting, w.NoPullRequest = nil, brief(err.Error())
	}
}

// followLift writes down what is seen of the lift's pull request, and merges it where it may.
func (e *Engine) followLift(ctx context.Context, w *World, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	s.Waiting = nil
	if missedLift(w) {
		s.LiftPullRequest.Missed = "is merged" + byWhom(s.LiftPullRequest.By) + ", and " + s.Suspect.Branch +
			" does not show it"
		return nil
	}
	next := sightOf(s.LiftPullRequest, w.Lifting, w.Now)
	s.LiftPullRequest = &next
	if to := w.Lifting.Base; next.State == v1alpha1.PullRequestMerged && retargeted(w, w.Lifting) != "" {
		next.Missed = "was merged into " + cut(to, 128) + byWhom(next.By) + ", and not into " + s.Suspect.Branch
	}
	if !mergesLift(w) {
		return nil
	}
	ctx = e.asking(ctx, true, &w.Rollback)
	if no, ok := shut(Permitted(ctx)); ok {
		return no
	}
	forge, err := e.forge(ctx, w)
	if err != nil {
		return err
	}
	_, err = forge.Merge(ctx, w.Lifting, MergeOrder{Head: next.Head})
	at := v1alpha1.NewTime(e.Now())
	next.Tried, next.NotMerged = &at, ""
	switch {
	case err == nil:
	case KindOf(err) == "":
		return fmt.Errorf("merge the lift: %w", err)
	default:
		next.NotMerged = brief(err.Error())
	}
	return nil
}

// proposeLift opens the pull request that lifts the hold.
func (e *Engine) proposeLift(ctx context.Context, w *World, rb *v1alpha1.Rollback, l Lift, because string) error {
	s := &rb.Status
	if e.Forges == nil {
		return RefuseAs(FaultNoProvider, "%s; no pull requests are opened here", because)
	}
	origin, err := e.Flux.Reopen(ctx, rb.Namespace, *s.Suspect, w.Policy.Source, time.Time{})
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	forge, err := e.provider(ctx, w, origin.Source)
	if err != nil {
		return err
	}
	ctx = e.asking(ctx, true, &w.Rollback)
	l.Onto, l.When = LiftBranch(s.Change.Hold), s.Change.At.Time
	src, signs := signedBy(ctx, forge, origin.Source)
	src = askedBy(src, forge, Proposal{Branch: l.Onto, Base: s.Suspect.Branch,
		Story: Story{Lifts: true, Message: "Lift the hold of " + l.Policy}})
	head, err := e.Git.Lift(ctx, src, l)
	if later, ok := shut(err); ok {
		return later
	}
	if err != nil || head == "" {
		return err
	}
	put, err := e.verified(ctx, proposal{forge: forge, signs: signs, must: origin.Source.Verified}, l.Onto,
		Proposed{Head: head, Own: true})
	if err != nil {
		return err
	}
	head = put.Head
	pr, err := e.openLift(ctx, forge, l, s)
	if err != nil {
		return err
	}
	next := sightOf(&v1alpha1.PullRequest{Because: brief(because)}, pr, e.Now())
	next.Number, next.URL, next.Branch, next.At = pr.Number, brief(pr.URL), l.Onto, v1alpha1.NewTime(e.Now())
	next.Head, next.Own = head, true
	if wish := rb.LiftWish(); wish != nil {
		next.AskedAt = &wish.At
	}
	s.LiftPullRequest, s.Waiting = &next, nil
	return nil
}

// openLift gives the open pull request of the lift.
func (e *Engine) openLift(ctx context.Context, forge Forge, l Lift, s *v1alpha1.RollbackStatus) (*PullRequest, error) {
	pr, err := forge.Find(ctx, l.Onto, s.Suspect.Branch)
	if err != nil {
		return nil, fmt.Errorf("find the pull request: %w", err)
	}
	if pr != nil && pr.State == v1alpha1.PullRequestOpen {
		return pr, nil
	}
	pr, err = forge.Open(ctx, Proposal{Branch: l.Onto, Base: s.Suspect.Branch, Story: Story{
		Lifts: true, Image: s.Suspect.Places[0].Bad, Target: orElse(l.Image, "(nothing yet)"), Author: l.By,
		Held: append([]string{l.Policy}, l.And...), Message: "Lift the hold of " + l.Policy,
	}})
	if err != nil {
		return nil, fmt.Errorf("open the pull request: %w", err)
	}
	return pr, nil
}
