package forgestub

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// gitlabID is the project's number.
const gitlabID = 42

// gitlab answers as GitLab's API does.
func (f *Forge) gitlab(c call) {
	if c.path == "personal_access_tokens/self" {
		f.gitlabToken(c)
		return
	}
	id, path, _ := strings.Cut(strings.TrimPrefix(c.path, "projects/"), "/")
	if id == url.PathEscape(f.options.Project) && f.moved != "" {
		f.redirect(c, "/api/v4/projects/"+url.PathEscape(f.moved)+"/"+path)
		return
	}
	if !strings.HasPrefix(c.path, "projects/") || id != strconv.Itoa(gitlabID) && id != url.PathEscape(f.project()) {
		f.fail(c, http.StatusNotFound, "404 Project Not Found")
		return
	}
	f.gitlabPath(c, path)
}

// gitlabPath answers below the project's address.
func (f *Forge) gitlabPath(c call, path string) {
	number, rest := numbered(path, "merge_requests/")
	train, _ := numbered(path, "merge_trains/merge_requests/")
	pr := f.pr(max(number, train))
	switch {
	case path == "":
		f.gitlabProject(c)
	case strings.HasPrefix(path, "pipelines/"):
		f.gitlabJobs(c)
	case path == "repository/branches/"+f.escaped():
		f.answer(c.w, c.r, http.StatusOK, map[string]any{
			"name": f.options.Branch, "protected": f.options.Protected, "can_push": !f.options.Protected})
	case path == "merge_requests" && c.r.Method == http.MethodGet:
		f.gitlabList(c)
	case path == "merge_requests":
		f.gitlabOpen(c)
	case strings.HasPrefix(path, "labels/"):
		if name := strings.TrimPrefix(path, "labels/"); slices.Contains(f.labels, name) {
			f.answer(c.w, c.r, http.StatusOK, map[string]any{"name": name})
			return
		}
		f.fail(c, http.StatusNotFound, "404 Label Not Found")
	case pr == nil:
		f.fail(c, http.StatusNotFound, "404 Not found")
	case train > 0 && c.r.Method == http.MethodGet:
		if !pr.Queued {
			f.fail(c, http.StatusNotFound, "404 Not Found")
			return
		}
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"id": 1, "status": "fresh"})
	case train > 0:
		f.gitlabTrain(c, pr)
	case rest == "" && c.r.Method == http.MethodGet:
		f.answer(c.w, c.r, http.StatusOK, f.gitlabMR(pr))
	case rest == "" && c.r.Method == http.MethodPut:
		if c.text("state_event") == "close" {
			f.closed(pr)
		}
		pr.edit(c.text("title"), c.text("description"))
		f.answer(c.w, c.r, http.StatusOK, f.gitlabMR(pr))
	default:
		f.gitlabOne(c, pr, rest)
	}
}

// gitlabOne is what is done with one merge request.
func (f *Forge) gitlabOne(c call, pr *PR, rest string) {
	switch {
	case rest == "/diffs":
		diffs := []any{}
		for name, patch := range f.changes(pr) {
			diffs = append(diffs, map[string]any{"old_path": name, "new_path": name, "diff": patch})
		}
		f.answer(c.w, c.r, http.StatusOK, diffs)
	case rest == "/approval_state":
		f.gitlabApprovals(c, pr)
	case rest == "/notes":
		pr.Comments = append(pr.Comments, c.text("body"))
		f.answer(c.w, c.r, http.StatusCreated, map[string]any{"id": 1})
	case rest == "/cancel_merge_when_pipeline_succeeds" && !pr.Armed && !pr.Queued:
		// A status in an answer that is none of HTTP.
		f.answer(c.w, c.r, http.StatusCreated, map[string]any{
			"status": "error", "http_status": http.StatusNotAcceptable, "message": "Can't cancel the automatic merge"})
	case rest == "/cancel_merge_when_pipeline_succeeds":
		pr.Armed, pr.Queued = false, false
		f.answer(c.w, c.r, http.StatusCreated, map[string]any{"status": "success"})
	case rest == "/merge":
		f.gitlabMerge(c, pr)
	default:
		f.fail(c, http.StatusNotFound, "404 Not found")
	}
}

