package deliver

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// giteaPage is how many pull requests are listed at once, and giteaPages of how many pages those that are open, and
	// those that are not, are looked for.
	giteaPage       = 50
	giteaPages      = 20
	giteaClosedPage = 2
)

// isBehind is what a server says that does not merge what is not up to date with its base.
const isBehind = "behind the base branch"

// giteaRepo is a repository at a Gitea or Forgejo server.
type giteaRepo struct {
	*session
	asides asides
	// behind are heads by number that the server does not merge before they are brought up to date with their base, which
	// only the answer to a merge tells.
	behind sync.Map
}

func openGitea(server *reconcile.GitServer, where Repository) *giteaRepo {
	return &giteaRepo{session: newSession(server, where)}
}

// call is the library's client for one call: it takes a context only as a whole. It is not asked for the server's
// version, which Forgejo counts in its own way.
func (g *giteaRepo) call(ctx context.Context) (*gitea.Client, error) {
	return gitea.NewClient(g.where.API, gitea.SetHTTPClient(g.client()), gitea.SetContext(ctx), gitea.SetGiteaVersion(""),
		gitea.SetUserAgent("backstop"))
}

// Find gives the pull request that brings a branch to a base, or to any. The API has no filter for it.
func (g *giteaRepo) Find(ctx context.Context, branch, base string) (*reconcile.PullRequest, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	found, err := g.find(ctx, gitea.StateOpen, giteaPages, branch, base)
	if found == nil && err == nil {
		found, err = g.find(ctx, gitea.StateClosed, giteaClosedPage, branch, base)
	}
	return found, g.failed(ctx, "find the pull request", err)
}

func (g *giteaRepo) find(ctx context.Context, state gitea.StateType, pages int, branch, base string,
) (*reconcile.PullRequest, error) {
	api, err := g.call(ctx)
	if err != nil {
		return nil, err
	}
	var newest *reconcile.PullRequest
	for page := 1; page <= pages && newest == nil; page++ {
		all, _, err := api.ListRepoPullRequests(g.where.owner(), g.where.name(), gitea.ListPullRequestsOptions{
			State: state, Sort: "recentupdate", ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage},
		})
		if err != nil {
			return nil, err
		}
		for _, pr := range all {
			if pr.Head == nil || pr.Base == nil || pr.Head.Ref != branch ||
				base != "" && pr.Base.Ref != base || pr.Head.RepoID != pr.Base.RepoID {
				continue
			}
			if found := g.pullRequest(pr); newest == nil || found.Number > newest.Number {
				newest = found
			}
		}
		// A server may give smaller pages than it is asked for.
		if len(all) == 0 {
			break
		}
	}
	return newest, nil
}

// Read reads a pull request anew.
func (g *giteaRepo) Read(ctx context.Context, number int64) (*reconcile.PullRequest, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(ctx)
	if err != nil {
		return nil, g.failed(ctx, "read the pull request", err)
	}
	pr, _, err := api.GetPullRequest(g.where.owner(), g.where.name(), number)
	if err != nil {
		return nil, g.failed(ctx, "read the pull request", err)
	}
	out := g.pullRequest(pr)
	if out.State == v1alpha1.PullRequestOpen && out.Merge == reconcile.MergeClean {
		err = g.checks(ctx, out)
		g.explain(api, pr, out)
	}
	if head, late := g.behind.Load(number); late && head == out.Head {
		out.Merge = reconcile.MergeWaits
		out.Waits = append(out.Waits, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForRebase})
	}
	return out, g.failed(ctx, "read the checks of the pull request", err)
}

// pullRequest is what Gitea says of one, in our words.
func (g *giteaRepo) pullRequest(pr *gitea.PullRequest) *reconcile.PullRequest {
	out := &reconcile.PullRequest{
		Number: pr.Index, URL: pr.HTMLURL, State: v1alpha1.PullRequestOpen, Title: pr.Title, Body: pr.Body,
		Merge: reconcile.MergeWaits,
	}
	if pr.Head != nil {
		out.Branch, out.Head = pr.Head.Ref, pr.Head.Sha
	}
	if pr.Base != nil {
		out.Base = pr.Base.Ref
	}
	switch {
	case pr.HasMerged:
		out.State = v1alpha1.PullRequestMerged
		if pr.MergedBy != nil {
			out.By = pr.MergedBy.UserName
		}
		return out
	case pr.State == gitea.StateClosed:
		out.State = v1alpha1.PullRequestClosed
		return out
	}
	wait := func(kind v1alpha1.PullRequestWaitKind, name string) {
		out.Waits = append(out.Waits, v1alpha1.PullRequestWait{Kind: kind, Name: name})
	}
	for _, u := range pr.RequestedReviewers {
		wait(v1alpha1.WaitsForReview, u.UserName)
	}
	for _, t := range pr.RequestedReviewersTeams {
		wait(v1alpha1.WaitsForReview, t.Name)
	}
	switch {
	case pr.Draft:
		wait(v1alpha1.WaitsForDraft, "")
	case pr.Mergeable:
		// What a rule of the branch wants is only told by the answer to a merge.
		out.Merge = reconcile.MergeClean
	default:
		// False stands for a conflict, and for not known yet.
		wait(v1alpha1.WaitsForProvider, "")
	}
	return out
}

