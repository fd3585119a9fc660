package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// A branch that takes no push gets a pull request after the verdict, and a policy whose delivery is PullRequest wants
// one before people are asked: its merge is the approval, by whomever the provider lets.
//
//	delivery: PullRequest ──► pullRequest ──opened──► people are asked, here and there ──┐
//	verdict, push ──refused──► pullRequest ──opened──► checks; Backstop merges ──────────┴──merged──► change, by content
//	                                               └──closed without a merge──► Rejected
//
// The record says which it is, and the branch says when it has landed, whatever a squash, a rebase or a queue made of
// it. What the provider says only explains.

// opensFirst reports whether a question goes with a pull request, which is opened before it is answered: its merge is
// an answer too. Where a policy restrains itself, or a whole registry is in doubt, a person is asked first.
func opensFirst(w *World) bool {
	s := &w.Rollback.Status
	if w.Policy.Delivery != v1alpha1.DeliveryPullRequest || s.PullRequest != nil && s.PullRequest.Number > 0 ||
		w.Breaker != "" || s.Target.ConfirmAt != nil || s.SeenBy(v1alpha1.TriggerDrift) || s.Ended() {
		return false
	}
	return restraintOf(w, w.Policy.Cooldown).restrain(*w.Branch) == nil
}

// watched is what an open question's pull request has to say; false where people go on being asked.
func watched(w *World) (Step, bool) {
	s := &w.Rollback.Status
	pr, now := s.PullRequest, w.PullRequest
	if pr == nil || pr.Number == 0 || s.Target == nil || w.Branch == nil {
		return Step{}, false
	}
	if merged(w) {
		return landedAsked(w), true
	}
	if now == nil {
		return Step{}, false
	}
	if seen := sightOf(pr, now, w.Now); !sameSight(pr, &seen) {
		return Step{Do: DoPullRequest, Why: "the pull request changed"}, true
	}
	switch {
	case pr.State == v1alpha1.PullRequestClosed:
		return closed(w), true
	case pr.State == v1alpha1.PullRequestMerged && stand(s, w.Branch).bad > 0:
		return notShown(w), true
	case pr.State == v1alpha1.PullRequestMerged:
		return Step{}, false
	case pr.Armed:
		return Step{Do: DoDisarm, Why: "nobody allows it any more"}, true
	case bringsOther(w):
		return Step{Do: DoPullRequest, Why: "looking at what the pull request brings now"}, true
	}
	return Step{}, false
}

// notShown waits for the branch to show what was merged.
func notShown(w *World) Step {
	s := &w.Rollback.Status
	pr := s.PullRequest
	if s.AskedFor(v1alpha1.DoubtHoldMissing) {
		return movedOn(w, v1alpha1.OutcomeWrittenAgain, "%s was written to %s again after pull request %d, which "+
			"brought no hold", badInWords(w), s.Suspect.Branch, pr.Number)
	}
	how := byWhom(pr.By)
	if now := w.PullRequest; retargeted(w, now) != "" {
		how = " into " + cut(now.Base, 128) + how
	}
	if notYetFor(pr, w.Now) > giveUp(w.Policy) {
		return end(w, v1alpha1.ResultFailed, "pull request %d was merged%s, and %s still says %s: %s", pr.Number, how,
			s.Suspect.Branch, badInWords(w), pr.URL)
	}
	return Step{Do: DoWait, Wait: lookAgain, Why: fmt.Sprintf("pull request %d is merged%s, and %s at %s does not show "+
		"it yet", pr.Number, how, s.Suspect.Branch, text.Short(w.Branch.Tip))}
}

// bringsOther reports whether what an open pull request brings is to be looked at: its branch has another head, or it
// is to be built again on a base that moved. What may not be written is not built.
func bringsOther(w *World) bool {
	s := &w.Rollback.Status
	pr, now := s.PullRequest, w.PullRequest
	if now == nil || now.State != v1alpha1.PullRequestOpen || s.Ended() || mayWrite(w.Policy, s, w.Now) != nil {
		return false
	}
	return now.Head != pr.Head || stale(w)
}

// stale reports whether a pull request does not merge with its base as that is now, and was not built on it yet.
func stale(w *World) bool {
	pr, now := w.Rollback.Status.PullRequest, w.PullRequest
	if !pr.Own || w.Branch.Tip == pr.Base {
		return false
	}
	return now.Merge == MergeConflicts || slices.ContainsFunc(now.Waits, func(wait v1alpha1.PullRequestWait) bool {
		// Gitea says of a conflict that it does not know. What a provider names is no conflict.
		unknown := wait.Kind == v1alpha1.WaitsForProvider && wait.Name == "" && w.Now.Sub(pr.At.Time) > time.Minute
		return wait.Kind == v1alpha1.WaitsForRebase || unknown
	})
}

