package card

import "github.com/backstop-dev/backstop/api/v1alpha1"

// opened is a pull request that waits.
func opened(waits ...v1alpha1.PullRequestWait) edit {
	return func(r *v1alpha1.Rollback) {
		r.Status.PullRequest = &v1alpha1.PullRequest{Because: "the policy's delivery is PullRequest", Number: 7,
			URL: "https://git.example/acme/fleet/pulls/7", Branch: "backstop/revert-4be1c2d9a7f3", State: v1alpha1.PullRequestOpen,
			WaitsFor: waits, Own: true, At: at("14:24:46")}
	}
}

func foreignCommit(r *v1alpha1.Rollback) {
	r.Status.PullRequest.Foreign = "backstop/revert-4be1c2d9a7f3 has commit 1234567, which is not Backstop's"
}

func mergedBy(who string) edit {
	return func(r *v1alpha1.Rollback) {
		r.Status.PullRequest.State, r.Status.PullRequest.By = v1alpha1.PullRequestMerged, who
		verdict(who, v1alpha1.Approve)(r)
		r.Status.Verdict.Source = v1alpha1.VerdictByMerge
	}
}

// withoutHold is why people are asked about a pull request that was merged without its hold.
const withoutHold = "pull request 7 brought the target to main without the hold of shop:backend, so image automation may write " +
	"registry.example/shop/shop-api:v1.42.0 again: approve to go on without it, or put the hold back"

func landedAlone(r *v1alpha1.Rollback) {
	r.Status.PullRequest.State, r.Status.PullRequest.By = v1alpha1.PullRequestMerged, "jane"
	r.Status.Question.Doubts[0].Type = v1alpha1.DoubtHoldMissing
}

// returned are open pull requests that bring the image again.
func returned(r *v1alpha1.Rollback) {
	r.Status.Returning = &v1alpha1.Returning{At: at("14:25:10"), More: 2, PullRequests: []v1alpha1.ReturningPull{
		{Number: 8, URL: "https://git.example/acme/fleet/pulls/8", State: v1alpha1.PullRequestClosed},
		{Number: 9, URL: "https://git.example/acme/fleet/pulls/9", State: v1alpha1.PullRequestOpen, Left: v1alpha1.LeftMoreChanges},
	}}
}

func closedBy(who string) edit {
	return func(r *v1alpha1.Rollback) {
		r.Status.PullRequest.State, r.Status.PullRequest.By = v1alpha1.PullRequestClosed, who
	}
}