// Open opens a pull request; where one is open for the branch already, it gives that one.
func (g *giteaRepo) Open(ctx context.Context, p reconcile.Proposal) (*reconcile.PullRequest, error) {
	call, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(call)
	if err != nil {
		return nil, g.failed(call, "open a pull request", err)
	}
	order := gitea.CreatePullRequestOption{
		Title: titleOf(p.Story), Body: bodyOf(p.Story), Head: p.Branch, Base: p.Base, Labels: g.labels(api),
	}
	pr, err := learned(call, func() (*gitea.PullRequest, error) {
		pr, _, err := api.CreatePullRequest(g.where.owner(), g.where.name(), order)
		return pr, err
	}, func(err error) bool { return g.unknown(api, err) })
	if status, _ := statusOf(err); status == http.StatusConflict {
		return adopted(ctx, g, p, g.failed(call, "open a pull request", err))
	}
	if err != nil {
		return nil, g.failed(call, "open a pull request", err)
	}
	return g.pullRequest(pr), nil
}

// Update has a pull request tell more.
func (g *giteaRepo) Update(ctx context.Context, pr *reconcile.PullRequest, p reconcile.Proposal) error {
	title, body, changed := more(pr, p)
	if !changed {
		return nil
	}
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(ctx)
	if err == nil {
		_, _, err = api.EditPullRequest(g.where.owner(), g.where.name(), pr.Number,
			gitea.EditPullRequestOption{Title: title, Body: &body})
	}
	return g.failed(ctx, "update the pull request", err)
}

// unknown reports whether nothing was found in a repository that is there: the server learns of a branch a moment after
// the push.
func (g *giteaRepo) unknown(api *gitea.Client, err error) bool {
	if status, _ := statusOf(err); status != http.StatusNotFound {
		return false
	}
	_, _, err = api.GetRepo(g.where.owner(), g.where.name())
	return err == nil
}

// labels are the id of the label, if the repository has it.
func (g *giteaRepo) labels(api *gitea.Client) []int64 {
	for page := 1; page <= giteaPages; page++ {
		all, _, err := api.ListRepoLabels(g.where.owner(), g.where.name(), gitea.ListLabelsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: giteaPage}})
		for _, l := range all {
			if strings.EqualFold(l.Name, label) {
				return []int64{l.ID}
			}
		}
		// A token that may open pull requests need not be one that may see labels.
		if err != nil || len(all) == 0 {
			break
		}
	}
	return nil
}

// Merge merges a pull request.
func (g *giteaRepo) Merge(ctx context.Context, pr *reconcile.PullRequest, order reconcile.MergeOrder,
) (reconcile.Merging, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(ctx)
	if err != nil {
		return "", g.failed(ctx, "merge the pull request", err)
	}
	wait := pr.Merge != reconcile.MergeClean
	if wait && !order.Arm {
		return "", notClean(pr)
	}
	style, err := g.style(ctx, api)
	if err != nil {
		return "", err
	}
	how := gitea.MergePullRequestOption{
		Style: style, Title: order.Title, Message: order.Message, HeadCommitId: order.Head, MergeWhenChecksSucceed: wait,
	}
	_, _, err = api.MergePullRequest(g.where.owner(), g.where.name(), pr.Number, how)
	if status, said := statusOf(err); !wait && order.Arm && status == http.StatusMethodNotAllowed &&
		!saysAny(said, "try again", "draft", "work in progress", "user not allowed", isBehind) {
		// The branch wants what the pull request itself does not show.
		wait, how.MergeWhenChecksSucceed = true, true
		_, _, err = api.MergePullRequest(g.where.owner(), g.where.name(), pr.Number, how)
	}
	switch status, said := statusOf(err); {
	case err == nil && wait:
		return g.armed(ctx, api, pr.Number)
	case err == nil:
		return reconcile.MergingDone, nil
	case status == http.StatusConflict && saysAny(said, "scheduled", "already exist"):
		return reconcile.MergingArmed, nil
	case status == http.StatusMethodNotAllowed && saysAny(said, isBehind):
		g.behind.Store(pr.Number, pr.Head)
	}
	return "", g.merging(ctx, kindOfGiteaMerge(err), "the server does not merge it", err)
}

