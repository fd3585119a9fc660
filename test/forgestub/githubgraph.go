package forgestub

import (
	"net/http"
	"strings"
)

// githubGraph answers as GitHub's GraphQL does.
func (f *Forge) githubGraph(c call) { //nolint:gocyclo // a case a query
	vars, _ := c.body["variables"].(map[string]any)
	id, _ := vars["id"].(string)
	head, _ := vars["head"].(string)
	method, _ := vars["method"].(string)
	method = strings.ToLower(method)
	number, _ := numbered(strings.Replace(id, "PR_", "pulls/", 1), "pulls/")
	pr := f.pr(number)
	fail := func(words string) {
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"data": nil, "errors": []any{map[string]any{"message": words}}})
	}
	query := c.text("query")
	switch {
	case strings.Contains(query, "updateRefs"):
		text := func(key string) string { s, _ := vars[key].(string); return s }
		if vars["repo"] != "R_1" {
			fail("Could not resolve to a node")
		} else if _, err := f.Git("update-ref", text("name"), text("after"), text("before")); err != nil {
			fail("Reference cannot be updated: it is not at the expected object")
		} else {
			f.answer(c.w, c.r, http.StatusOK, map[string]any{"data": map[string]any{}})
		}
	case pr == nil:
		fail("Could not resolve to a node with the global id of '" + id + "'")
	case strings.Contains(query, "reviewDecision"):
		f.githubWaits(c, pr)
	case strings.Contains(query, "autoMergeRequest"):
		node := map[string]any{"autoMergeRequest": nil, "isInMergeQueue": pr.Queued}
		if pr.Armed {
			node["autoMergeRequest"] = map[string]any{"enabledAt": "2026-11-28T10:00:00Z"}
		}
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"data": map[string]any{"node": node}})
	case strings.Contains(query, "disablePullRequestAutoMerge") && pr.Armed:
		pr.Armed = false
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"data": map[string]any{}})
	case strings.Contains(query, "dequeuePullRequest") && pr.Queued:
		pr.Queued = false
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"data": map[string]any{}})
	case strings.Contains(query, "disable"), strings.Contains(query, "dequeue"):
		fail("Pull request is neither armed nor queued")
	case head != f.tip(pr.Branch):
		fail("Head sha didn't match expected head oid")
	case strings.Contains(query, "enqueuePullRequest") && !f.rules.Queue:
		fail("The merge queue is not enabled for this branch")
	case strings.Contains(query, "enqueuePullRequest"):
		pr.Queued = true
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"data": map[string]any{}})
	case f.rules.NoAutoMerge:
		fail("Pull request Auto merge is not allowed for this repository")
	case f.blocked(pr) == "":
		fail("Pull request Pull request is in clean status")
	case !f.allows(method), f.rules.Linear && method == "merge":
		fail("Merge method " + strings.ToLower(methodWords[method]) + " are not allowed on this repository")
	default:
		pr.Armed, pr.ArmedHead = true, head
		f.answer(c.w, c.r, http.StatusOK, map[string]any{"data": map[string]any{}})
	}
}

// githubWaits is what REST does not tell of a pull request.
func (f *Forge) githubWaits(c call, pr *PR) {
	node := map[string]any{"isInMergeQueue": pr.Queued}
	requests := []any{}
	if pr.Approvals < f.rules.Approvals {
		node["reviewDecision"] = "REVIEW_REQUIRED"
		for _, name := range f.rules.CodeOwners {
			requests = append(requests, map[string]any{"asCodeOwner": true, "requestedReviewer": map[string]any{"slug": name}})
		}
		for _, name := range f.rules.Reviewers {
			requests = append(requests, map[string]any{"asCodeOwner": false, "requestedReviewer": map[string]any{"login": name}})
		}
	}
	node["reviewRequests"] = map[string]any{"nodes": requests}
	checks := []any{
		map[string]any{"name": "lint", "status": "COMPLETED", "conclusion": "SUCCESS", "isRequired": true},
		map[string]any{"context": "coverage", "state": "FAILURE", "isRequired": false},
	}
	for _, name := range f.rules.Checks {
		checks = append(checks, map[string]any{"name": name, "status": "IN_PROGRESS", "isRequired": true})
	}
	node["commits"] = map[string]any{"nodes": []any{map[string]any{"commit": map[string]any{
		"statusCheckRollup": map[string]any{"contexts": map[string]any{"nodes": checks}}}}}}
	f.answer(c.w, c.r, http.StatusOK, map[string]any{"data": map[string]any{"node": node}})
}
