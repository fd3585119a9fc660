package deliver

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/go-github/v88/github"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Find gives the pull request that brings a branch to a base, or to any.
func (g *gitHub) Find(ctx context.Context, branch, base string) (*reconcile.PullRequest, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	// Without its owner the head is ignored, and every pull request comes back. The answer is looked through all the same.
	all, err := g.list(ctx, g.where.owner()+":"+branch, base)
	if len(all) == 0 && err == nil {
		// The repository may have gone to another owner since, whose name the filter wants.
		repo, _, gone := g.api.Repositories.Get(ctx, g.where.owner(), g.where.name())
		if now := repo.GetOwner().GetLogin(); gone == nil && now != "" && !strings.EqualFold(now, g.where.owner()) {
			all, err = g.list(ctx, now+":"+branch, base)
		}
	}
	if err != nil {
		return nil, g.failed(ctx, "find the pull request", err)
	}
	var newest *reconcile.PullRequest
	for _, pr := range all {
		if pr.GetHead().GetRef() != branch || base != "" && pr.GetBase().GetRef() != base ||
			!ofOne(pr) {
			continue
		}
		found := g.pullRequest(pr)
		if found.State == v1alpha1.PullRequestOpen {
			return found, nil
		}
		if newest == nil || found.Number > newest.Number {
			newest = found
		}
	}
	return newest, nil
}

// list lists the pull requests of a head, the newest first.
func (g *gitHub) list(ctx context.Context, head, base string) ([]*github.PullRequest, error) {
	all, _, err := g.api.PullRequests.List(ctx, g.where.owner(), g.where.name(), &github.PullRequestListOptions{
		State: "all", Head: head, Base: base, Sort: "created", Direction: "desc",
		ListOptions: github.ListOptions{PerPage: 100},
	})
	return all, err
}

// ofOne reports whether a pull request's branch is of the repository itself, whatever that is called by now, and of no
// fork.
func ofOne(pr *github.PullRequest) bool {
	from, to := pr.GetHead().GetRepo(), pr.GetBase().GetRepo()
	return from != nil && to != nil && from.GetID() == to.GetID() &&
		strings.EqualFold(from.GetFullName(), to.GetFullName())
}

// Read reads a pull request anew.
func (g *gitHub) Read(ctx context.Context, number int64) (*reconcile.PullRequest, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	pr, _, err := g.api.PullRequests.Get(ctx, g.where.owner(), g.where.name(), int(number))
	if err != nil {
		return nil, g.failed(ctx, "read the pull request", err)
	}
	out := g.pullRequest(pr)
	g.explain(ctx, pr, out)
	if out.State == v1alpha1.PullRequestClosed {
		// Only the issue behind it says who closed it.
		if issue, _, err := g.api.Issues.Get(ctx, g.where.owner(), g.where.name(), int(number)); err == nil {
			out.By = issue.GetClosedBy().GetLogin()
		}
	}
	return out, nil
}

// pullRequest is what GitHub says of one, in our words.
func (g *gitHub) pullRequest(pr *github.PullRequest) *reconcile.PullRequest {
	out := &reconcile.PullRequest{
		Number: int64(pr.GetNumber()), URL: pr.GetHTMLURL(), ID: pr.GetNodeID(), State: v1alpha1.PullRequestOpen,
		Title: pr.GetTitle(), Body: pr.GetBody(),
		Branch: pr.GetHead().GetRef(), Head: pr.GetHead().GetSHA(), Base: pr.GetBase().GetRef(),
		Armed: pr.AutoMerge != nil, Merge: reconcile.MergeWaits,
	}
	switch {
	case pr.MergedAt != nil || pr.GetMerged():
		out.State, out.By = v1alpha1.PullRequestMerged, pr.GetMergedBy().GetLogin()
		return out
	case pr.GetState() == "closed":
		out.State = v1alpha1.PullRequestClosed
		return out
	}
	wait := func(kind v1alpha1.PullRequestWaitKind, name string) {
		out.Waits = append(out.Waits, v1alpha1.PullRequestWait{Kind: kind, Name: name})
	}
	for _, u := range pr.RequestedReviewers {
		wait(v1alpha1.WaitsForReview, u.GetLogin())
	}
	for _, t := range pr.RequestedTeams {
		wait(v1alpha1.WaitsForReview, t.GetSlug())
	}
	switch pr.GetMergeableState() {
	case "clean", "has_hooks":
		out.Merge = reconcile.MergeClean
	case "dirty":
		out.Merge = reconcile.MergeConflicts
	case "draft":
		wait(v1alpha1.WaitsForDraft, "")
	case "behind":
		wait(v1alpha1.WaitsForRebase, "")
	case "unstable":
		// A check that is not required fails or runs. Nothing is merged past it without a person.
		wait(v1alpha1.WaitsForCheck, "")
	case "blocked":
		if len(out.Waits) == 0 {
			wait(v1alpha1.WaitsForReview, "")
			wait(v1alpha1.WaitsForCheck, "")
		}
	default:
		wait(v1alpha1.WaitsForProvider, "")
	}
	return out
}

