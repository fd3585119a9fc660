package forgestub

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func sum(raw []byte) []byte { s := sha256.Sum256(raw); return s[:8] }

// github answers as GitHub's REST and GraphQL do.
func (f *Forge) github(c call) {
	if c.path == "graphql" {
		f.githubGraph(c)
		return
	}
	if old, is := strings.CutPrefix(c.path, "repos/"+f.options.Project); is && f.moved != "" {
		f.redirect(c, "/api/v3/repositories/1"+old)
		return
	}
	path, ok := strings.CutPrefix(c.path, "repositories/1")
	if !ok {
		path, ok = strings.CutPrefix(c.path, "repos/"+f.project())
	}
	if !ok {
		f.fail(c, http.StatusNotFound, "Not Found")
		return
	}
	f.githubProject(c, strings.TrimPrefix(path, "/"))
}

// githubProject answers below the repository's address.
func (f *Forge) githubProject(c call, path string) {
	number, rest := numbered(path, "pulls/")
	pr := f.pr(number)
	switch {
	case path == "":
		f.githubRepo(c)
	case path == "pulls" && c.r.Method == http.MethodGet:
		f.githubList(c)
	case path == "pulls":
		f.githubOpen(c)
	case path == "rules/branches/"+f.escaped() || path == "branches/"+f.escaped():
		f.githubRules(c, path)
	case strings.HasPrefix(path, "labels/"):
		if !slices.Contains(f.labels, strings.TrimPrefix(path, "labels/")) {
			f.fail(c, http.StatusNotFound, "Not Found")
			return
		}
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"name": strings.TrimPrefix(path, "labels/")})
	case strings.HasPrefix(path, "issues/"):
		f.githubIssue(c, strings.TrimPrefix(path, "issues/"))
	case strings.HasPrefix(path, "git/commits"):
		f.githubCommit(c, strings.TrimPrefix(strings.TrimPrefix(path, "git/commits"), "/"))
	case pr == nil:
		f.fail(c, http.StatusNotFound, "Not Found")
	default:
		f.githubOne(c, pr, rest)
	}
}

// githubOne is what is done with one pull request.
func (f *Forge) githubOne(c call, pr *PR, rest string) {
	switch {
	case rest == "" && c.r.Method == http.MethodGet:
		f.answer(c.w, c.r, http.StatusOK, f.githubPR(pr))
	case rest == "" && c.r.Method == http.MethodPatch:
		if c.text("state") == "closed" {
			f.closed(pr)
		}
		pr.edit(c.text("title"), c.text("body"))
		f.answer(c.w, c.r, http.StatusOK, f.githubPR(pr))
	case rest == "/files":
		f.githubFiles(c, pr)
	case rest == "/merge":
		f.githubMerge(c, pr)
	default:
		f.fail(c, http.StatusNotFound, "Not Found")
	}
}

// githubRepo is the repository, as the token sees it.
func (f *Forge) githubRepo(c call) {
	owner, _, _ := strings.Cut(f.project(), "/")
	if len(f.rules.Scopes) > 0 {
		c.w.Header().Set("X-OAuth-Scopes", strings.Join(f.rules.Scopes, ", "))
	}
	if f.rules.Ends != "" {
		c.w.Header().Set("GitHub-Authentication-Token-Expiration", f.rules.Ends+" 10:00:00 UTC")
	}
	f.answer(c.w, c.r, http.StatusOK, map[string]any{
		"owner": map[string]any{"login": owner}, "node_id": "R_1", "private": true, "archived": f.rules.Archived,
		"permissions": map[string]any{"pull": true, "push": !f.rules.ReadOnly},
		"full_name":   f.project(), "allow_merge_commit": f.allowed("merge"), "allow_squash_merge": f.allowed("squash"),
		"allow_rebase_merge": f.allowed("rebase"), "allow_auto_merge": !f.rules.NoAutoMerge,
	})
}

// githubRules are the rules of the branch, which are a ruleset's.
func (f *Forge) githubRules(c call, path string) {
	rules := []any{}
	if f.options.Protected || len(f.rules.Ways) > 0 {
		wants := map[string]any{"required_approving_review_count": f.rules.Approvals, "dismiss_stale_reviews_on_push": false,
			"require_code_owner_review": false, "require_last_push_approval": false, "required_review_thread_resolution": false}
		if len(f.rules.Ways) > 0 {
			wants["allowed_merge_methods"] = f.rules.Ways
		}
		rules = append(rules, map[string]any{"type": "pull_request", "parameters": wants})
	}
	if path == "branches/"+f.escaped() {
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"name": f.options.Branch, "protected": f.options.Protected})
		return
	}
	f.answer(c.w, c.r, http.StatusOK, rules)
}

