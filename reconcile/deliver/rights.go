package deliver

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/backstop-dev/backstop/reconcile"
)

// What credentials may do, as far as a provider shows it to them. Nothing is written to find out.

// write is the right to push and to merge, as people call it.
const write = "write access to the repository"

// Rights reads the scopes of a classic token and the role of its user. What a fine-grained token or an App may do,
// GitHub does not show to it.
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
	switch {
	case !classic:
		out.Unshown = []string{"contents: write", "pull requests: write"}
	case slices.Contains(scopes, "repo"), slices.Contains(scopes, "public_repo") && !repo.GetPrivate():
	default:
		out.Lacks = append(out.Lacks, "the scope repo")
	}
	// Of an App it says nothing: an App has permissions, and no role.
	if p := repo.Permissions; !app && p != nil && p.Push != nil && !*p.Push {
		out.Lacks = append(out.Lacks, write)
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
		out.Lacks = append(out.Lacks, write)
	}
	return out, nil
}