// armed finds out whether a server that was told to merge later did so at once, as it does when nothing is missing.
func (g *giteaRepo) armed(ctx context.Context, api *gitea.Client, number int64) (reconcile.Merging, error) {
	pr, _, err := api.GetPullRequest(g.where.owner(), g.where.name(), number)
	if err != nil {
		return "", g.failed(ctx, "read the pull request", err)
	}
	if pr.HasMerged {
		return reconcile.MergingDone, nil
	}
	return reconcile.MergingArmed, nil
}

// Disarm tells the server to merge no longer by itself.
func (g *giteaRepo) Disarm(ctx context.Context, pr *reconcile.PullRequest) error {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(ctx)
	if err == nil {
		_, err = api.CancelScheduledAutoMerge(g.where.owner(), g.where.name(), pr.Number)
	}
	if status, _ := statusOf(err); status == http.StatusNotFound {
		// Nothing is armed; what may not be seen cannot be read either.
		return nil
	}
	return g.failed(ctx, "disarm the pull request", err)
}

// Close closes a pull request, and explains why. What is armed is only found out to be closed when its checks pass, so
// that it is disarmed first.
func (g *giteaRepo) Close(ctx context.Context, pr *reconcile.PullRequest, why string) error {
	if err := g.Disarm(ctx, pr); err != nil {
		return err
	}
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(ctx)
	if err != nil {
		return g.failed(ctx, "close the pull request", err)
	}
	closed := gitea.StateClosed
	_, _, err = api.EditPullRequest(g.where.owner(), g.where.name(), pr.Number,
		gitea.EditPullRequestOption{State: &closed})
	if err != nil {
		return g.failed(ctx, "close the pull request", err)
	}
	_, _, err = api.CreateIssueComment(g.where.owner(), g.where.name(), pr.Number,
		gitea.CreateIssueCommentOption{Body: commentOf(why)})
	return g.told(ctx, err)
}

// kindOfGiteaMerge tells the refusals to merge apart.
func kindOfGiteaMerge(err error) reconcile.FaultKind {
	switch status, said := statusOf(err); {
	case status == http.StatusConflict && saysAny(said, "merge conflict", "rebase conflict", "conflict when merging"):
		return reconcile.FaultNever
	case status == http.StatusConflict && saysAny(said, "push", "unrelated"):
		// A hook or a rule refused what the merge made, or somebody merged at the same time.
		return reconcile.FaultNotYet
	case status == http.StatusConflict:
		return reconcile.FaultHeadMoved
	case status == http.StatusMethodNotAllowed && saysAny(said, "user not allowed to merge"):
		return reconcile.FaultForbidden
	case status == http.StatusMethodNotAllowed && saysAny(said, "is not allowed", "work in progress", "draft"):
		return reconcile.FaultNever
	case status == http.StatusMethodNotAllowed:
		return reconcile.FaultNotYet
	}
	return ""
}

// style is the way to merge that the repository prefers, among those that it allows.
func (g *giteaRepo) style(ctx context.Context, api *gitea.Client) (gitea.MergeStyle, error) {
	repo, _, err := api.GetRepo(g.where.owner(), g.where.name())
	if err != nil {
		return "", g.failed(ctx, "read the settings", err)
	}
	allowed := map[gitea.MergeStyle]bool{
		gitea.MergeStyleMerge: repo.AllowMerge, gitea.MergeStyleRebase: repo.AllowRebase,
		gitea.MergeStyleRebaseMerge: repo.AllowRebaseMerge, gitea.MergeStyleSquash: repo.AllowSquash,
		gitea.MergeStyleFastForwardOnly: repo.AllowFastForwardOnlyMerge,
	}
	for _, style := range []gitea.MergeStyle{repo.DefaultMergeStyle, gitea.MergeStyleMerge, gitea.MergeStyleSquash,
		gitea.MergeStyleRebaseMerge, gitea.MergeStyleRebase, gitea.MergeStyleFastForwardOnly} {
		if allowed[style] {
			return style, nil
		}
	}
	return gitea.MergeStyleMerge, nil
}
