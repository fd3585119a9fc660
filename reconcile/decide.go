package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

// How long decide lets the line rest before the world is looked at again, where nothing wakes it.
const (
	// proofLasts is how old a proof may be when it is acted upon.
	proofLasts = 5 * time.Minute
	// proveSoonest and proveAgain bound the time after which an unproved image is asked for again.
	proveSoonest, proveAgain = 5 * time.Second, time.Minute
	// lookAgain is how often the branch and the rollout are looked at while something is on its way.
	lookAgain = 5 * time.Second
	// restAgain is how often a standing hold is looked at.
	restAgain = 10 * time.Minute
	// maxLandAgain is how often a revert that was lost to a force push is landed again.
	maxLandAgain = 3
	// adoptWithin is how long an empty form waits for what the hold in Git says to be filled in.
	adoptWithin = time.Minute
)

// decide says which effect comes next, or how long to wait, and why. It is pure.
//
// The order of the checks is the design: Recovered exists only before the verdict; once the verdict allows, nothing but
// the branch says what happened, Backstop's own trailer first, then Superseded.
func decide(w World) Step {
	s := &w.Form.Status
	if rest := w.Form.CreationTimestamp.Add(adoptWithin).Sub(w.Now); adopting(&w.Form) && rest > 0 {
		return Step{Do: DoWait, Wait: rest,
			Why: "the hold of " + w.Form.Annotations[AdoptsAnnotation] + " in Git is being adopted"}
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
	case s.Verdict.Answer == v1alpha1.Reject:
		return restoring(&w)
	case s.Change == nil:
		return allowed(&w)
	}
	return underWay(&w)
}

// undecided walks from the first failure to the verdict.
func undecided(w *World) Step {
	s := &w.Form.Status
	if step, ok := watched(w); ok {
		return step
	}
	if e := over(w); e != nil {
		return end(w, e.Result, "%s", e.Sentence)
	}
	if len(s.Failures) == 0 && w.Form.Spec.OpenedFor.Row().OfFlux && ending(w, w.rows()) == nil {
		// It is at work on what failed a moment ago.
		return report(w)
	}
	if len(s.Failures) == 0 {
		return gone(w)
	}
	// Many failures heal by themselves within seconds.
	if ends, grace := graceEnds(w); w.Now.Before(ends) && s.Suspect == nil {
		return Step{Do: DoWait, Wait: ends.Sub(w.Now), Until: ends, Why: "grace period of " + ShortDuration(grace)}
	}
	if s.Suspect == nil && w.Form.Spec.OpenedFor.Row().OfFlux {
		return report(w)
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
	case !settled(w) && !w.Now.Before(askAgain(s)):
		return Step{Do: DoTarget, Why: "asking the registry again"}
	}
	return judge(w)
}

// noBranch waits for a branch that cannot be read, but not for ever once a revert is allowed.
func noBranch(w *World) Step {
	s := &w.Form.Status
	if w.Unread != nil {
		return waitsForAccess(w, w.Unread.Kind, w.Unread.Sentence)
	}
	why := orElse(w.ReadOnly, "the branch cannot be read yet")
	if s.Verdict != nil && s.Verdict.At.Add(giveUp(w.Policy)).Before(w.Now) {
		return end(w, v1alpha1.ResultFailed, "%s", why)
	}
	return Step{Do: DoWait, Wait: lookAgain, Why: why}
}

