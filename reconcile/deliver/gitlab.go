package deliver

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// gitLab is a project at a GitLab server.
type gitLab struct {
	*session
	api    *gitlab.Client
	asides asides

	once    sync.Mutex
	project int64
	// trains means that the project has merge trains.
	trains atomic.Bool
}

func openGitLab(server *reconcile.GitServer, where Repository) (*gitLab, error) {
	s := newSession(server, where)
	api, err := gitlab.NewAuthSourceClient(gitlabLogin{s}, gitlab.WithBaseURL(where.API),
		gitlab.WithHTTPClient(s.client()), gitlab.WithUserAgent("backstop"), gitlab.WithCustomLimiter(unlimited{}),
		// What may be tried again is tried by whoever asked.
		gitlab.WithCustomRetry(func(ctx context.Context, _ *http.Response, err error) (bool, error) { return false, err }))
	if err != nil {
		return nil, reconcile.RefuseAs(reconcile.FaultNoProvider, "%s is no base of an API: %w", where.API, err)
	}
	return &gitLab{session: s, api: api}, nil
}

// gitlabLogin gives GitLab's library the header that the session sends.
type gitlabLogin struct{ s *session }

// Init has nothing to prepare.
func (gitlabLogin) Init(context.Context, *gitlab.Client) error { return nil }

// Header is the header with the token.
func (l gitlabLogin) Header(ctx context.Context) (key, value string, err error) {
	value, err = l.s.authorization(ctx)
	return "Authorization", value, err
}

// unlimited leaves it to the server to limit: what it says is told to whoever asked.
type unlimited struct{}

// Wait waits for nothing.
func (unlimited) Wait(context.Context) error { return nil }

// id is the project's. It is called by it from then on: its path may be another one tomorrow.
func (g *gitLab) id(ctx context.Context) (int64, error) {
	g.once.Lock()
	defer g.once.Unlock()
	if g.project == 0 {
		project, _, err := g.api.Projects.GetProject(g.where.Project, nil, gitlab.WithContext(ctx))
		if err != nil {
			return 0, g.failed(ctx, "read the project", err)
		}
		g.project = project.ID
		g.trains.Store(project.MergeTrainsEnabled)
	}
	return g.project, nil
}

// Find gives the merge request that brings a branch to a base, or to any.
func (g *gitLab) Find(ctx context.Context, branch, base string) (*reconcile.PullRequest, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	id, err := g.id(ctx)
	if err != nil {
		return nil, err
	}
	wanted := &gitlab.ListProjectMergeRequestsOptions{
		SourceBranch: &branch, State: gitlab.Ptr("all"), OrderBy: gitlab.Ptr("created_at"),
		Sort: gitlab.Ptr("desc"), ListOptions: gitlab.ListOptions{PerPage: 100},
	}
	if base != "" {
		wanted.TargetBranch = &base
	}
	all, _, err := g.api.MergeRequests.ListProjectMergeRequests(id, wanted, gitlab.WithContext(ctx))
	if err != nil {
		return nil, g.failed(ctx, "find the merge request", err)
	}
	var newest *reconcile.PullRequest
	for _, mr := range all {
		if mr.SourceBranch != branch || base != "" && mr.TargetBranch != base || mr.SourceProjectID != mr.TargetProjectID {
			continue
		}
		found := g.mergeRequest(mr)
		if found.State == v1alpha1.PullRequestOpen {
			return found, nil
		}
		if newest == nil || found.Number > newest.Number {
			newest = found
		}
	}
	return newest, nil
}

// Read reads a merge request anew.
func (g *gitLab) Read(ctx context.Context, number int64) (*reconcile.PullRequest, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	id, err := g.id(ctx)
	if err != nil {
		return nil, err
	}
	mr, _, err := g.api.MergeRequests.GetMergeRequest(id, number, nil, gitlab.WithContext(ctx))
	if err != nil {
		return nil, g.failed(ctx, "read the merge request", err)
	}
	out := g.mergeRequest(&mr.BasicMergeRequest)
	g.explain(ctx, id, mr, out)
	return out, nil
}

