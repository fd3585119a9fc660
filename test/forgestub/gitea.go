package forgestub

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// gitea answers as the API of Gitea and Forgejo does.
func (f *Forge) gitea(c call) {
	if old, is := strings.CutPrefix(c.path, "repos/"+f.options.Project); is && f.moved != "" {
		f.redirect(c, "/api/v1/repos/"+f.moved+old)
		return
	}
	path, ok := strings.CutPrefix(c.path, "repos/"+f.project())
	if !ok {
		f.fail(c, http.StatusNotFound, "The target couldn't be found.")
		return
	}
	path = strings.TrimPrefix(path, "/")
	number, rest := numbered(path, "pulls/")
	pr := f.pr(number)
	if issue, below := numbered(path, "issues/"); below == "/comments" && f.pr(issue) != nil {
		f.pr(issue).Comments = append(f.pr(issue).Comments, c.text("body"))
		f.answer(c.w, c.r, http.StatusCreated, map[string]any{"id": 1})
		return
	}
	switch {
	case path == "":
		f.answer(c.w, c.r, http.StatusOK, map[string]any{
			"permissions": map[string]any{"pull": true, "push": !f.rules.ReadOnly}, "archived": f.rules.Archived,
			"has_pull_requests": true,
			"full_name":         f.project(), "allow_merge_commits": f.allows("merge"), "allow_rebase": f.allows("rebase"),
			"allow_squash_merge": f.allows("squash"), "default_merge_style": f.rules.Method})
	case path == "labels":
		labels := []any{}
		for i, l := range f.labels {
			labels = append(labels, map[string]any{"id": i + 1, "name": l})
		}
		f.answer(c.w, c.r, http.StatusOK, pageOf(c, labels))
	case strings.HasPrefix(path, "commits/"):
		statuses := []any{}
		for i := range f.rules.Passed {
			statuses = append(statuses, map[string]any{"context": "lint-" + strconv.Itoa(i), "status": "success"})
		}
		for _, check := range f.rules.Checks {
			statuses = append(statuses, map[string]any{"context": check, "status": "pending"})
		}
		c.w.Header().Set("X-Total-Count", strconv.Itoa(len(statuses)))
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"state": "pending", "statuses": pageOf(c, statuses)})
	case path == "branches/"+f.options.Branch:
		f.answer(c.w, c.r, http.StatusOK, map[string]any{
			"name": f.options.Branch, "protected": f.options.Protected, "user_can_push": !f.options.Protected,
			"required_approvals": f.rules.Approvals})
	case path == "pulls" && c.r.Method == http.MethodGet:
		f.giteaList(c)
	case path == "pulls":
		f.giteaOpen(c)
	case pr == nil:
		f.fail(c, http.StatusNotFound, "The target couldn't be found.")
	default:
		f.giteaOne(c, pr, rest)
	}
}

// giteaOne is what is done with one pull request.
func (f *Forge) giteaOne(c call, pr *PR, rest string) {
	switch {
	case rest == ".diff":
		_, _ = c.w.Write([]byte(f.diff(pr)))
	case rest == "/reviews":
		reviews := []any{}
		for range pr.Approvals {
			reviews = append(reviews, map[string]any{"state": "APPROVED", "official": true})
		}
		f.answer(c.w, c.r, http.StatusOK, reviews)
	case rest == "" && c.r.Method == http.MethodGet:
		f.answer(c.w, c.r, http.StatusOK, f.giteaPR(pr))
	case rest == "" && c.r.Method == http.MethodPatch:
		if c.text("state") == "closed" {
			f.closed(pr)
		}
		pr.edit(c.text("title"), c.text("body"))
		f.answer(c.w, c.r, http.StatusCreated, f.giteaPR(pr))
	case rest == "/merge" && c.r.Method == http.MethodDelete:
		if !pr.Armed {
			f.fail(c, http.StatusNotFound, "The target couldn't be found.")
			return
		}
		pr.Armed = false
		c.w.WriteHeader(http.StatusNoContent)
	case rest == "/merge":
		f.giteaMerge(c, pr)
	default:
		f.fail(c, http.StatusNotFound, "The target couldn't be found.")
	}
}