// Open opens a pull request; where one is open for the branch already, it gives that one.
func (g *gitHub) Open(ctx context.Context, p reconcile.Proposal) (*reconcile.PullRequest, error) {
	call, cancel := g.deadline(ctx)
	defer cancel()
	pr, err := learned(call, func() (*github.PullRequest, error) {
		pr, _, err := g.api.PullRequests.Create(call, g.where.owner(), g.where.name(), &github.NewPullRequest{
			Title: github.Ptr(titleOf(p.Story)), Body: github.Ptr(bodyOf(p.Story)),
			Head: &p.Branch, Base: &p.Base, MaintainerCanModify: github.Ptr(false),
		})
		return pr, err
	}, headInvalid)
	switch status, said := statusOf(err); {
	case headInvalid(err):
		return nil, g.notLearned(p.Branch, err)
	case status == http.StatusUnprocessableEntity && strings.Contains(said, "already exists"):
		return adopted(ctx, g, p, g.failed(call, "open a pull request", err))
	case status == http.StatusUnprocessableEntity && strings.Contains(said, "no commits between"):
		return nil, reconcile.RefuseAs(reconcile.FaultNever, "open a pull request of %s: %s brings nothing that %s has not",
			g.where.Project, p.Branch, p.Base)
	case err != nil:
		return nil, g.failed(call, "open a pull request", err)
	}
	g.label(call, pr.GetNumber())
	return g.pullRequest(pr), nil
}

// headInvalid reports whether GitHub does not know of a branch that was pushed.
func headInvalid(err error) bool {
	status, said := statusOf(err)
	return status == http.StatusUnprocessableEntity && saysAny(said, "field: head") && saysAny(said, "code: invalid")
}

// Update has a pull request tell more.
func (g *gitHub) Update(ctx context.Context, pr *reconcile.PullRequest, p reconcile.Proposal) error {
	title, body, changed := more(pr, p)
	if !changed {
		return nil
	}
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	_, _, err := g.api.PullRequests.Edit(ctx, g.where.owner(), g.where.name(), int(pr.Number),
		&github.PullRequest{Title: &title, Body: &body})
	return g.failed(ctx, "update the pull request", err)
}

// label adds the label, if the repository has it: GitHub would make it. A token that may open pull requests need not be
// one that may label them.
func (g *gitHub) label(ctx context.Context, number int) {
	if _, _, err := g.api.Issues.GetLabel(ctx, g.where.owner(), g.where.name(), label); err == nil {
		_, _, _ = g.api.Issues.AddLabelsToIssue(ctx, g.where.owner(), g.where.name(), number, []string{label})
	}
}

// Merge merges a pull request, or puts it into the queue.
func (g *gitHub) Merge(ctx context.Context, pr *reconcile.PullRequest, order reconcile.MergeOrder,
) (reconcile.Merging, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	defer g.asides.forget(pr.Number)
	methods, err := g.methods(ctx, pr.Base)
	if err != nil {
		return "", err
	}
	if pr.Merge != reconcile.MergeClean {
		if !order.Arm || pr.Merge == reconcile.MergeConflicts {
			return "", notClean(pr)
		}
		armed, err := g.arm(ctx, pr, order, methods)
		switch {
		case err != nil:
			return "", err
		case armed:
			return reconcile.MergingArmed, nil
		}
		// There is nothing left to wait for.
	}
	for i, method := range methods {
		_, _, err = g.api.PullRequests.Merge(ctx, g.where.owner(), g.where.name(), int(pr.Number), order.Message,
			&github.PullRequestOptions{SHA: order.Head, MergeMethod: method, CommitTitle: order.Title})
		status, said := statusOf(err)
		switch {
		case err == nil:
			return reconcile.MergingDone, nil
		case status == http.StatusMethodNotAllowed && strings.Contains(said, "merge queue"):
			if err := g.enqueue(ctx, pr, order); err != nil {
				return "", err
			}
			return reconcile.MergingArmed, nil
		case status == http.StatusMethodNotAllowed && otherWay(said) && i+1 < len(methods):
			continue
		}
		break
	}
	return "", g.merging(ctx, kindOfMerge(err), "GitHub does not merge it", err)
}

// Close closes a pull request, which takes it out of the queue too, and explains why.
func (g *gitHub) Close(ctx context.Context, pr *reconcile.PullRequest, why string) error {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	_, _, err := g.api.PullRequests.Edit(ctx, g.where.owner(), g.where.name(), int(pr.Number),
		&github.PullRequest{State: github.Ptr("closed")})
	if err != nil {
		return g.failed(ctx, "close the pull request", err)
	}
	_, _, err = g.api.Issues.CreateComment(ctx, g.where.owner(), g.where.name(), int(pr.Number),
		&github.IssueComment{Body: github.Ptr(commentOf(why))})
	return g.told(ctx, err)
}

// kindOfMerge tells the refusals to merge apart. GitHub says 405 to everything.
func kindOfMerge(err error) reconcile.FaultKind {
	switch status, said := statusOf(err); {
	case status == http.StatusConflict:
		return reconcile.FaultHeadMoved
	case status == http.StatusMethodNotAllowed && (otherWay(said) || saysAny(said, "is in draft", "still a draft")):
		return reconcile.FaultNever
	case status == http.StatusMethodNotAllowed:
		return reconcile.FaultNotYet
	case status == http.StatusUnprocessableEntity:
		return reconcile.FaultNever
	}
	return ""
}

// adopted gives the pull request that is open for the branch already, where the provider says that there is one.
func adopted(ctx context.Context, f reconcile.Forge, p reconcile.Proposal, said error) (*reconcile.PullRequest, error) {
	pr, err := f.Find(ctx, p.Branch, p.Base)
	switch {
	case err != nil:
		return nil, err
	case pr == nil || pr.State != v1alpha1.PullRequestOpen:
		return nil, said
	}
	return pr, nil
}

// notClean explains why a pull request is not merged now.
func notClean(pr *reconcile.PullRequest) error {
	if pr.Merge == reconcile.MergeConflicts {
		return reconcile.RefuseAs(reconcile.FaultNever, "pull request %d conflicts with %s", pr.Number, pr.Base)
	}
	return reconcile.RefuseAs(reconcile.FaultNotYet, "pull request %d waits for %s", pr.Number,
		v1alpha1.WaitsFor(pr.Waits))
}