// settled says that asking the registry again would tell nothing new.
func settled(w *World) bool {
	s := &w.Form.Status
	switch t := s.Target; {
	case newer(s), !t.Proved && agree(w):
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
	if newer(s) {
		return s.Target.At.Time
	}
	if s.Target.ConfirmAt != nil {
		return s.Target.ConfirmAt.Time
	}
	lasted := s.Target.At.Sub(s.FirstSeen())
	return s.Target.At.Add(min(max(lasted, proveSoonest), proveAgain))
}

// allowed: the verdict allows, Git has not been written by this form.
func allowed(w *World) Step {
	s := &w.Form.Status
	if w.Branch == nil {
		return noBranch(w)
	}
	if merged(w) {
		return landedBy(w, Step{Do: DoMerged, Why: "the pull request has landed"})
	}
	if t, ok := trailOf(w); ok {
		return Step{Do: DoAdopt, Trail: t, Why: "the branch says that it was reverted"}
	}
	if stand(s, w.Branch).bad == 0 {
		return superseded(w)
	}
	if s.PullRequest != nil && s.PullRequest.Number > 0 {
		return proposed(w)
	}
	if err := mayWrite(w.Policy, s, w.Now); err != nil {
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
	if err := claimOf(w, s.Verdict.Cooldown.Duration).permit(*w.Branch); err != nil {
		return Step{Do: DoWait, Wait: retryIn(w, err), Why: err.Error()}
	}
	if wait := settle(w); wait > 0 {
		return Step{Do: DoWait, Wait: wait, Brief: true, Why: "other images fail right now: one push takes all of them back"}
	}
	switch {
	case w.Policy.Delivery == v1alpha1.DeliveryPullRequest:
		return Step{Do: DoPullRequest, Why: "opening a pull request to " + s.Suspect.Branch}
	case s.PullRequest != nil:
		return Step{Do: DoPullRequest, Why: s.Suspect.Branch + " takes no push, opening a pull request"}
	}
	return Step{Do: DoChange, Why: "pushing the revert"}
}

// underWay: the change is on the branch, or was.
func underWay(w *World) Step {
	s := &w.Form.Status
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
		return end(w, v1alpha1.ResultSuperseded, "%s was written to %s again after pull request %d", bad(w),
			s.Suspect.Branch, s.PullRequest.Number)
	case st.bad > 0 && !standing:
		if landings(s) >= maxLandAgain {
			return end(w, v1alpha1.ResultFailed, "the revert was lost to force pushes %d times: stop whatever rewrites %s",
				maxLandAgain+1, s.Suspect.Branch)
		}
		if err := mayWrite(w.Policy, s, w.Now); err != nil {
			return waitsBarred(w, err)
		}
		return Step{Do: DoLandAgain, Why: "the revert was lost to a force push"}
	case st.bad > 0:
		return end(w, v1alpha1.ResultSuperseded, "%s was written to %s again after the revert %s", bad(w),
			s.Suspect.Branch, short(s.Change.Commit))
	case st.target == 0:
		return end(w, v1alpha1.ResultSuperseded, "%s at %s says something newer than the revert", s.Suspect.Branch,
			short(w.Branch.Tip))
	}
	if step, ok := request(w, " to apply the revert"); ok {
		return step
	}
	if f, _ := forward(w); f != nil {
		why := "setting " + f.Workload.Workload.String() + " to what Git says ahead of Flux"
		if f.Refused != "" {
			why = f.Workload.Workload.String() + " is not set ahead of Flux: " + f.Refused
		}
		return Step{Do: DoForward, Forward: f, Why: why}
	}
	return untilDue(w, verifying(w))
}

func landings(s *v1alpha1.RollbackStatus) int32 {
	if s.Landed == nil {
		return 0
	}
	return s.Landed.Again
}

// verifying goes by content: what was attempted, what the templates hold, whether the rollout is complete.
func verifying(w *World) Step {
	s := &w.Form.Status
	r := w.Rollout
	if r == nil {
		return Step{Do: DoWait, Wait: lookAgain, Why: "the rollout cannot be read yet"}
	}
	waits := arrived(w)
	if f := disown(s); waits == "" && f != nil {
		return Step{Do: DoDisown, Why: "taking Backstop's field manager off " + f.Workload.String()}
	}
	if waits == "" {
		said := []string{names(w) + " runs " + s.Target.Image + " again", aheadWas(s)}
		if s.Suspect.ByFiles() {
			said = []string{names(w) + " applies what Git says again, without what " + short(s.Suspect.Commit) + " changed"}
		}
		return end(w, v1alpha1.ResultVerified, "%s", joinWords(append(said, byHand(s, r)...)...))
	}
	waits = joinWords(aheadIs(s), waits)
	if pod := stuck(s, r); w.Unstick && pod != "" && mayLift(w.Policy) == nil {
		return Step{Do: DoUnstick, Pod: pod, Wait: lookAgain,
			Why: "deleting " + pod + ", which keeps the rollout from moving on"}
	}
	deadline := verifyBy(w)
	if w.Beside != "" && w.Rollout.Contains {
		waits = joinWords(waits, "rollback/"+w.Beside+" is open for it too")
		if half := w.Now.Add(w.Policy.Verify / 2); deadline.Before(half) {
			// The time starts over, seldom: each start is a write.
			deadline = w.Now.Add(w.Policy.Verify)
		}
	}
	if w.Now.After(deadline) {
		return end(w, v1alpha1.ResultFailed, "reverted in Git, but not verified in %s: %s", ShortDuration(w.Policy.Verify),
			waits)
	}
	return Step{Do: DoWait, Wait: min(lookAgain, deadline.Sub(w.Now)+time.Second), Why: waits, Until: deadline}
}

// verifyBy is when an unverified revert has failed. A running health check of the bad revision is Flux's to end; the
// time it takes is not the revert's fault, also when it is over and the rollout has only begun.
func verifyBy(w *World) time.Time {
	s := &w.Form.Status
	deadline := s.Landed.At.Add(w.Policy.Verify)
	if until := w.Rollout.WaitsUntil; until.After(w.Now) && until.Add(w.Policy.Verify).After(deadline) {
		deadline = until.Add(w.Policy.Verify)
	}
	if s.Waiting != nil && s.Waiting.Until != nil && s.Waiting.Until.After(deadline) {
		deadline = s.Waiting.Until.Time
	}
	return deadline
}

// byHand is what is left to a person when all is verified.
func byHand(s *v1alpha1.RollbackStatus, r *Rollout) []string {
	var out []string
	for _, ws := range r.Workloads {
		if ws.Complete && !ws.Gone {
			out = append(out, ws.Says)
		}
	}
	if s.Change.Release == v1alpha1.ReleaseManual && s.Verdict.Release != v1alpha1.ReleaseManual {
		out = append(out, "two newer images in a row had to be taken back, so the next one waits for backstop release")
	}
	return out
}

// stuck is a pod that cannot start and that an ordered rollout waits for, of a workload whose template is good again.
func stuck(s *v1alpha1.RollbackStatus, r *Rollout) string {
	for _, ws := range r.Workloads {
		if !ws.Complete && len(ws.Stuck) > 0 && (r.Contains || aheadOf(s, ws.Workload)) {
			return ws.Stuck[0]
		}
	}
	return ""
}

// arrived says what is still missing; empty when the target has arrived, for every trigger on the record.
func arrived(w *World) string {
	missing := ""
	rows := w.rows()
	for _, t := range rows {
		if t.Arrived != nil {
			missing = orElse(missing, t.Arrived(w))
		}
	}
	if missing != "" || len(rows) > 0 && !slices.ContainsFunc(rows, func(t Trigger) bool { return t.Arrived == nil }) {
		return missing
	}
	return Arrival(w)
}

// Arrival says what is missing by the images of the workloads' templates and by their rollouts.
func Arrival(w *World) string { return arrival(&w.Form.Status, w.Rollout, w.Form.Spec.Subject.Name) }

// arrival says what is still missing by the images of the workloads; empty when the target has arrived.
func arrival(s *v1alpha1.RollbackStatus, r *Rollout, bad string) string {
	if !r.Contains {
		switch {
		case r.Source != "":
			return r.Source
		case r.Waits != "":
			return r.Waits
		case !r.Fetched:
			return fmt.Sprintf("%s has not fetched %s yet", s.Suspect.Source, short(s.Landed.Commit))
		}
		return fmt.Sprintf("%s has not applied %s yet", s.Suspect.Applier, short(s.Landed.Commit))
	}
	for _, ws := range r.Workloads {
		if ws.Gone {
			continue
		}
		for _, f := range s.Failures {
			// A webhook may have rewritten the target's registry; that the bad image is gone is what counts.
			if f.Workload.Kind == ws.Workload.Kind && f.Workload.Name == ws.Workload.Name &&
				image.SameTag(ws.Images[f.Container], bad) {
				return still(fmt.Sprintf("%s still names %s for container %s", ws.Workload, bad, f.Container), r.Waits)
			}
		}
		if !ws.Complete {
			return orElse(ws.Says, fmt.Sprintf("the rollout of %s is not complete", ws.Workload))
		}
	}
	return ""
}

// still says what is missing, and what keeps Flux from applying it.
func still(missing, waits string) string {
	if waits == "" {
		return missing
	}
	return missing + ": " + waits
}

func end(w *World, r v1alpha1.Result, format string, args ...any) Step {
	return Step{Do: DoOutcome, Outcome: v1alpha1.Outcome{
		Result: r, Sentence: sentence(fmt.Sprintf(format, args...)), At: v1alpha1.NewTime(w.Now),
	}}
}

// giveUp is how long an allowed revert is tried.
func giveUp(p Policy) time.Duration { return max(p.Verify, p.Cooldown, 30*time.Minute) }

func waitedFor(s *v1alpha1.RollbackStatus) string {
	if s.Waiting == nil {
		return ""
	}
	return s.Waiting.Why
}

func names(w *World) string {
	var out []string
	for _, wl := range w.Form.Status.Workloads() {
		out = append(out, wl.String())
	}
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("%d more", len(out)-3))
	}
	return strings.Join(out, ", ")
}
