package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A pull request may bring the target without the hold: a person took that out of it, or a squash kept a part. Image
// automation writes the bad image back then, so that a person is asked before the Rollback goes on.

// aloneAt lists the policies of image automation that write to places where the target stands without a hold.
func aloneAt(w *World) []string {
	s := &w.Rollback.Status
	var out []string
	for i, n := range s.Suspect.Places {
		value, there := w.Branch.Values[int32(i)]
		_, held := w.Branch.Held[int32(i)]
		if n.Marker != "" && there && !held && value == targetValue(s.Target, int32(i)) && !slices.Contains(out, n.Marker) {
			out = append(out, n.Marker)
		}
	}
	return out
}

// bothAnswers are those to a target that stands alone: it is merged, and nothing of either is written to Git.
func bothAnswers() []v1alpha1.Answer { return []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject} }

// allowedAlone reports whether a person has said that the Rollback goes on without its hold.
func allowedAlone(w *World) bool {
	v := w.Rollback.Status.Verdict
	return v.Source == v1alpha1.VerdictByPerson && v.Question == questionID(w, bothAnswers())
}

func aloneWhy(w *World) string {
	s := &w.Rollback.Status
	return fmt.Sprintf("pull request %d brought the target to %s without the hold of %s, so image automation may write "+
		"%s again", s.PullRequest.Number, s.Suspect.Branch, strings.Join(aloneAt(w), ", "), badInWords(w))
}

// landedAllowed goes on from a pull request that was allowed and has landed, unless it brought the target alone and
// nobody allowed that.
func landedAllowed(w *World) Step {
	s := &w.Rollback.Status
	switch {
	case len(aloneAt(w)) == 0 || allowedAlone(w):
		return landedBy(w, Step{Do: DoMerged, Why: "the pull request has landed"})
	case len(s.Lapsed) >= maxLapsed:
		return end(w, v1alpha1.ResultFailed, "%s", aloneWhy(w))
	}
	return Step{Do: DoLapse, Why: aloneWhy(w)}
}

// landedAsked is what comes of a pull request that has landed before anybody answered: its merge is the answer, unless
// it brought the target alone.
func landedAsked(w *World) Step {
	s := &w.Rollback.Status
	if len(aloneAt(w)) == 0 {
		return landedBy(w, verdictByMerge(w))
	}
	if now := w.PullRequest; now != nil && now.State == v1alpha1.PullRequestMerged {
		if seen := sightOf(s.PullRequest, now, w.Now); !sameSight(s.PullRequest, &seen) {
			return Step{Do: DoPullRequest, Why: "the pull request changed"}
		}
	}
	q := questionWith(w, bothAnswers(), []v1alpha1.Doubt{{Type: v1alpha1.DoubtHoldMissing, Message: aloneWhy(w) +
		": approve to go on without it, or put the hold back"}})
	if d, ok := decisionOn(w, q); ok {
		return answeredBy(w, d, q)
	}
	if !w.Now.Before(q.Until.Time) && !s.Ended() {
		return expires(w, q, messages(q.Doubts))
	}
	return Step{Do: DoWait, Wait: proposedAgain, Question: q, Why: "a person decides: " + messages(q.Doubts)}
}

// rejectedMerged ends what a person rejected whose pull request is merged all the same.
func rejectedMerged(w *World) Step {
	s := &w.Rollback.Status
	return end(w, v1alpha1.ResultRejected, "%s rejected it, and pull request %d is merged%s: %s holds %s (%s)",
		s.Verdict.By, s.PullRequest.Number, byWhom(s.PullRequest.By), s.Suspect.Branch, s.Target.Image,
		orElse(s.Verdict.Why, "no reason given"))
}
