package reconcile

import (
	"cmp"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// decide reports which effect comes next, or how long to wait, and why. It is pure.
//
// The order of the checks is the design: Recovered exists only before the verdict; once the verdict allows, nothing but
// the branch describes what happened, Backstop's own trailer first, then Superseded.
func decide(w World) Step {
	s := &w.Rollback.Status
	if rest := w.Rollback.CreationTimestamp.Add(adoptWithin).Sub(w.Now); adopting(&w.Rollback) && rest > 0 {
		return Step{Do: DoWait, Wait: rest,
			Why: "the hold of " + w.Rollback.Annotations[AdoptsAnnotation] + " in Git is being adopted"}
	}
	if s.Ended() {
		return atRest(&w)
	}
	if seen := unseen(s, w.failures()); len(seen) > 0 && s.Verdict == nil {
		return Step{Do: DoFailures, Why: "something was seen that the record does not know yet"}
	}
	switch {
	case s.Verdict == nil:
		return undecided(&w)
	case s.Verdict.Answer == v1alpha1.Reject && w.Branch != nil && merged(&w):
		return rejectedMerged(&w)
	case s.Verdict.Answer == v1alpha1.Reject:
		return restoring(&w)
	case s.Change == nil:
		return whenAllowed(&w)
	}
	return underWay(&w)
}

// undecided walks from the first failure to the verdict.
func undecided(w *World) Step {
	s := &w.Rollback.Status
	if step, ok := watched(w); ok {
		return step
	}
	if e := over(w); e != nil {
		return end(w, e.Result, "%s", e.Sentence)
	}
	if len(s.Failures) == 0 && w.Rollback.OfObject() && ending(w, w.rows()) == nil {
		// It is at work on what failed a moment ago.
		return reportStep(w)
	}
	if len(s.Failures) == 0 {
		return goneBeforeRecorded(w)
	}
	if s.Suspect == nil {
		return suspectStep(w)
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
	case s.Target == nil && s.Suspect.ByFiles():
		return Step{Do: DoTarget, Why: "rendering what a revert leaves"}
	case s.Target == nil:
		return Step{Do: DoTarget, Why: "asking the registry"}
	case st.bad == 0:
		return verdict(w, v1alpha1.VerdictByBranch, "revert "+text.Short(t.Commit),
			"another Backstop or Rollback reverted the image already")
	case !askedEnough(w) && !w.Now.Before(askAgain(s)):
		return Step{Do: DoTarget, Why: "asking the registry again"}
	}
	return judge(w)
}

// suspectStep looks for the commit, after the grace period: many failures heal by themselves within seconds.
func suspectStep(w *World) Step {
	if ends, grace := graceEnds(w); w.Now.Before(ends) {
		return Step{Do: DoWait, Wait: ends.Sub(w.Now), Until: ends, Why: "grace period of " + ShortDuration(grace)}
	}
	if w.Rollback.OfObject() {
		return reportStep(w)
	}
	return Step{Do: DoSuspect, Why: "looking for the commit that brought the image in"}
}

// noBranch waits for a branch that cannot be read, but not for ever once a revert is allowed.
func noBranch(w *World) Step {
	s := &w.Rollback.Status
	if w.Unread != nil {
		return waitsForAccess(w, w.Unread.Kind, w.Unread.Sentence)
	}
	why := orElse(w.ReadOnly, "the branch cannot be read yet")
	if s.Verdict != nil && s.Verdict.At.Add(giveUp(w.Policy)).Before(w.Now) {
		return end(w, v1alpha1.ResultFailed, "%s", why)
	}
	return Step{Do: DoWait, Wait: lookAgain, Why: why}
}

// whenAllowed: the verdict allows, Git has not been written by this Rollback.
func whenAllowed(w *World) Step {
	s := &w.Rollback.Status
	if w.Branch == nil {
		return noBranch(w)
	}
	if merged(w) {
		return landedAllowed(w)
	}
	if t, ok := commitOf(w); ok {
		return Step{Do: DoAdopt, Commit: t, Why: "the branch says that it was reverted"}
	}
	if stand(s, w.Branch).bad == 0 {
		return superseded(w)
	}
	if why := healed(w); why != "" && len(s.Lapsed) < maxLapsed {
		return Step{Do: DoLapse, Why: why}
	}
	if err := mustAsk(w.Policy, s); err != nil && mayWrite(w.Policy, s, w.Now) == nil && len(s.Lapsed) < maxLapsed {
		return Step{Do: DoLapse, Why: err.Error()}
	}
	if s.PullRequest != nil && s.PullRequest.Number > 0 {
		return proposed(w)
	}
	if err := cmp.Or(mayWrite(w.Policy, s, w.Now), mustAsk(w.Policy, s)); err != nil {
		return waitsBarred(w, err)
	}
	if why := lapsed(w); why != "" {
		if len(s.Lapsed) >= maxLapsed {
			return end(w, v1alpha1.ResultFailed, "%s", why)
		}
		return Step{Do: DoLapse, Why: why}
	}
	if s.Verdict.At.Add(giveUp(w.Policy)).Before(w.Now) && !refusedAccess(s) {
		return end(w, v1alpha1.ResultFailed, "%s", orElse(waitedFor(s), "the revert could not be pushed in time"))
	}
	if err := restraintOf(w, s.Verdict.Cooldown.Duration).permit(*w.Branch); err != nil {
		return Step{Do: DoWait, Wait: retryIn(w, err), Why: err.Error()}
	}
	if wait := waitsForOthers(w); wait > 0 {
		return Step{Do: DoWait, Wait: wait, Brief: true, Why: "other images fail right now: one push reverts all of them"}
	}
	return deliver(w)
}

// deliver is the way that a revert takes to the branch.
func deliver(w *World) Step {
	s := &w.Rollback.Status
	switch {
	case w.Policy.Delivery == v1alpha1.DeliveryPullRequest:
		return Step{Do: DoPullRequest, Why: "opening a pull request to " + s.Suspect.Branch}
	case s.PullRequest != nil:
		return Step{Do: DoPullRequest, Why: s.Suspect.Branch + " takes no push, opening a pull request"}
	case s.ByHandAlone():
		return Step{Do: DoChange, Why: "pushing to Git what was set by hand"}
	}
	return Step{Do: DoChange, Why: "pushing the revert"}
}

// lateAfter is how old the word of a policy is whose revert comes late.
const lateAfter = time.Minute

// healed explains why the word of a policy counts no more: what it allowed a revert of is over for long, and nothing of
// the revert is on the branch, as where a Git server could not be reached. A person's word stands, and so does one that
// is carried out at once: what starts in that moment may fail again.
func healed(w *World) string {
	v := w.Rollback.Status.Verdict
	if v.Source != v1alpha1.VerdictByPolicy || w.Now.Sub(v.At.Time) < lateAfter {
		return ""
	}
	if e := over(w); e != nil {
		return "nothing is pushed any more: " + e.Sentence
	}
	return ""
}

// underWay: the change is on the branch, or was.
func underWay(w *World) Step {
	s := &w.Rollback.Status
	if w.Branch == nil {
		return noBranch(w)
	}
	st := stand(s, w.Branch)
	standing := stands(w)
	switch {
	case s.Landed == nil && (st.bad == 0 || standing):
		return Step{Do: DoLanded, Why: "the branch holds the target"}
	case st.bad > 0 && !standing && s.PullRequest != nil:
		// What a squash made of it has no trailers, and only the branch could tell a force push from a person.
		return movedOn(w, v1alpha1.OutcomeWrittenAgain, "%s was written to %s again after pull request %d", badInWords(w),
			s.Suspect.Branch, s.PullRequest.Number)
	case st.bad > 0 && !standing:
		if landings(s) >= maxLandAgain {
			return end(w, v1alpha1.ResultFailed, "the revert was lost to force pushes %d times: stop whatever rewrites %s",
				maxLandAgain+1, s.Suspect.Branch)
		}
		if why := healed(w); why != "" {
			return movedOn(w, v1alpha1.OutcomeWrittenAgain, "the revert %s was lost to a force push: %s",
				text.Short(s.Change.Commit), why)
		}
		if err := cmp.Or(mayWrite(w.Policy, s, w.Now), mustAsk(w.Policy, s)); err != nil {
			return waitsBarred(w, err)
		}
		return Step{Do: DoLandAgain, Why: "the revert was lost to a force push"}
	case st.bad > 0:
		return movedOn(w, v1alpha1.OutcomeWrittenAgain, "%s was written to %s again after the revert %s", badInWords(w),
			s.Suspect.Branch, text.Short(s.Change.Commit))
	case st.target == 0:
		return movedOn(w, v1alpha1.OutcomeNewer, "%s at %s says something newer than the revert", s.Suspect.Branch,
			text.Short(w.Branch.Tip))
	}
	if step, ok := request(w, " to apply the revert"); ok {
		return step
	}
	if f, _ := nextForward(w); f != nil {
		why := "setting " + f.Workload.Workload.String() + " to what Git says ahead of Flux"
		if f.Refused != "" {
			why = f.Workload.Workload.String() + " is not set ahead of Flux: " + f.Refused
		}
		return Step{Do: DoForward, Forward: f, Why: why}
	}
	return seek(w, untilDue(w, verifyStep(w)))
}

func waitedFor(s *v1alpha1.RollbackStatus) string {
	if s.Waiting == nil {
		return ""
	}
	return s.Waiting.Why
}

// lapsed explains why a verdict that waited for what forbade it, or for access, is not carried out any more; empty
// where it is.
func lapsed(w *World) string {
	s := &w.Rollback.Status
	if s.Waiting == nil || s.Waiting.Barred == "" && !refusedAccess(s) {
		return ""
	}
	switch {
	case s.Verdict.At.Add(w.Policy.Approval).Before(w.Now):
		return fmt.Sprintf("%s allowed it at %s, and that is longer ago than the %s that an answer waits for", s.Verdict.By,
			clock(s.Verdict.At.Time), ShortDuration(w.Policy.Approval))
	case s.Verdict.Question != "" && s.Verdict.Question != questionID(w, answersOf(w)):
		return fmt.Sprintf("%s allowed it at %s, and what would be written is something else since", s.Verdict.By,
			clock(s.Verdict.At.Time))
	}
	return ""
}
