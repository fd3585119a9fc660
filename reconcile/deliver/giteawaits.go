package deliver

import (
	"fmt"
	"slices"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// checks adds what a pull request waits for that is mergeable otherwise.
func (g *giteaRepo) checks(api *gitea.Client, pr *reconcile.PullRequest) error {
	status, _, err := api.GetCombinedStatus(g.where.owner(), g.where.name(), pr.Head)
	if err != nil {
		return err
	}
	for _, s := range status.Statuses {
		if s.State == gitea.StatusPending || s.State == gitea.StatusFailure || s.State == gitea.StatusError {
			pr.Merge = reconcile.MergeWaits
			pr.Waits = append(pr.Waits, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForCheck, Name: s.Context})
		}
	}
	return nil
}

// explain reports that the rules of the base want more reviews than there are. That a merge is tried all the same costs
// one request, and only the answer to that tells for sure.
func (g *giteaRepo) explain(api *gitea.Client, pr *gitea.PullRequest, out *reconcile.PullRequest) {
	of := fmt.Sprint(pr.Updated, out.Head, out.Base)
	more := g.asides.about(out.Number, of, func() beside {
		base, _, err := api.GetRepoBranch(g.where.owner(), g.where.name(), out.Base)
		if err != nil || base.RequiredApprovals == 0 {
			return beside{}
		}
		reviews, _, err := api.ListPullReviews(g.where.owner(), g.where.name(), out.Number, gitea.ListPullReviewsOptions{
			ListOptions: gitea.ListOptions{Page: 1, PageSize: giteaPage}})
		if err != nil {
			return beside{}
		}
		yes := int64(0)
		for _, r := range reviews {
			if r.State == gitea.ReviewStateApproved && r.Official && !r.Dismissed {
				yes++
			}
		}
		b := beside{told: true, decided: true}
		if yes < base.RequiredApprovals {
			b.wait(v1alpha1.WaitsForReview, "")
		}
		return b
	})
	named := slices.ContainsFunc(out.Waits, func(w v1alpha1.PullRequestWait) bool {
		return w.Kind == v1alpha1.WaitsForReview
	})
	if !named {
		out.Waits = append(out.Waits, more.waits...)
	}
}
