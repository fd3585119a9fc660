package deliver

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// What GitHub's GraphQL alone can do: to have the server merge by itself, and to put into a merge queue.
const (
	armMutation = `mutation($id: ID!, $method: PullRequestMergeMethod!, $head: GitObjectID, $title: String,
  $body: String) {
  enablePullRequestAutoMerge(input: {pullRequestId: $id, mergeMethod: $method, expectedHeadOid: $head,
    commitHeadline: $title, commitBody: $body}) { clientMutationId }
}`
	enqueueMutation = `mutation($id: ID!, $head: GitObjectID) {
  enqueuePullRequest(input: {pullRequestId: $id, expectedHeadOid: $head}) { clientMutationId }
}`
	armedQuery = `query($id: ID!) {
  node(id: $id) { ... on PullRequest { autoMergeRequest { enabledAt } isInMergeQueue } }
}`
	disarmMutation = `mutation($id: ID!) {
  disablePullRequestAutoMerge(input: {pullRequestId: $id}) { clientMutationId }
}`
	dequeueMutation = `mutation($id: ID!) {
  dequeuePullRequest(input: {id: $id}) { clientMutationId }
}`
)

// arm has GitHub merge by itself. It says false where there is nothing to wait for, so that it is merged at once.
func (g *gitHub) arm(ctx context.Context, pr *reconcile.PullRequest, order reconcile.MergeOrder, methods []string,
) (bool, error) {
	var said, lower string
	var err error
	for _, method := range methods {
		said, err = g.graph(ctx, armMutation, map[string]any{
			"id": pr.ID, "method": strings.ToUpper(method), "head": order.Head, "title": order.Title, "body": order.Message,
		}, nil)
		if lower = strings.ToLower(said); err != nil || !otherWay(lower) {
			break
		}
	}
	switch {
	case err != nil:
		return false, g.failed(ctx, "arm auto-merge", err)
	case said == "":
		return true, nil
	case saysAny(lower, "in clean status", "in has_hooks status"):
		return false, nil
	case strings.Contains(lower, "in unstable status"):
		return false, reconcile.RefuseAs(reconcile.FaultNotYet, "pull request %d has a check that is not required and did "+
			"not pass: merge it by hand", pr.Number)
	case saysAny(lower, "rules not configured", "auto merge is not allowed", "auto-merge is not allowed"):
		// A repository with a queue need not allow auto-merge.
		if g.enqueue(ctx, pr, order) == nil {
			return true, nil
		}
		return false, reconcile.RefuseAs(reconcile.FaultNotYet, "pull request %d waits for %s, and the repository does not "+
			"let GitHub merge by itself: allow auto-merge in its settings, or merge it by hand", pr.Number,
			v1alpha1.WaitsFor(pr.Waits))
	case strings.Contains(lower, "head"):
		return false, reconcile.RefuseAs(reconcile.FaultHeadMoved, "arm auto-merge of pull request %d: GitHub says: %s",
			pr.Number, g.server.Clean(said, 300))
	}
	return false, reconcile.RefuseAs(reconcile.FaultNotYet, "arm auto-merge of pull request %d: GitHub says: %s",
		pr.Number, g.server.Clean(said, 300))
}

// enqueue puts a pull request into the merge queue of its base. The queue has its own method.
func (g *gitHub) enqueue(ctx context.Context, pr *reconcile.PullRequest, order reconcile.MergeOrder) error {
	said, err := g.graph(ctx, enqueueMutation, map[string]any{"id": pr.ID, "head": order.Head}, nil)
	switch {
	case err != nil:
		return g.failed(ctx, "put the pull request into the merge queue", err)
	case said == "", saysAny(strings.ToLower(said), "already in the merge queue", "already in the queue",
		"already queued"):
		return nil
	}
	return reconcile.RefuseAs(reconcile.FaultNotYet, "put pull request %d into the merge queue: GitHub says: %s",
		pr.Number, g.server.Clean(said, 300))
}

// Disarm ends auto-merge, and takes a pull request out of the queue.
func (g *gitHub) Disarm(ctx context.Context, pr *reconcile.PullRequest) error {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	defer g.asides.forget(pr.Number)
	id := map[string]any{"id": pr.ID}
	var now struct {
		Node struct {
			AutoMergeRequest *struct {
				EnabledAt string `json:"enabledAt"`
			} `json:"autoMergeRequest"`
			IsInMergeQueue bool `json:"isInMergeQueue"`
		} `json:"node"`
	}
	said, err := g.graph(ctx, armedQuery, id, &now)
	if err == nil && strings.Contains(said, "isInMergeQueue") {
		// A server without queues.
		said, err = g.graph(ctx, strings.Replace(armedQuery, " isInMergeQueue", "", 1), id, &now)
	}
	var orders []string
	if now.Node.AutoMergeRequest != nil {
		orders = append(orders, disarmMutation)
	}
	if now.Node.IsInMergeQueue {
		orders = append(orders, dequeueMutation)
	}
	for _, order := range orders {
		if err == nil && said == "" {
			said, err = g.graph(ctx, order, id, nil)
		}
	}
	switch {
	case err != nil:
		return g.failed(ctx, "disarm the pull request", err)
	case said != "":
		return fmt.Errorf("disarm pull request %d of %s: GitHub says: %s", pr.Number, g.where.Project,
			g.server.Clean(said, 300))
	}
	return nil
}

// graph sends a query, fills data, where that is not nil, and gives what GitHub says against it; empty for success.
func (g *gitHub) graph(ctx context.Context, query string, variables map[string]any, data any) (string, error) {
	// A server has api/graphql beside api/v3, github.com has graphql below the base.
	to := strings.TrimSuffix(g.where.API, "/v3") + "/graphql"
	req, err := g.api.NewRequest(ctx, http.MethodPost, to, map[string]any{"query": query, "variables": variables})
	if err != nil {
		return "", err
	}
	answer := struct {
		Data   any `json:"data"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}{Data: data}
	res, err := g.api.Do(req, &answer)
	if err != nil {
		return "", err
	}
	var out []string
	for _, e := range answer.Errors {
		out = append(out, e.Message)
	}
	said := strings.Join(out, "; ")
	if said == "" && len(answer.Errors) > 0 {
		said = "an error without words"
	}
	// GraphQL says 200 to a limit too.
	if strings.Contains(strings.ToLower(said), "rate limit") {
		return "", &refused{status: http.StatusTooManyRequests, header: res.Header, body: said}
	}
	return said, nil
}
