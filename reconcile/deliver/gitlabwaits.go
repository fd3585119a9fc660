package deliver

import (
	"context"
	"fmt"
	"net/http"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// explain says by name what an open merge request waits for, and that it stands on the merge train.
func (g *gitLab) explain(ctx context.Context, id int64, mr *gitlab.MergeRequest, out *reconcile.PullRequest) {
	if out.State != v1alpha1.PullRequestOpen {
		return
	}
	var pipeline int64
	of := fmt.Sprint(mr.UpdatedAt, mr.DetailedMergeStatus, mr.SHA, out.Armed)
	if p := mr.HeadPipeline; p != nil {
		pipeline = p.ID
		of += fmt.Sprint(" ", p.ID, p.Status)
	}
	more := g.asides.about(out.Number, of, func() beside {
		if b := g.onTrain(ctx, id, out); b.queued {
			return b
		}
		switch mr.DetailedMergeStatus {
		case "not_approved", "requested_changes", "approvals_syncing", "code_owners_approval":
			return g.approvers(ctx, id, out.Number)
		case "ci_still_running", "ci_must_pass":
			return g.jobs(ctx, id, pipeline)
		case "status_checks_must_pass", "external_status_checks":
			return g.external(ctx, id, out.Number)
		}
		return beside{}
	})
	switch {
	case more.queued:
		inQueue(out)
	case more.decided && len(more.waits) > 0:
		out.Waits = append(without(out.Waits, v1alpha1.WaitsForReview, v1alpha1.WaitsForCodeOwner), more.waits...)
	case more.listed && len(more.waits) > 0:
		out.Waits = append(without(out.Waits, v1alpha1.WaitsForCheck), more.waits...)
	}
}

// onTrain asks whether a merge request stands on the merge train, where the project has them and nothing else is
// missing, or GitLab was told to merge it.
func (g *gitLab) onTrain(ctx context.Context, id int64, pr *reconcile.PullRequest) beside {
	if !g.trains.Load() || pr.Merge != reconcile.MergeClean && !pr.Armed {
		return beside{}
	}
	car, _, err := g.api.MergeTrains.GetMergeRequestOnAMergeTrain(id, pr.Number, gitlab.WithContext(ctx))
	if err != nil || car.MergedAt != nil {
		return beside{}
	}
	return beside{told: true, queued: car.Status == "idle" || car.Status == "fresh" || car.Status == "stale" ||
		car.Status == "merging"}
}

// approvers are those whom the rules that are not satisfied name. Without rules, or where they may not be seen, the
// reviewers of the merge request stand.
func (g *gitLab) approvers(ctx context.Context, id, number int64) beside {
	state, _, err := g.api.MergeRequestApprovals.GetApprovalState(id, number, gitlab.WithContext(ctx))
	if err != nil {
		return beside{}
	}
	out := beside{told: true, decided: true}
	for _, rule := range state.Rules {
		if rule.Approved || rule.ApprovalsRequired == 0 {
			continue
		}
		kind := v1alpha1.WaitsForReview
		if rule.RuleType == "code_owner" {
			kind = v1alpha1.WaitsForCodeOwner
		}
		var names []string
		for _, u := range rule.EligibleApprovers {
			names = append(names, u.Username)
		}
		switch {
		case len(names) > 0 && len(names) <= maxNames:
			for _, name := range names {
				out.wait(kind, name)
			}
		case rule.RuleType == "any_approver":
			out.wait(kind, "")
		default:
			out.wait(kind, rule.Name)
		}
	}
	return out
}

// jobs are those of the pipeline that must pass and did not yet.
func (g *gitLab) jobs(ctx context.Context, id, pipeline int64) beside {
	if pipeline == 0 {
		return beside{}
	}
	all, _, err := g.api.Jobs.ListPipelineJobs(id, pipeline, &gitlab.ListJobsOptions{
		ListOptions: gitlab.ListOptions{PerPage: 100}}, gitlab.WithContext(ctx))
	if err != nil {
		return beside{}
	}
	out := beside{told: true, listed: true}
	for _, j := range all {
		if j.Status != "success" && j.Status != "skipped" && !j.AllowFailure {
			out.wait(v1alpha1.WaitsForCheck, j.Name)
		}
	}
	return out
}

// external are the checks of other services that did not pass yet.
func (g *gitLab) external(ctx context.Context, id, number int64) beside {
	all, _, err := g.api.ExternalStatusChecks.ListMergeStatusChecks(id, number, nil, gitlab.WithContext(ctx))
	if err != nil {
		return beside{}
	}
	out := beside{told: true, listed: true}
	for _, c := range all {
		if c.Status != "passed" {
			out.wait(v1alpha1.WaitsForCheck, c.Name)
		}
	}
	return out
}

// boarded reports whether a merge request that is put on the train stands there already.
func boarded(err error) bool {
	status, said := statusOf(err)
	return status == http.StatusConflict && saysAny(said, "already on", "already in")
}