// giteaList has no filter for a head, and gives pages of two.
func (f *Forge) giteaList(c call) {
	q := c.r.URL.Query()
	out := []any{}
	for _, pr := range slices.Backward(f.prs) {
		if (pr.State == "open") == (q.Get("state") == "open") {
			out = append(out, f.giteaPR(pr))
		}
	}
	f.answer(c.w, c.r, http.StatusOK, pageOf(c, out))
}

// pageOf is the page that is asked for, of two, whatever size is asked for.
func pageOf(c call, all []any) []any {
	const size = 2
	page, _ := strconv.Atoi(c.r.URL.Query().Get("page"))
	from := min((max(page, 1)-1)*size, len(all))
	return all[from:min(from+size, len(all))]
}

func (f *Forge) giteaOpen(c call) {
	branch, base := c.text("head"), c.text("base")
	switch there := f.opened(branch, base); {
	case there != nil:
		f.fail(c, http.StatusConflict, "pull request already exists for these targets [id: 1, issue_id: 1, head_repo_id: 1, "+
			"base_repo_id: 1, head_branch: "+branch+", base_branch: "+base+"]")
	case f.unlearned(branch):
		f.fail(c, http.StatusNotFound, "The target couldn't be found.")
	default:
		pr := &PR{Title: c.text("title"), Body: c.text("body"), Branch: branch, Base: base}
		ids, _ := c.body["labels"].([]any)
		for _, id := range ids {
			if n, _ := id.(float64); n >= 1 && int(n) <= len(f.labels) {
				pr.Labels = append(pr.Labels, f.labels[int(n)-1])
			}
		}
		f.answer(c.w, c.r, http.StatusCreated, f.giteaPR(f.open(pr)))
	}
}

func (f *Forge) giteaPR(pr *PR) map[string]any {
	state := pr.State
	if state == "merged" {
		state = "closed"
	}
	out := map[string]any{
		"id": 100 + pr.Number, "number": pr.Number, "title": pr.Title, "body": pr.Body, "state": state,
		"html_url": f.URL + f.options.Prefix + "/" + f.options.Project + "/pulls/" + strconv.FormatInt(pr.Number, 10),
		"head":     map[string]any{"ref": pr.Branch, "sha": f.tip(pr.Branch), "repo_id": 1},
		"base":     map[string]any{"ref": pr.Base, "sha": f.tip(pr.Base), "repo_id": 1},
		"draft":    pr.Draft, "merged": pr.State == "merged",
	}
	if pr.Fork {
		out["head"].(map[string]any)["repo_id"] = 2
	}
	// What a rule of the branch wants is no part of it.
	blocked := f.blocked(pr)
	out["mergeable"] = pr.State == "open" && slices.Contains([]string{"", "approvals", "checks", "behind"}, blocked)
	if pr.State == "merged" {
		out["merged_by"] = map[string]any{"login": pr.By}
		out["merge_commit_sha"] = pr.Commit
	}
	return out
}

func (f *Forge) giteaMerge(c call, pr *PR) {
	blocked := f.blocked(pr)
	switch {
	case f.rules.Refuses > 0:
		f.fail(c, f.rules.Refuses, f.rules.RefusesWords)
	case c.text("head_commit_id") != "" && c.text("head_commit_id") != f.tip(pr.Branch):
		f.fail(c, http.StatusConflict, "head out of date")
	case c.is("merge_when_checks_succeed") && (blocked == "approvals" || blocked == "checks"):
		pr.Armed, pr.ArmedHead = true, c.text("head_commit_id")
		f.answer(c.w, c.r, http.StatusCreated, nil)
	case blocked == "approvals":
		f.fail(c, http.StatusMethodNotAllowed, "Does not have enough approvals")
	case blocked == "checks":
		f.fail(c, http.StatusMethodNotAllowed, "Not all required status checks successful")
	case blocked == "behind":
		f.fail(c, http.StatusMethodNotAllowed, "The head branch is behind the base branch")
	case blocked != "":
		f.fail(c, http.StatusMethodNotAllowed, "Please try again later")
	case !f.allows(c.text("Do")):
		f.fail(c, http.StatusMethodNotAllowed, c.text("Do")+" is not allowed an allowed merge style for this repository")
	default:
		said := message(c.text("MergeTitleField"), c.text("MergeMessageField"))
		if err := f.merge(pr, Bot, c.text("Do"), said); err != nil {
			f.fail(c, http.StatusInternalServerError, err.Error())
			return
		}
		f.answer(c.w, c.r, http.StatusOK, nil)
	}
}