// numbered reads "pulls/7/merge" and "pulls/7.diff".
func numbered(path, prefix string) (int64, string) {
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return 0, ""
	}
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, ""
	}
	return n, rest[len(digits):]
}

func (f *Forge) fail(c call, status int, words string) {
	f.answer(c.w, c.r, status, map[string]any{"message": words})
}

// allows reports whether a way to merge is let, by the repository and by the branch.
func (f *Forge) allows(method string) bool {
	return f.allowed(method) && (len(f.rules.Ways) == 0 || slices.Contains(f.rules.Ways, method))
}

// allowed reports whether the repository's settings let it.
func (f *Forge) allowed(method string) bool {
	return len(f.rules.Methods) == 0 || slices.Contains(f.rules.Methods, method)
}

func (f *Forge) githubList(c call) {
	out := []any{}
	q := c.r.URL.Query()
	// A head without its owner is ignored.
	owner, branch, owned := strings.Cut(q.Get("head"), ":")
	if owned && !strings.HasPrefix(f.project(), owner+"/") {
		branch = ""
	}
	for _, pr := range slices.Backward(f.prs) {
		if owned && pr.Branch != branch || q.Get("base") != "" && pr.Base != q.Get("base") ||
			q.Get("state") != "all" && (pr.State == "open") != (q.Get("state") != "closed") {
			continue
		}
		one := f.githubPR(pr)
		// A list tells less.
		for _, left := range []string{"mergeable_state", "merged", "merged_by"} {
			delete(one, left)
		}
		out = append(out, one)
	}
	f.answer(c.w, c.r, http.StatusOK, out)
}

func (f *Forge) githubOpen(c call) {
	branch, base := c.text("head"), c.text("base")
	invalid := func(words string) {
		f.answer(c.w, c.r, http.StatusUnprocessableEntity, map[string]any{
			"message": "Validation Failed",
			"errors":  []any{map[string]any{"resource": "PullRequest", "code": "custom", "message": words}},
		})
	}
	switch {
	case f.opened(branch, base) != nil:
		invalid("A pull request already exists for acme:" + branch + ".")
	case f.unlearned(branch):
		f.answer(c.w, c.r, http.StatusUnprocessableEntity, map[string]any{"message": "Validation Failed",
			"errors": []any{map[string]any{"resource": "PullRequest", "field": "head", "code": "invalid"}}})
	case f.tip(branch) == f.tip(base):
		invalid("No commits between " + base + " and " + branch)
	default:
		pr := f.open(&PR{Title: c.text("title"), Body: c.text("body"), Branch: branch, Base: base})
		f.answer(c.w, c.r, http.StatusCreated, f.githubPR(pr))
	}
}

func (f *Forge) githubIssue(c call, path string) {
	digits, rest, _ := strings.Cut(path, "/")
	n, _ := strconv.ParseInt(digits, 10, 64)
	pr := f.pr(n)
	switch {
	case pr == nil:
		f.fail(c, http.StatusNotFound, "Not Found")
	case rest == "comments":
		pr.Comments = append(pr.Comments, c.text("body"))
		f.answer(c.w, c.r, http.StatusCreated, map[string]any{"id": 1})
	case rest == "labels":
		f.answer(c.w, c.r, http.StatusOK, []any{})
		pr.Labels = append(pr.Labels, "backstop")
	default:
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"number": n, "closed_by": map[string]any{"login": pr.By}})
	}
}

func (f *Forge) githubPR(pr *PR) map[string]any {
	repo := map[string]any{"id": 1, "full_name": f.project()}
	from := repo
	if pr.Fork {
		from = map[string]any{"id": 2, "full_name": "stranger/fleet"}
	}
	out := map[string]any{
		"number": pr.Number, "node_id": fmt.Sprintf("PR_%d", pr.Number), "title": pr.Title, "body": pr.Body,
		"html_url": f.URL + "/" + f.options.Project + "/pull/" + strconv.FormatInt(pr.Number, 10), "state": "open",
		"head":            map[string]any{"ref": pr.Branch, "sha": f.tip(pr.Branch), "repo": from},
		"base":            map[string]any{"ref": pr.Base, "sha": f.tip(pr.Base), "repo": repo},
		"mergeable_state": "clean",
	}
	if pr.Armed {
		out["auto_merge"] = map[string]any{"merge_method": "merge"}
	}
	if pr.State != "open" {
		out["state"] = "closed"
	}
	if pr.State == "merged" {
		out["merged"], out["merged_at"] = true, "2026-11-28T10:00:00Z"
		out["merged_by"], out["merge_commit_sha"] = map[string]any{"login": pr.By}, pr.Commit
	}
	if pr.State == "open" {
		states := map[string]string{"": "clean", "computing": "unknown", "draft": "draft", "conflict": "dirty",
			"behind": "behind"}
		state, ok := states[f.blocked(pr)]
		if !ok {
			state = "blocked"
		}
		out["mergeable_state"] = state
	}
	return out
}