// mergeRequest is what GitLab says of one, in our words.
func (g *gitLab) mergeRequest(mr *gitlab.BasicMergeRequest) *reconcile.PullRequest {
	out := &reconcile.PullRequest{
		Number: mr.IID, URL: mr.WebURL, State: v1alpha1.PullRequestOpen, Title: mr.Title, Body: mr.Description,
		Branch: mr.SourceBranch, Head: mr.SHA, Base: mr.TargetBranch, Armed: mr.MergeWhenPipelineSucceeds,
		Merge: reconcile.MergeWaits,
	}
	switch mr.State {
	case "merged":
		out.State = v1alpha1.PullRequestMerged
		if by := mr.MergeUser; by != nil {
			out.By = by.Username
		}
		return out
	case "closed":
		out.State = v1alpha1.PullRequestClosed
		if by := mr.ClosedBy; by != nil {
			out.By = by.Username
		}
		return out
	}
	wait := func(kind v1alpha1.PullRequestWaitKind, name string) {
		out.Waits = append(out.Waits, v1alpha1.PullRequestWait{Kind: kind, Name: name})
	}
	switch mr.DetailedMergeStatus {
	case "mergeable":
		out.Merge = reconcile.MergeClean
	case "conflict", "broken_status":
		out.Merge = reconcile.MergeConflicts
	case "commits_status":
		// Its branch is gone, or brings nothing: the commit that GitLab remembers is no head.
		out.Head = ""
		wait(v1alpha1.WaitsForProvider, "")
	case "need_rebase":
		wait(v1alpha1.WaitsForRebase, "")
	case "ci_still_running", "ci_must_pass", "status_checks_must_pass", "external_status_checks",
		"security_policy_violations":
		wait(v1alpha1.WaitsForCheck, "")
	case "code_owners_approval":
		wait(v1alpha1.WaitsForCodeOwner, "")
	case "not_approved", "requested_changes", "approvals_syncing":
		for _, u := range mr.Reviewers {
			wait(v1alpha1.WaitsForReview, u.Username)
		}
		if len(mr.Reviewers) == 0 {
			wait(v1alpha1.WaitsForReview, "")
		}
	case "discussions_not_resolved":
		wait(v1alpha1.WaitsForDiscussion, "")
	case "draft_status":
		wait(v1alpha1.WaitsForDraft, "")
	case "", "checking", "unchecked", "preparing", "not_open":
		wait(v1alpha1.WaitsForProvider, "")
	default:
		// Another merge request, a title, a lock, a time: GitLab's word says which.
		wait(v1alpha1.WaitsForProvider, strings.ReplaceAll(mr.DetailedMergeStatus, "_", " "))
	}
	return out
}

// Open opens a merge request; where one is open for the branch already, it gives that one.
func (g *gitLab) Open(ctx context.Context, p reconcile.Proposal) (*reconcile.PullRequest, error) {
	call, cancel := g.deadline(ctx)
	defer cancel()
	id, err := g.id(call)
	if err != nil {
		return nil, err
	}
	order := &gitlab.CreateMergeRequestOptions{
		Title: gitlab.Ptr(titleOf(p.Story)), Description: gitlab.Ptr(bodyOf(p.Story)),
		SourceBranch: &p.Branch, TargetBranch: &p.Base, RemoveSourceBranch: gitlab.Ptr(true),
	}
	// GitLab would make a label that the project has not.
	if _, _, err := g.api.Labels.GetLabel(id, label, gitlab.WithContext(call)); err == nil {
		order.Labels = &gitlab.LabelOptions{label}
	}
	mr, err := learned(call, func() (*gitlab.MergeRequest, error) {
		mr, _, err := g.api.MergeRequests.CreateMergeRequest(id, order, gitlab.WithContext(call))
		return mr, err
	}, noSourceBranch)
	switch status, _ := statusOf(err); {
	case status == http.StatusConflict:
		return adopted(ctx, g, p, g.failed(call, "open a merge request", err))
	case noSourceBranch(err):
		return nil, g.notLearned(p.Branch, err)
	case err != nil:
		return nil, g.failed(call, "open a merge request", err)
	}
	return g.mergeRequest(&mr.BasicMergeRequest), nil
}

// noSourceBranch reports whether GitLab does not know of a branch that was pushed.
func noSourceBranch(err error) bool {
	status, said := statusOf(err)
	return status == http.StatusBadRequest && saysAny(said, "source branch") && saysAny(said, "does not exist")
}

// Update has a merge request tell more.
func (g *gitLab) Update(ctx context.Context, pr *reconcile.PullRequest, p reconcile.Proposal) error {
	title, body, changed := more(pr, p)
	if !changed {
		return nil
	}
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	id, err := g.id(ctx)
	if err != nil {
		return err
	}
	_, _, err = g.api.MergeRequests.UpdateMergeRequest(id, pr.Number,
		&gitlab.UpdateMergeRequestOptions{Title: &title, Description: &body}, gitlab.WithContext(ctx))
	return g.failed(ctx, "update the merge request", err)
}

