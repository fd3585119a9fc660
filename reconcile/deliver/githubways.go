package deliver

import (
	"context"
	"net/url"
	"slices"

	"github.com/google/go-github/v88/github"
)

// methods are the ways to merge into a branch, the one that keeps the commits first: those that the repository allows,
// and of them those that the rulesets of the branch let. Settings that contradict each other are the server's to tell.
func (g *gitHub) methods(ctx context.Context, base string) ([]string, error) {
	repo, _, err := g.api.Repositories.Get(ctx, g.where.owner(), g.where.name())
	if err != nil {
		return nil, g.failed(ctx, "read the settings", err)
	}
	var out []string
	for _, m := range []struct {
		name    string
		allowed *bool
	}{
		{"merge", repo.AllowMergeCommit}, {"squash", repo.AllowSquashMerge}, {"rebase", repo.AllowRebaseMerge},
	} {
		// A token that may not see the settings is shown none.
		if m.allowed == nil || *m.allowed {
			out = append(out, m.name)
		}
	}
	if len(out) == 0 {
		out = []string{"merge"}
	}
	if let := g.let(ctx, base, out); len(let) > 0 {
		return let, nil
	}
	return out, nil
}

// let are those of some ways to merge that the rulesets of a branch let. A classic rule of the branch is shown to
// administrators alone: the answer to a merge tells of it.
func (g *gitHub) let(ctx context.Context, base string, ways []string) []string {
	rules, _, err := g.api.Repositories.ListRulesForBranch(ctx, g.where.owner(), g.where.name(), url.PathEscape(base),
		&github.ListOptions{PerPage: 100})
	if err != nil {
		return ways
	}
	return slices.DeleteFunc(slices.Clone(ways), func(way string) bool {
		return way == "merge" && len(rules.RequiredLinearHistory) > 0 ||
			slices.ContainsFunc(rules.PullRequest, func(r *github.PullRequestBranchRule) bool {
				only := r.Parameters.AllowedMergeMethods
				return len(only) > 0 && !slices.Contains(only, github.PullRequestMergeMethod(way))
			})
	})
}

// otherWay reports whether a refusal to merge is about the way: of the repository's settings, a linear history, commits
// without a signature, or commits that cannot be made again on the base.
func otherWay(said string) bool {
	return saysAny(said, "merges are not allowed", "merge commits are not allowed", "must not contain merge commits",
		"must have valid signatures", "must have verified signatures", "can't be rebased", "cannot be rebased")
}