// proposed is the line of an allowed Rollback whose pull request is there.
func proposed(w *World) Step {
	s := &w.Rollback.Status
	pr, now := s.PullRequest, w.PullRequest
	if now == nil {
		return Step{Do: DoWait, Wait: proposedAgain, Why: fmt.Sprintf("pull request %d cannot be read: %s", pr.Number,
			orElse(w.NoPullRequest, "its provider does not answer")), Refused: w.NoPullRequestKind}
	}
	if seen := sightOf(pr, now, w.Now); !sameSight(pr, &seen) {
		return Step{Do: DoPullRequest, Why: "the pull request changed"}
	}
	switch pr.State {
	case v1alpha1.PullRequestOpen:
	case v1alpha1.PullRequestClosed:
		return closed(w)
	case v1alpha1.PullRequestMerged:
		return notShown(w)
	}
	barred := mayWrite(w.Policy, s, w.Now)
	if why := unarmed(w, barred); why != "" {
		return Step{Do: DoDisarm, Why: why}
	}
	switch {
	case barred != nil:
		step := waitsForMerge(w, "nothing is merged by Backstop: "+barred.Error())
		step.Barred = barOf(barred)
		return step
	case bringsOther(w):
		return Step{Do: DoPullRequest, Why: "looking at what the pull request brings now"}
	case pr.Foreign != "" && len(s.Lapsed) < maxLapsed:
		return Step{Do: DoLapse, Why: pr.Foreign}
	}
	why, rest := unmerged(w)
	if why == "" && rest == 0 {
		return Step{Do: DoMerge, Why: fmt.Sprintf("merging pull request %d", pr.Number)}
	}
	step := waitsForMerge(w, why)
	if rest > 0 {
		step.Wait = min(step.Wait, rest)
	}
	return step
}

// unarmed explains why the provider is not to merge by itself what it was told to; nothing where it may, or was told
// nothing.
func unarmed(w *World, barred error) string {
	pr := w.Rollback.Status.PullRequest
	switch {
	case !pr.Armed:
		return ""
	case barred != nil:
		return barred.Error()
	case retargeted(w, w.PullRequest) != "":
		return retargeted(w, w.PullRequest)
	case w.PullRequest.Head != pr.Head:
		return "its branch changed"
	}
	return w.Others
}

// retargeted reports that a person had a pull request go to another branch: what is merged there is no revert of this
// one, nor a lift, and brings that branch all that this one has.
func retargeted(w *World, now *PullRequest) string {
	branch := w.Rollback.Status.Suspect.Branch
	if now == nil || now.Base == "" || now.Base == branch {
		return ""
	}
	return fmt.Sprintf("it goes to %s now, and not to %s: a person merges it, or has it go there again", now.Base, branch)
}

// unmerged explains why Backstop does not merge a pull request now, or how long it leaves it to others at least;
// nothing where it does.
func unmerged(w *World) (string, time.Duration) {
	s := &w.Rollback.Status
	pr, now := s.PullRequest, w.PullRequest
	switch {
	case pr.Foreign != "":
		return "a person finishes it: " + pr.Foreign, restAgain
	case retargeted(w, w.PullRequest) != "":
		return retargeted(w, w.PullRequest), restAgain
	case !pr.Own:
		return "it brings what is not this cluster's: a person merges it", restAgain
	case w.Others != "":
		return w.Others, proposedAgain
	}
	if err := restraintOf(w, s.Verdict.Cooldown.Duration).permit(*w.Branch); err != nil {
		return err.Error(), retryIn(w, err)
	}
	if s.Verdict.Source == v1alpha1.VerdictByPolicy {
		if rest := pr.At.Add(checksWithin).Sub(w.Now); rest > 0 {
			return "", rest
		}
	}
	if pr.Tried != nil {
		again := proposedIn(w)
		if pr.Armed {
			// It stands in a queue, or somebody took it out.
			again = armedAgain
		}
		if rest := pr.Tried.Add(again).Sub(w.Now); rest > 0 {
			return orElse(pr.NotMerged, armedSays(pr)), rest
		}
	}
	switch {
	case now.Merge == MergeClean:
		return "", 0
	case now.Merge == MergeConflicts:
		return fmt.Sprintf("it conflicts with %s", s.Suspect.Branch), proposedAgain
	case pr.Armed || now.Armed:
		return itsProviderMerges, proposedAgain
	case w.Policy.PullRequest.AutoMerge:
		return "", 0
	}
	return "", proposedAgain
}

const itsProviderMerges = "its provider merges it then"

func armedSays(pr *v1alpha1.PullRequest) string {
	if pr.Armed {
		return itsProviderMerges
	}
	return ""
}

// waitsForMerge waits for a pull request, and says what for.
func waitsForMerge(w *World, more string) Step {
	pr := w.Rollback.Status.PullRequest
	why := fmt.Sprintf("pull request %d waits for %s: %s", pr.Number, v1alpha1.WaitsFor(pr.WaitsFor), pr.URL)
	if more != "" {
		why += " (" + more + ")"
	}
	return Step{Do: DoWait, Wait: proposedIn(w), Why: why}
}

// leftOpen is what becomes of the pull request of a Rollback that has ended: it is closed, unless it may still be
// merged or others wait for it. False leaves the Rollback at rest.
func leftOpen(w *World) (Step, bool) {
	s := &w.Rollback.Status
	pr, now := s.PullRequest, w.PullRequest
	if !pr.IsOpen() || s.Outcome.Result == v1alpha1.ResultFailed {
		return Step{}, false
	}
	switch asks := stillAsks(s); {
	case now == nil && (asks || s.HoldStands() || w.NoPullRequestKind == FaultNotFound):
		return Step{}, false
	case now == nil:
		return Step{Do: DoWait, Wait: restAgain}, true
	case now.State != pr.State:
		return Step{Do: DoPullRequest, Why: "the pull request changed"}, true
	case asks:
		return Step{}, false
	case w.Shared && s.Outcome.Result != v1alpha1.ResultRejected:
		return Step{Do: DoWait, Wait: restAgain}, !s.HoldStands()
	}
	return Step{Do: DoClose, Why: "its pull request is not needed any more"}, true
}