// Merge merges a merge request, or puts it on the merge train.
func (g *gitLab) Merge(ctx context.Context, pr *reconcile.PullRequest, order reconcile.MergeOrder,
) (reconcile.Merging, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	defer g.asides.forget(pr.Number)
	if pr.Merge == reconcile.MergeConflicts || pr.Merge != reconcile.MergeClean && !order.Arm {
		return "", notClean(pr)
	}
	id, err := g.id(ctx)
	if err != nil {
		return "", err
	}
	project, _, err := g.api.Projects.GetProject(id, nil, gitlab.WithContext(ctx))
	if err != nil {
		return "", g.failed(ctx, "read the settings", err)
	}
	g.trains.Store(project.MergeTrainsEnabled)
	if project.MergeTrainsEnabled {
		return g.board(ctx, id, pr, order)
	}
	how := &gitlab.AcceptMergeRequestOptions{
		SHA: &order.Head, ShouldRemoveSourceBranch: gitlab.Ptr(true),
	}
	if message := strings.TrimSpace(order.Title + "\n\n" + order.Message); message != "" {
		how.MergeCommitMessage, how.SquashCommitMessage = &message, &message
	}
	if pr.Merge != reconcile.MergeClean {
		// The newer name, and the one that servers before 17.11 know.
		how.AutoMerge, how.MergeWhenPipelineSucceeds = gitlab.Ptr(true), gitlab.Ptr(true) //nolint:staticcheck // both
	}
	mr, _, err := g.api.MergeRequests.AcceptMergeRequest(id, pr.Number, how, gitlab.WithContext(ctx))
	switch {
	case err != nil:
		return "", g.merging(ctx, kindOfAccept(err), "GitLab does not merge it", err)
	case mr.State == "merged":
		return reconcile.MergingDone, nil
	}
	return reconcile.MergingArmed, nil
}

// board puts a merge request on the merge train of its base, which merges it.
func (g *gitLab) board(ctx context.Context, project int64, pr *reconcile.PullRequest, order reconcile.MergeOrder,
) (reconcile.Merging, error) {
	_, _, err := g.api.MergeTrains.AddMergeRequestToMergeTrain(project, pr.Number,
		&gitlab.AddMergeRequestToMergeTrainOptions{
			SHA: &order.Head, AutoMerge: gitlab.Ptr(true), WhenPipelineSucceeds: gitlab.Ptr(true), //nolint:staticcheck // both
		}, gitlab.WithContext(ctx))
	if err != nil && !boarded(err) {
		return "", g.merging(ctx, kindOfAccept(err), "GitLab does not put it on the merge train", err)
	}
	return reconcile.MergingArmed, nil
}

// Disarm ends auto-merge, and takes a merge request off the train.
func (g *gitLab) Disarm(ctx context.Context, pr *reconcile.PullRequest) error {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	defer g.asides.forget(pr.Number)
	id, err := g.id(ctx)
	if err != nil {
		return err
	}
	_, _, err = g.api.MergeRequests.CancelMergeWhenPipelineSucceeds(id, pr.Number, gitlab.WithContext(ctx))
	if status, _ := statusOf(err); status == http.StatusMethodNotAllowed || status == http.StatusNotAcceptable {
		// It is merged or closed, or nothing is armed.
		return nil
	}
	if err != nil {
		return g.failed(ctx, "disarm the merge request", err)
	}
	// GitLab says 201 also to what it did not cancel.
	now, _, err := g.api.MergeRequests.GetMergeRequest(id, pr.Number, nil, gitlab.WithContext(ctx))
	switch {
	case err != nil:
		return g.failed(ctx, "disarm the merge request", err)
	case now.State == "opened" && now.MergeWhenPipelineSucceeds:
		return fmt.Errorf("disarm merge request %d of %s: GitLab merges it by itself still", pr.Number, g.where.Project)
	}
	return nil
}

// Close closes a merge request, which takes it off the train too, and explains why.
func (g *gitLab) Close(ctx context.Context, pr *reconcile.PullRequest, why string) error {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	id, err := g.id(ctx)
	if err != nil {
		return err
	}
	_, _, err = g.api.MergeRequests.UpdateMergeRequest(id, pr.Number,
		&gitlab.UpdateMergeRequestOptions{StateEvent: gitlab.Ptr("close")}, gitlab.WithContext(ctx))
	if err != nil {
		return g.failed(ctx, "close the merge request", err)
	}
	_, _, err = g.api.Notes.CreateMergeRequestNote(id, pr.Number,
		&gitlab.CreateMergeRequestNoteOptions{Body: gitlab.Ptr(commentOf(why))}, gitlab.WithContext(ctx))
	return g.told(ctx, err)
}

// kindOfAccept tells the refusals to merge apart.
func kindOfAccept(err error) reconcile.FaultKind {
	switch status, said := statusOf(err); {
	case status == http.StatusUnauthorized && strings.Contains(said, "401 unauthorized"):
		// GitLab says 401 also to a token that is good and may not merge.
		return reconcile.FaultForbidden
	case status == http.StatusMethodNotAllowed:
		return reconcile.FaultNotYet
	case status == http.StatusConflict:
		return reconcile.FaultHeadMoved
	case status == http.StatusNotAcceptable, status == http.StatusUnprocessableEntity:
		return reconcile.FaultNever
	}
	return ""
}
