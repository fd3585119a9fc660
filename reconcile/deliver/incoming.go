package deliver

import (
	"context"
	"strings"

	"code.gitea.io/sdk/gitea"
	"github.com/google/go-github/v88/github"
	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/backstop-dev/backstop/reconcile"
)

// Opened reads what the open pull requests to a branch change, the newest first.
func (g *gitHub) Opened(ctx context.Context, base string) (reconcile.Opened, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	all, _, err := g.api.PullRequests.List(ctx, g.where.owner(), g.where.name(), &github.PullRequestListOptions{
		State: "open", Base: base, Sort: "created", Direction: "desc",
		ListOptions: github.ListOptions{PerPage: maxIncoming + 1},
	})
	if err != nil {
		return reconcile.Opened{}, g.failed(ctx, "list the pull requests", err)
	}
	out := reconcile.Opened{More: len(all) > maxIncoming}
	for _, pr := range all[:min(len(all), maxIncoming)] {
		if pr.GetBase().GetRef() != base || pr.GetState() != "open" {
			continue
		}
		in := reconcile.Incoming{PullRequest: *g.pullRequest(pr), Fork: !ofOne(pr), Whole: true}
		files, _, err := g.api.PullRequests.ListFiles(ctx, g.where.owner(), g.where.name(), pr.GetNumber(),
			&github.ListOptions{PerPage: maxChanged})
		if err != nil {
			return out, g.failed(ctx, "read what a pull request changes", err)
		}
		for _, f := range files {
			change := reconcile.FileChange{File: f.GetFilename()}
			// A file that is renamed, binary or large has no patch, or not all of it.
			whole := f.GetPatch() != "" && f.GetStatus() != "renamed" && hunks(f.GetPatch(), &change) &&
				len(change.Added) == f.GetAdditions() && len(change.Removed) == f.GetDeletions()
			in.Whole = in.Whole && whole
			in.Files = append(in.Files, change)
		}
		in.Whole = in.Whole && len(files) < maxChanged
		out.PullRequests = append(out.PullRequests, in)
	}
	return out, nil
}

// Opened reads what the open merge requests to a branch change, the newest first.
func (g *gitLab) Opened(ctx context.Context, base string) (reconcile.Opened, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	id, err := g.id(ctx)
	if err != nil {
		return reconcile.Opened{}, err
	}
	all, _, err := g.api.MergeRequests.ListProjectMergeRequests(id, &gitlab.ListProjectMergeRequestsOptions{
		TargetBranch: &base, State: gitlab.Ptr("opened"), OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("desc"),
		ListOptions: gitlab.ListOptions{PerPage: maxIncoming + 1},
	}, gitlab.WithContext(ctx))
	if err != nil {
		return reconcile.Opened{}, g.failed(ctx, "list the merge requests", err)
	}
	out := reconcile.Opened{More: len(all) > maxIncoming}
	for _, mr := range all[:min(len(all), maxIncoming)] {
		if mr.TargetBranch != base || mr.State != "opened" {
			continue
		}
		fork := mr.SourceProjectID != mr.TargetProjectID
		in := reconcile.Incoming{PullRequest: *g.mergeRequest(mr), Fork: fork, Whole: true}
		files, _, err := g.api.MergeRequests.ListMergeRequestDiffs(id, mr.IID, &gitlab.ListMergeRequestDiffsOptions{
			ListOptions: gitlab.ListOptions{PerPage: maxChanged}}, gitlab.WithContext(ctx))
		if err != nil {
			return out, g.failed(ctx, "read what a merge request changes", err)
		}
		for _, f := range files {
			change := reconcile.FileChange{File: f.NewPath}
			whole := f.Diff != "" && !f.TooLarge && !f.Collapsed && !f.RenamedFile && hunks(f.Diff, &change)
			in.Whole = in.Whole && whole
			in.Files = append(in.Files, change)
		}
		// A merge request whose diff is not made yet shows no file.
		in.Whole = in.Whole && len(files) > 0 && len(files) < maxChanged
		out.PullRequests = append(out.PullRequests, in)
	}
	return out, nil
}

// Opened reads what the open pull requests to a branch change.
func (g *giteaRepo) Opened(ctx context.Context, base string) (reconcile.Opened, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(ctx)
	if err != nil {
		return reconcile.Opened{}, g.failed(ctx, "list the pull requests", err)
	}
	var out reconcile.Opened
	for page := 1; page <= giteaPages; page++ {
		all, _, err := api.ListRepoPullRequests(g.where.owner(), g.where.name(), gitea.ListPullRequestsOptions{
			State: gitea.StateOpen, Sort: "recentupdate", ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
		if err != nil {
			return out, g.failed(ctx, "list the pull requests", err)
		}
		for _, pr := range all {
			switch {
			case pr.Base == nil || pr.Head == nil || pr.Base.Ref != base:
				continue
			case len(out.PullRequests) == maxIncoming:
				out.More = true
				return out, nil
			}
			in, err := g.incoming(api, pr)
			if err != nil {
				return out, g.failed(ctx, "read what a pull request changes", err)
			}
			out.PullRequests = append(out.PullRequests, in)
		}
		// A server may give smaller pages than it is asked for.
		if len(all) == 0 {
			return out, nil
		}
	}
	out.More = true
	return out, nil
}

// incoming reads what one pull request changes.
func (g *giteaRepo) incoming(api *gitea.Client, pr *gitea.PullRequest) (reconcile.Incoming, error) {
	in := reconcile.Incoming{PullRequest: *g.pullRequest(pr), Fork: pr.Head.RepoID != pr.Base.RepoID}
	diff, _, err := api.GetPullRequestDiff(g.where.owner(), g.where.name(), pr.Index, gitea.PullRequestDiffOptions{})
	switch {
	case err != nil && strings.Contains(err.Error(), tooLong):
		// It changes more than is read of any answer.
		return in, nil
	case err != nil:
		return in, err
	}
	in.Files, in.Whole = wholeDiff(string(diff))
	return in, nil
}
