package deliver

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-github/v88/github"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// waitsQuery asks for what GitHub's REST does not tell: whether a review is needed and whose as a code owner, which
// checks are required, and whether the pull request stands in the merge queue.
const waitsQuery = `query($id: ID!) { node(id: $id) { ... on PullRequest {
  reviewDecision isInMergeQueue
  reviewRequests(first: 20) { nodes { asCodeOwner requestedReviewer {
    ... on User { login } ... on Bot { login } ... on Mannequin { login } ... on Team { slug } } } }
  commits(last: 1) { nodes { commit { statusCheckRollup { contexts(first: 100) { nodes {
    ... on CheckRun { name status conclusion isRequired(pullRequestId: $id) }
    ... on StatusContext { context state isRequired(pullRequestId: $id) } } } } } } }
} } }`

// githubWaits is the answer.
type githubWaits struct {
	Node *struct {
		ReviewDecision string `json:"reviewDecision"`
		IsInMergeQueue bool   `json:"isInMergeQueue"`
		ReviewRequests struct {
			Nodes []struct {
				AsCodeOwner       bool `json:"asCodeOwner"`
				RequestedReviewer struct {
					Login string `json:"login"`
					Slug  string `json:"slug"`
				} `json:"requestedReviewer"`
			} `json:"nodes"`
		} `json:"reviewRequests"`
		Commits struct {
			Nodes []struct {
				Commit struct {
					StatusCheckRollup *struct {
						Contexts struct {
							Nodes []githubCheck `json:"nodes"`
						} `json:"contexts"`
					} `json:"statusCheckRollup"`
				} `json:"commit"`
			} `json:"nodes"`
		} `json:"commits"`
	} `json:"node"`
}

// githubCheck is a run of a check, or a status.
type githubCheck struct {
	Name       string `json:"name"`
	Status     string `json:"status"`
	Conclusion string `json:"conclusion"`
	Context    string `json:"context"`
	State      string `json:"state"`
	IsRequired bool   `json:"isRequired"`
}

// passed reports whether a check is done and stands in nobody's way.
func (c githubCheck) passed() bool {
	switch {
	case c.Context != "":
		return c.State == "SUCCESS"
	case c.Status != "COMPLETED":
		return false
	}
	return c.Conclusion == "SUCCESS" || c.Conclusion == "NEUTRAL" || c.Conclusion == "SKIPPED"
}

// explain says by name what an open pull request waits for, and that it stands in the queue.
func (g *gitHub) explain(ctx context.Context, pr *github.PullRequest, out *reconcile.PullRequest) {
	if out.State != v1alpha1.PullRequestOpen || out.Merge == reconcile.MergeConflicts || pr.GetDraft() {
		return
	}
	state := pr.GetMergeableState()
	of := fmt.Sprint(pr.GetUpdatedAt(), state, out.Head, out.Armed, len(pr.RequestedReviewers), len(pr.RequestedTeams))
	more := g.asides.about(out.Number, of, func() beside { return g.ask(ctx, out.ID, state == "unstable") })
	switch {
	case !more.told:
		return
	case more.queued:
		inQueue(out)
		return
	case out.Merge == reconcile.MergeClean:
		return
	}
	out.Waits = append(without(out.Waits, v1alpha1.WaitsForReview, v1alpha1.WaitsForCheck), more.waits...)
	switch {
	case !more.listed && (state == "blocked" || state == "unstable"):
		// These credentials do not get to see the checks.
		out.Waits = append(out.Waits, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForCheck})
	case len(out.Waits) == 0 && state == "unstable":
		out.Waits = append(out.Waits, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForCheck})
	case len(out.Waits) == 0:
		wait := v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForProvider}
		if state == "blocked" {
			// A check that has not begun, a discussion, a deployment, a scan.
			wait.Name = "a rule of the branch"
		}
		out.Waits = append(out.Waits, wait)
	}
}

// ask asks beside a pull request; every check is told where any may stand in the way, else those that are required.
func (g *gitHub) ask(ctx context.Context, id string, every bool) beside {
	var now githubWaits
	said, err := g.graph(ctx, waitsQuery, map[string]any{"id": id}, &now)
	if err == nil && strings.Contains(said, "isInMergeQueue") {
		// A server without queues.
		said, err = g.graph(ctx, strings.Replace(waitsQuery, " isInMergeQueue", "", 1), map[string]any{"id": id}, &now)
	}
	if err != nil || now.Node == nil {
		return beside{}
	}
	n := now.Node
	out := beside{told: true, decided: true, listed: said == "", queued: n.IsInMergeQueue}
	if n.ReviewDecision == "REVIEW_REQUIRED" || n.ReviewDecision == "CHANGES_REQUESTED" {
		for _, r := range n.ReviewRequests.Nodes {
			kind := v1alpha1.WaitsForReview
			if r.AsCodeOwner {
				kind = v1alpha1.WaitsForCodeOwner
			}
			out.wait(kind, r.RequestedReviewer.Login+r.RequestedReviewer.Slug)
		}
		if len(n.ReviewRequests.Nodes) == 0 {
			out.wait(v1alpha1.WaitsForReview, "")
		}
	}
	for _, c := range n.Commits.Nodes {
		if c.Commit.StatusCheckRollup == nil {
			continue
		}
		for _, check := range c.Commit.StatusCheckRollup.Contexts.Nodes {
			if name := check.Name + check.Context; name != "" && !check.passed() && (every || check.IsRequired) {
				out.wait(v1alpha1.WaitsForCheck, name)
			}
		}
	}
	return out
}