// gitlabProject is the project, as the token sees it.
func (f *Forge) gitlabProject(c call) {
	role := 40
	if f.rules.ReadOnly {
		role = 20
	}
	f.answer(c.w, c.r, http.StatusOK, map[string]any{
		"id": gitlabID, "path_with_namespace": f.project(), "merge_trains_enabled": f.rules.Queue,
		"archived":    f.rules.Archived,
		"permissions": map[string]any{"project_access": map[string]any{"access_level": role}, "group_access": nil}})
}

// gitlabToken tells a token of itself.
func (f *Forge) gitlabToken(c call) {
	if f.rules.Scopes == nil {
		f.fail(c, http.StatusNotFound, "404 Not Found")
		return
	}
	token := map[string]any{"id": 1, "active": true, "scopes": f.rules.Scopes}
	if f.rules.Ends != "" {
		token["expires_at"] = f.rules.Ends
	}
	f.answer(c.w, c.r, http.StatusOK, token)
}

// gitlabApprovals are the rules that want approvals.
func (f *Forge) gitlabApprovals(c call, pr *PR) {
	rule := func(kind, name string, users []string) map[string]any {
		eligible := []any{}
		for _, u := range users {
			eligible = append(eligible, map[string]any{"username": u})
		}
		return map[string]any{"name": name, "rule_type": kind, "approvals_required": 1, "eligible_approvers": eligible,
			"approved": pr.Approvals >= f.rules.Approvals}
	}
	rules := []any{map[string]any{"name": "Security", "rule_type": "regular", "approvals_required": 1, "approved": true}}
	if len(f.rules.CodeOwners) > 0 {
		rules = append(rules, rule("code_owner", "apps/**", f.rules.CodeOwners))
	}
	if len(f.rules.Reviewers) > 0 {
		rules = append(rules, rule("regular", "Platform", f.rules.Reviewers))
	}
	f.answer(c.w, c.r, http.StatusOK, map[string]any{"rules": rules})
}

// gitlabJobs are those of the one pipeline.
func (f *Forge) gitlabJobs(c call) {
	jobs := []any{map[string]any{"name": "lint", "status": "success"},
		map[string]any{"name": "coverage", "status": "failed", "allow_failure": true}}
	for _, name := range f.rules.Checks {
		jobs = append(jobs, map[string]any{"name": name, "status": "running"})
	}
	f.answer(c.w, c.r, http.StatusOK, jobs)
}

func (f *Forge) gitlabList(c call) {
	out := []any{}
	q := c.r.URL.Query()
	for _, pr := range slices.Backward(f.prs) {
		from := q.Get("source_branch")
		if (from == "" || from == pr.Branch) && (q.Get("target_branch") == "" || q.Get("target_branch") == pr.Base) &&
			(q.Get("state") != "opened" || pr.State == "open") {
			out = append(out, f.gitlabMR(pr))
		}
	}
	f.answer(c.w, c.r, http.StatusOK, out)
}

func (f *Forge) gitlabOpen(c call) {
	branch, base := c.text("source_branch"), c.text("target_branch")
	if there := f.opened(branch, base); there != nil {
		f.answer(c.w, c.r, http.StatusConflict, map[string]any{"message": []any{
			"Another open merge request already exists for this source branch: !" + strconv.FormatInt(there.Number, 10)}})
		return
	}
	if f.unlearned(branch) {
		f.answer(c.w, c.r, http.StatusBadRequest, map[string]any{"message": map[string]any{
			"base": []any{"Source branch \"" + branch + "\" does not exist"}}})
		return
	}
	pr := &PR{Title: c.text("title"), Body: c.text("description"), Branch: branch, Base: base}
	if labels := c.text("labels"); labels != "" {
		pr.Labels = strings.Split(labels, ",")
	}
	f.answer(c.w, c.r, http.StatusCreated, f.gitlabMR(f.open(pr)))
}

