package deliver

import (
	"context"
	"net/url"

	"github.com/google/go-github/v88/github"
	gitlab "gitlab.com/gitlab-org/api/client-go/v2"
)

// What the rules of a branch say before anybody pushes to it. A rule may let some through: only a push tells for sure.

// maxMoves is how many redirects of a branch or a repository that was renamed are followed.
const maxMoves = 3

// WantsPullRequest reads the rulesets that count for the branch. Whether a classic rule wants a pull request is shown
// to administrators alone.
func (g *gitHub) WantsPullRequest(ctx context.Context, branch string) (*bool, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	rules, _, err := g.api.Repositories.ListRulesForBranch(ctx, g.where.owner(), g.where.name(), url.PathEscape(branch),
		&github.ListOptions{PerPage: 100})
	if err != nil {
		return nil, g.failed(ctx, "read the rules of "+branch, err)
	}
	if len(rules.PullRequest)+len(rules.RequiredStatusChecks)+len(rules.MergeQueue) > 0 {
		return new(true), nil
	}
	b, _, err := g.api.Repositories.GetBranch(ctx, g.where.owner(), g.where.name(), branch, maxMoves)
	switch {
	case err != nil:
		return nil, g.failed(ctx, "read the branch "+branch, err)
	case !b.GetProtected():
		return new(false), nil
	case b.GetProtection().GetRequiredPullRequestReviews() != nil, b.GetProtection().GetRequiredStatusChecks() != nil:
		return new(true), nil
	}
	return nil, nil
}

// WantsPullRequest asks whether the token's user may push to the branch.
func (g *gitLab) WantsPullRequest(ctx context.Context, branch string) (*bool, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	id, err := g.id(ctx)
	if err != nil {
		return nil, err
	}
	b, _, err := g.api.Branches.GetBranch(id, branch, gitlab.WithContext(ctx))
	if err != nil {
		return nil, g.failed(ctx, "read the branch "+branch, err)
	}
	return new(b.Protected && !b.CanPush), nil
}

// WantsPullRequest asks whether the token's user may push to the branch.
func (g *giteaRepo) WantsPullRequest(ctx context.Context, branch string) (*bool, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(ctx)
	if err != nil {
		return nil, g.failed(ctx, "read the branch "+branch, err)
	}
	b, _, err := api.GetRepoBranch(g.where.owner(), g.where.name(), branch)
	if err != nil {
		return nil, g.failed(ctx, "read the branch "+branch, err)
	}
	return new(b.Protected && !b.UserCanPush), nil
}
