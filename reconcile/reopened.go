package reconcile

import (
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A pull request that was closed without a merge is a person's no. Whoever opens it again withdraws the no, and says
// no yes by it: the Rollback asks again, as one does that expired, and its merge is an answer.

// refusedByClose reports whether a Rollback ended because somebody closed its pull request.
func refusedByClose(s *v1alpha1.RollbackStatus) bool {
	return s.Outcome != nil && s.Outcome.Result == v1alpha1.ResultRejected && s.Change == nil &&
		s.PullRequest != nil && s.PullRequest.Number > 0 && len(s.Lapsed) < maxLapsed &&
		(s.Verdict == nil || s.Verdict.Answer == v1alpha1.Approve)
}

// mayReopen reports whether a closed pull request is still looked at.
func mayReopen(s *v1alpha1.RollbackStatus, now time.Time) bool {
	return refusedByClose(s) && now.Before(s.Outcome.At.Add(askFor))
}

// openedAgain is what becomes of a Rollback whose pull request was closed by a person; false leaves it at rest.
func openedAgain(w *World) (Step, bool) {
	s := &w.Rollback.Status
	if !mayReopen(s, w.Now) {
		return Step{}, false
	}
	pr, now := s.PullRequest, w.PullRequest
	switch {
	case pr.State != v1alpha1.PullRequestClosed:
		return end(w, v1alpha1.ResultExpired, "pull request %d was closed without a merge, and somebody opened it again: "+
			"it can be approved or rejected: %s", pr.Number, pr.URL), true
	case now != nil && now.State != v1alpha1.PullRequestClosed:
		return Step{Do: DoPullRequest, Why: "the pull request was opened again"}, true
	}
	return Step{Do: DoWait, Wait: restAgain}, true
}