// methodWords are what GitHub calls the ways to merge.
var methodWords = map[string]string{"merge": "Merge commits", "squash": "Squash merges", "rebase": "Rebase merges"}

func (f *Forge) githubMerge(c call, pr *PR) {
	method := c.text("merge_method")
	switch blocked := f.blocked(pr); {
	case f.rules.Refuses > 0:
		f.fail(c, f.rules.Refuses, f.rules.RefusesWords)
	case c.text("sha") != f.tip(pr.Branch):
		f.fail(c, http.StatusConflict, "Head branch was modified. Review and try the merge again.")
	case f.rules.Queue:
		f.fail(c, http.StatusMethodNotAllowed, "Changes must be made through the merge queue")
	case blocked == "approvals":
		f.fail(c, http.StatusMethodNotAllowed, "At least 1 approving review is required by reviewers with write access.")
	case blocked == "checks":
		f.fail(c, http.StatusMethodNotAllowed, `Required status check "ci" is expected.`)
	case blocked != "":
		f.fail(c, http.StatusMethodNotAllowed, "Pull Request is not mergeable")
	case f.rules.Linear && method == "merge":
		f.fail(c, http.StatusMethodNotAllowed, "This branch must not contain merge commits.")
	case !f.allows(method):
		f.fail(c, http.StatusMethodNotAllowed, methodWords[method]+" are not allowed on this repository.")
	default:
		if err := f.merge(pr, Bot, method, message(c.text("commit_title"), c.text("commit_message"))); err != nil {
			f.fail(c, http.StatusInternalServerError, err.Error())
			return
		}
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"merged": true, "sha": pr.Commit})
	}
}

// redirect answers as providers do for a repository that was renamed.
func (f *Forge) redirect(c call, to string) {
	status := http.StatusTemporaryRedirect
	if c.r.Method == http.MethodGet {
		status = http.StatusMovedPermanently
	}
	if c.r.URL.RawQuery != "" {
		to += "?" + c.r.URL.RawQuery
	}
	c.w.Header().Set("Location", f.URL+f.options.Prefix+to)
	c.w.WriteHeader(status)
}

// githubFiles are what a pull request changes.
func (f *Forge) githubFiles(c call, pr *PR) {
	out := []any{}
	for name, patch := range f.changes(pr) {
		lines := "\n" + patch
		out = append(out, map[string]any{"filename": name, "status": "modified", "patch": patch,
			"additions": strings.Count(lines, "\n+"), "deletions": strings.Count(lines, "\n-")})
	}
	f.answer(c.w, c.r, http.StatusOK, out)
}

// githubCommit reads a commit, or makes one, which is verified where it names nobody.
func (f *Forge) githubCommit(c call, sha string) {
	status := http.StatusOK
	if c.r.Method == http.MethodPost {
		args := []string{"commit-tree", c.text("tree"), "-m", c.text("message")}
		parents, _ := c.body["parents"].([]any)
		for _, p := range parents {
			args = append(args, "-p", fmt.Sprint(p))
		}
		made, err := f.Git(args...)
		if err != nil {
			f.fail(c, http.StatusUnprocessableEntity, err.Error())
			return
		}
		sha, status = made, http.StatusCreated
		if f.signed == nil {
			f.signed = map[string]bool{}
		}
		f.signed[sha] = c.body["author"] == nil && c.body["committer"] == nil
	}
	said, err := f.Git("log", "-1", "--format=%H%n%T%n%P%n%B", sha)
	lines := strings.SplitN(said, "\n", 4)
	if err != nil || len(lines) < 4 {
		f.fail(c, http.StatusNotFound, "Not Found")
		return
	}
	parents := []any{}
	for p := range strings.FieldsSeq(lines[2]) {
		parents = append(parents, map[string]any{"sha": p})
	}
	f.answer(c.w, c.r, status, map[string]any{"sha": lines[0], "tree": map[string]any{"sha": lines[1]}, "parents": parents,
		"message": lines[3], "verification": map[string]any{"verified": f.signed[lines[0]], "reason": "valid"}})
}

func message(title, body string) string { return strings.TrimSpace(title + "\n\n" + body) }
