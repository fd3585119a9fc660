package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// giteaStatuses is how many pages of statuses are read.
	giteaStatuses = 20
	// giteaLeast is the smallest page of a server that nobody configured.
	giteaLeast = 30
)

// checks adds what a pull request waits for that is mergeable otherwise. A commit of a large repository has more
// statuses than one page holds.
func (g *giteaRepo) checks(ctx context.Context, pr *reconcile.PullRequest) error {
	seen := 0
	for page := 1; page <= giteaStatuses; page++ {
		all, total, err := g.statuses(ctx, pr.Head, page)
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.State == gitea.StatusPending || s.State == gitea.StatusFailure || s.State == gitea.StatusError {
				pr.Merge = reconcile.MergeWaits
				pr.Waits = append(pr.Waits, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForCheck, Name: s.Context})
			}
		}
		// A server may give smaller pages than it is asked for.
		if seen += len(all); len(all) == 0 || total > 0 && seen >= total || total == 0 && len(all) < giteaLeast {
			break
		}
	}
	return nil
}

// statuses is one page of a commit's newest statuses, and how many there are; zero where the server does not say. The
// library has no pages for it.
func (g *giteaRepo) statuses(ctx context.Context, commit string, page int) ([]*gitea.Status, int, error) {
	at := fmt.Sprintf("%s/api/v1/repos/%s/%s/commits/%s/status?page=%d&limit=%d", g.where.API,
		url.PathEscape(g.where.owner()), url.PathEscape(g.where.name()), url.PathEscape(commit), page, giteaPage)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("ask for the statuses: %w", err)
	}
	res, err := g.client().Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = res.Body.Close() }()
	var out gitea.CombinedStatus
	// A commit without any has no body.
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, errors.New("the answer about statuses does not parse")
	}
	total, _ := strconv.Atoi(res.Header.Get("X-Total-Count"))
	return out.Statuses, total, nil
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
