package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// How often a pull request is looked at: often at first, and once a minute at rest.
const (
	proposedSoonest = 5 * time.Second
	proposedAgain   = time.Minute
	// checksWithin is how long after it was opened a policy merges nothing: checks that no rule wants begin by then, and
	// until they do a provider says that nothing is missing. saysWithin is how long a provider may take to say of what has
	// landed who merged it.
	checksWithin = 10 * time.Second
	saysWithin   = 10 * time.Second
	// armedAgain is how long a provider that merges by itself is left alone with what could be merged.
	armedAgain = 5 * time.Minute
	// readWithin is how long a provider may take to tell: what it tells only explains, and others wait for the worker.
	readWithin = 5 * time.Second
)

// sightOf is what the record says of a pull request as it is seen now.
func sightOf(pr *v1alpha1.PullRequest, now *PullRequest, at time.Time) v1alpha1.PullRequest {
	out := *pr
	out.State, out.By = now.State, cut(now.By, 253)
	if first := v1alpha1.NewTime(at); now.State == v1alpha1.PullRequestMerged && out.MergedAt == nil {
		out.MergedAt = &first
	}
	out.WaitsFor = nil
	for _, wait := range now.Waits[:min(len(now.Waits), 8)] {
		wait.Name = cut(wait.Name, 128)
		out.WaitsFor = append(out.WaitsFor, wait)
	}
	return out
}

func sameSight(a, b *v1alpha1.PullRequest) bool {
	return a.State == b.State && a.By == b.By &&
		slices.Equal(a.WaitsFor, b.WaitsFor)
}

// notYetFor is for how long a pull request has been merged whose base does not show it. What was seen merged by an
// earlier version does not say since when.
func notYetFor(pr *v1alpha1.PullRequest, now time.Time) time.Duration {
	if pr.MergedAt != nil {
		return now.Sub(pr.MergedAt.Time)
	}
	return now.Sub(pr.At.Time)
}

func byWhom(name string) string {
	if name == "" {
		return ""
	}
	return " by " + name
}

// merged reports whether a pull request of the Rollback has landed: its values stand on the branch.
func merged(w *World) bool {
	s := &w.Rollback.Status
	return s.PullRequest != nil && s.PullRequest.Number > 0 && s.Target != nil && stand(s, w.Branch).bad == 0 &&
		w.Branch.HoldsTarget != ""
}

// landedBy goes on from a pull request that has landed. It waits a moment if the provider does not yet tell who merged
// it.
func landedBy(w *World, next Step) Step {
	s := &w.Rollback.Status
	pr := s.PullRequest
	why := fmt.Sprintf("%s holds the target; pull request %d is not said to be merged yet", s.Suspect.Branch, pr.Number)
	if w.PullRequest == nil || w.PullRequest.State != v1alpha1.PullRequestOpen {
		return next
	}
	if s.Waiting != nil && s.Waiting.Why == why && w.Now.Sub(s.Waiting.Since.Time) > saysWithin {
		return next
	}
	return Step{Do: DoWait, Wait: time.Second, Why: why}
}

// verdictByMerge makes the merge of a pull request the verdict, by whom its provider let.
func verdictByMerge(w *World) Step {
	pr := w.Rollback.Status.PullRequest
	who := orElse(pr.By, fmt.Sprintf("pull request %d", pr.Number))
	if now := w.PullRequest; now != nil && now.By != "" {
		who = now.By
	}
	return verdict(w, v1alpha1.VerdictByMerge, who, fmt.Sprintf("merged pull request %d: %s", pr.Number, pr.URL))
}

func closed(w *World) Step {
	pr := w.Rollback.Status.PullRequest
	return end(w, v1alpha1.ResultRejected, "pull request %d was closed without a merge%s: %s", pr.Number, byWhom(pr.By),
		pr.URL)
}

// proposedIn is how soon a pull request is looked at again; long where there is none.
func proposedIn(w *World) time.Duration {
	pr := w.Rollback.Status.PullRequest
	if !pr.IsOpen() {
		return restAgain
	}
	return min(max(w.Now.Sub(pr.At.Time)/8, proposedSoonest), proposedAgain)
}
