package deliver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/backstop-dev/backstop/reconcile"
)

// What credentials may do, as far as a provider shows it to them. Nothing is written to find out.

const (
	// access is the right to push and to merge, as people call it.
	access = "write access to the repository"
	write  = "write"
)

// helpful are permissions of a GitHub App that a pull request can do without, and what Backstop does not do then.
var helpful = []struct{ name, least, without string }{
	{"issues", write, "the label is not put on it"},
	{"checks", "read", "checks that it waits for are not named"},
	{"statuses", "read", "statuses that it waits for are not named"},
	{"administration", "read", "a classic rule of the branch is not shown before a push"},
	{"workflows", write, "no file below .github/workflows is reverted"},
}

// granted reports whether permissions hold one, read or write.
func granted(all map[string]string, name, least string) bool {
	return all[name] == write || all[name] == "admin" || least == "read" && all[name] == "read"
}

// permitted says of the permissions of a GitHub App's installation what is missing.
func permitted(all map[string]string, out *reconcile.Rights) {
	for _, name := range []string{"contents", "pull_requests"} {
		if !granted(all, name, write) {
			out.Lacks = append(out.Lacks, "the permission "+strings.ReplaceAll(name, "_", " ")+": write")
		}
	}
	for _, p := range helpful {
		if !granted(all, p.name, p.least) {
			out.Misses = append(out.Misses, fmt.Sprintf("%s: %s (%s)", p.name, p.least, p.without))
		}
	}
}

// Rights reads the scopes of a classic token and the role of its user, and the permissions of a GitHub App that logs in
// with its key. What a fine-grained token may do, GitHub does not show to it.
func (g *gitHub) Rights(ctx context.Context) (reconcile.Rights, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	user, token, err := g.server.Login(ctx)
	if err != nil {
		return reconcile.Rights{}, g.failed(ctx, "read the rights", err)
	}
	repo, res, err := g.api.Repositories.Get(ctx, g.where.owner(), g.where.name())
	if err != nil {
		return reconcile.Rights{}, g.failed(ctx, "read the rights", err)
	}
	out := reconcile.Rights{Needs: g.rights(), Ends: endOf(res.Header.Get("GitHub-Authentication-Token-Expiration"))}
	switch {
	case repo.GetArchived():
		out.Shut = "the repository is archived: nobody can write to it"
	case repo.GetDisabled():
		out.Shut = "the repository is disabled: nobody can write to it"
	}
	app := user == "x-access-token" || strings.HasPrefix(token, "ghs_")
	scopes := strings.FieldsFunc(res.Header.Get("X-OAuth-Scopes"), func(r rune) bool { return r == ',' || r == ' ' })
	classic := len(scopes) > 0 || strings.HasPrefix(token, "ghp_") || strings.HasPrefix(token, "gho_")
	var all map[string]string
	if g.server.Permissions != nil {
		if all, err = g.server.Permissions(ctx); err != nil {
			return reconcile.Rights{}, g.failed(ctx, "read the rights", err)
		}
	}
	switch {
	case len(all) > 0:
		permitted(all, &out)
	case !classic:
		out.Unshown = []string{"contents: write", "pull requests: write"}
	case slices.Contains(scopes, "repo"), slices.Contains(scopes, "public_repo") && !repo.GetPrivate():
	default:
		out.Lacks = append(out.Lacks, "the scope repo")
	}
	// Of an App it says nothing: an App has permissions, and no role.
	if p := repo.Permissions; !app && p != nil && p.Push != nil && !*p.Push {
		out.Lacks = append(out.Lacks, access)
	}
	return out, nil
}

// endOf is when a token ends, as GitHub says it; zero where it says nothing.
func endOf(said string) time.Time {
	for _, form := range []string{"2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"} {
		if at, err := time.Parse(form, said); err == nil {
			return at
		}
	}
	return time.Time{}
}

// Rights reads the token's scopes, and the role of its user in the project.
func (g *gitLab) Rights(ctx context.Context) (reconcile.Rights, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	id, err := g.id(ctx)
	if err != nil {
		return reconcile.Rights{}, err
	}
	project, _, err := g.api.Projects.GetProject(id, nil, gitlab.WithContext(ctx))
	if err != nil {
		return reconcile.Rights{}, g.failed(ctx, "read the rights", err)
	}
	out := reconcile.Rights{Needs: g.rights()}
	switch {
	case project.Archived:
		out.Shut = "the project is archived: nobody can write to it"
	case project.MergeRequestsAccessLevel == gitlab.DisabledAccessControl:
		out.Shut = "the project has merge requests turned off"
	}
	token, _, err := g.api.PersonalAccessTokens.GetSinglePersonalAccessToken(gitlab.WithContext(ctx))
	switch status, _ := statusOf(err); {
	case err == nil && !slices.Contains(token.Scopes, "api"):
		out.Lacks = append(out.Lacks, "the scope api")
	case status == http.StatusForbidden, status == http.StatusUnauthorized, status == http.StatusNotFound:
		// It is no access token, or the server is older than the question.
		out.Unshown = append(out.Unshown, "the scope api")
	case err != nil:
		return reconcile.Rights{}, g.failed(ctx, "read the rights of the token", err)
	}
	if err == nil && token.ExpiresAt != nil {
		out.Ends = time.Time(*token.ExpiresAt)
	}
	var role gitlab.AccessLevelValue
	if p := project.Permissions; p != nil && p.ProjectAccess != nil {
		role = p.ProjectAccess.AccessLevel
	}
	if p := project.Permissions; p != nil && p.GroupAccess != nil {
		role = max(role, p.GroupAccess.AccessLevel)
	}
	switch {
	case role == 0:
		// A role by a group that the project is shared with is not shown.
		out.Unshown = append(out.Unshown, "the role Developer")
	case role < gitlab.DeveloperPermissions:
		out.Lacks = append(out.Lacks, "the role Developer")
	}
	return out, nil
}

// Rights reads what the token's user may do. Gitea shows no token its scopes.
func (g *giteaRepo) Rights(ctx context.Context) (reconcile.Rights, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	api, err := g.call(ctx)
	if err != nil {
		return reconcile.Rights{}, g.failed(ctx, "read the rights", err)
	}
	repo, _, err := api.GetRepo(g.where.owner(), g.where.name())
	if err != nil {
		return reconcile.Rights{}, g.failed(ctx, "read the rights", err)
	}
	out := reconcile.Rights{Needs: g.rights(), Unshown: []string{"the scope write:repository"}}
	switch {
	case repo.Archived:
		out.Shut = "the repository is archived: nobody can write to it"
	case repo.Mirror:
		out.Shut = "the repository is a mirror: what is written to it has to be written where it comes from"
	case !repo.HasPullRequests:
		out.Shut = "the repository has pull requests turned off"
	}
	if p := repo.Permissions; p != nil && !p.Push {
		out.Lacks = append(out.Lacks, access)
	}
	return out, nil
}
