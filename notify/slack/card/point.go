package card

import (
	"cmp"
	"fmt"

	"github.com/slack-go/slack/slackutilsx"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// point is what a phone shows and a screen reader reads: where, what, and what the reader is asked to do.
func point(f Facts) string {
	r := f.Rollback
	s, w := &r.Status, wordsOf(r)
	out := cmp.Or(plain(f.Cluster, 60), "Backstop") + ": "
	switch {
	case stateOf(r) == asking && w.drift && !approvable(s):
		out += fmt.Sprintf("%s, Git says %s. Restore it from Git by %s, or commit what is meant.", header(r), w.bad,
			deadline(s.Question.Until.Time))
	case stateOf(r) == asking && w.drift:
		out += fmt.Sprintf("%s, Git says %s. Adopt it into Git or restore it by %s.", header(r), w.bad,
			deadline(s.Question.Until.Time))
	case stateOf(r) == asking:
		out += wanted(r, w)
	case expired(r):
		out += header(r) + ". It can still be decided."
	case stateOf(r) == ended && s.Outcome.Result == v1alpha1.ResultRejected:
		out += header(r) + "."
	case stateOf(r) == ended:
		if !saysItAll(r) {
			out += header(r) + ": "
		}
		out += plain(s.Outcome.Message, 200)
	case stateOf(r) == failing && !w.drift:
		out += header(r) + inBrackets(s) + "."
	default:
		out += header(r) + "."
	}
	return slackutilsx.EscapeMessage(text.Cut(out, 600))
}

// saysItAll reports whether the sentence of an outcome is the header's, with its reason.
func saysItAll(r *v1alpha1.Rollback) bool {
	switch r.Status.Outcome.Result {
	case v1alpha1.ResultVerified, v1alpha1.ResultRecovered:
	case v1alpha1.ResultSuperseded:
		if r.Status.Outcome.Reason != "" {
			return false
		}
	default:
		return false
	}
	return applies(r) && !r.OfWorkload()
}

// wanted is what people are asked of a failure.
func wanted(r *v1alpha1.Rollback, w words) string {
	s := &r.Status
	until := deadline(s.Question.Until.Time)
	switch {
	case unheld(r):
		return fmt.Sprintf("%s: pull request %d is merged without its hold. Go on without it, or put it back, by %s.", w.app,
			s.PullRequest.Number, until)
	case applies(r) && s.PullRequest.IsOpen():
		return fmt.Sprintf("%s. Merge pull request %d by %s.", header(r), s.PullRequest.Number, until)
	case applies(r):
		return fmt.Sprintf("%s: %s. Approve it by %s.", header(r), because(s), until)
	case s.PullRequest.IsOpen():
		return fmt.Sprintf("%s %s %s%s. Merge pull request %d%s by %s.", w.app, w.bad, fails(r), inBrackets(s),
			s.PullRequest.Number, to(w.good), until)
	}
	return fmt.Sprintf("%s %s %s%s. Approve the revert%s by %s.", w.app, w.bad, fails(r), inBrackets(s), to(w.good), until)
}

func inBrackets(s *v1alpha1.RollbackStatus) string {
	switch {
	case s.Pods == nil:
		return ""
	case s.Pods.Total > 0:
		return fmt.Sprintf(" (%d of %d pods)", s.Pods.Failing, s.Pods.Total)
	}
	return fmt.Sprintf(" (%d pods)", s.Pods.Failing)
}