func (f *Forge) gitlabMR(pr *PR) map[string]any {
	state := pr.State
	if state == "open" {
		state = "opened"
	}
	out := map[string]any{
		"id": 1000 + pr.Number, "iid": pr.Number, "title": pr.Title, "description": pr.Body, "state": state,
		"source_branch": pr.Branch, "target_branch": pr.Base, "sha": f.lastTip(pr),
		"source_project_id": gitlabID, "target_project_id": gitlabID, "merge_when_pipeline_succeeds": pr.Armed,
		"web_url": f.URL + "/" + f.options.Project + "/-/merge_requests/" + strconv.FormatInt(pr.Number, 10),
		"labels":  pr.Labels,
	}
	if len(f.rules.Checks) > 0 {
		out["head_pipeline"] = map[string]any{"id": 7, "status": "running"}
	}
	if pr.Fork {
		out["source_project_id"] = gitlabID + 1
	}
	switch pr.State {
	case "merged":
		out["merge_user"] = map[string]any{"username": pr.By}
	case "closed":
		out["closed_by"] = map[string]any{"username": pr.By}
	default:
		out["detailed_merge_status"] = map[string]string{
			"": "mergeable", "computing": "checking", "draft": "draft_status", "conflict": "conflict",
			"behind": "need_rebase",
			"gone":   "commits_status", "approvals": "not_approved", "checks": "ci_still_running"}[f.blocked(pr)]
		if pr.Says != nil {
			out["detailed_merge_status"] = *pr.Says
		}
	}
	return out
}

// lastTip is what GitLab remembers of a branch that is gone.
func (f *Forge) lastTip(pr *PR) string {
	if tip := f.tip(pr.Branch); tip != "" {
		pr.LastHead = tip
	}
	return pr.LastHead
}

func (f *Forge) gitlabMerge(c call, pr *PR) {
	auto := c.is("auto_merge") || c.is("merge_when_pipeline_succeeds")
	switch blocked := f.blocked(pr); {
	case f.rules.Refuses > 0:
		f.fail(c, f.rules.Refuses, f.rules.RefusesWords)
	case c.text("sha") != f.tip(pr.Branch):
		f.fail(c, http.StatusConflict, "SHA does not match HEAD of source branch: "+f.tip(pr.Branch))
	case auto && len(f.rules.Checks) > 0:
		pr.Armed, pr.ArmedHead = true, c.text("sha")
		f.answer(c.w, c.r, http.StatusOK, f.gitlabMR(pr))
	case auto && blocked != "":
		// Without a pipeline there is nothing that could succeed.
		f.fail(c, http.StatusMethodNotAllowed, "405 Method Not Allowed")
	case blocked == "conflict":
		f.fail(c, http.StatusUnprocessableEntity, "Branch cannot be merged")
	case blocked != "":
		f.fail(c, http.StatusMethodNotAllowed, "405 Method Not Allowed")
	default:
		if err := f.merge(pr, Bot, "", c.text("merge_commit_message")); err != nil {
			f.fail(c, http.StatusInternalServerError, err.Error())
			return
		}
		f.answer(c.w, c.r, http.StatusOK, f.gitlabMR(pr))
	}
}

func (f *Forge) gitlabTrain(c call, pr *PR) {
	if c.text("sha") != f.tip(pr.Branch) {
		f.fail(c, http.StatusConflict, "SHA does not match HEAD of source branch: "+f.tip(pr.Branch))
		return
	}
	pr.Queued, pr.ArmedHead = true, c.text("sha")
	f.answer(c.w, c.r, http.StatusCreated, []any{map[string]any{"id": 1, "status": "idle"}})
}
