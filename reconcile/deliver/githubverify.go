package deliver

import (
	"context"
	"strings"

	"github.com/google/go-github/v88/github"

	"github.com/backstop-dev/backstop/reconcile"
)

// A GitHub App needs no key for verified commits: GitHub signs what an App has it commit, where that names no author
// and no committer. The commits that were pushed to a branch of Backstop's are made again so, with the same trees and
// messages, and the branch goes to them if it is still as it was.

const (
	// maxSigned is how many commits of a branch are looked at.
	maxSigned = 50
	// ours is in the message of every commit of Backstop's. Nobody else's is signed in passing.
	ours = "Backstop-Kind:"

	// refsMutation moves a branch under the lease of its old value, which REST cannot.
	refsMutation = `mutation($repo: ID!, $name: GitRefname!, $before: GitObjectID!, $after: GitObjectID!) {
  updateRefs(input: {repositoryId: $repo, refUpdates: [
    {name: $name, beforeOid: $before, afterOid: $after, force: true}]}) { clientMutationId }
}`
)

// Verifies reports whether the login is a GitHub App's.
func (g *gitHub) Verifies(ctx context.Context) bool {
	user, token, err := g.server.Login(ctx)
	return err == nil && (user == "x-access-token" || strings.HasPrefix(token, "ghs_"))
}

// Verify has GitHub sign the commits of Backstop's at the end of a branch, and gives its head then.
func (g *gitHub) Verify(ctx context.Context, branch, head string) (string, error) {
	ctx, cancel := g.deadline(ctx)
	defer cancel()
	chain, parent, err := g.unsigned(ctx, head)
	if err != nil {
		return "", g.failed(ctx, "read the commits of "+branch, err)
	}
	if len(chain) == 0 {
		return head, nil
	}
	for i := len(chain) - 1; i >= 0; i-- {
		c, _, err := g.api.Git.CreateCommit(ctx, g.where.owner(), g.where.name(), github.Commit{
			Message: chain[i].Message, Tree: &github.Tree{SHA: chain[i].Tree.SHA}, Parents: []*github.Commit{{SHA: &parent}},
		}, nil)
		if err != nil {
			return "", g.failed(ctx, "have GitHub make a commit", err)
		}
		if !c.GetVerification().GetVerified() {
			return "", reconcile.RefuseAs(reconcile.FaultNever, "have GitHub sign the commits of %s: it does not sign those of "+
				"this login (%s): give image automation a key (spec.git.commit.signingKey)", branch,
				g.server.Clean(c.GetVerification().GetReason(), 60))
		}
		parent = c.GetSHA()
	}
	return parent, g.moveTo(ctx, branch, head, parent)
}

// unsigned are the commits from a head down to the lowest of Backstop's that is not verified, and the parent of that.
func (g *gitHub) unsigned(ctx context.Context, head string) (chain []*github.Commit, parent string, err error) {
	lowest := 0
	for at := head; len(chain) < maxSigned; {
		c, _, err := g.api.Git.GetCommit(ctx, g.where.owner(), g.where.name(), at)
		if err != nil {
			return nil, "", err
		}
		if len(c.Parents) != 1 || !strings.Contains(c.GetMessage(), ours) {
			break
		}
		chain = append(chain, c)
		at = c.Parents[0].GetSHA()
		if !c.GetVerification().GetVerified() {
			lowest, parent = len(chain), at
		}
	}
	return chain[:lowest], parent, nil
}

// moveTo moves a branch, if it is still where it was.
func (g *gitHub) moveTo(ctx context.Context, branch, before, after string) error {
	repo, _, err := g.api.Repositories.Get(ctx, g.where.owner(), g.where.name())
	if err != nil {
		return g.failed(ctx, "read the repository", err)
	}
	said, err := g.graph(ctx, refsMutation, map[string]any{"repo": repo.GetNodeID(), "name": "refs/heads/" + branch,
		"before": before, "after": after}, nil)
	switch {
	case err != nil:
		return g.failed(ctx, "move "+branch+" to what GitHub signed", err)
	case strings.Contains(said, "updateRefs"):
		return reconcile.RefuseAs(reconcile.FaultNever, "move %s to what GitHub signed: this server is too old for it: give "+
			"image automation a key (spec.git.commit.signingKey)", branch)
	case saysAny(strings.ToLower(said), "force-push", "rule violations", "protected ref"):
		return reconcile.RefuseAs(reconcile.FaultDeclined, "move %s to what GitHub signed: a rule takes no force push: "+
			"it says: %s", branch, g.server.Clean(said, 300))
	case said != "":
		return reconcile.RefuseAs(reconcile.FaultHeadMoved, "move %s to what GitHub signed: it says: %s", branch,
			g.server.Clean(said, 300))
	}
	return nil
}

// Verifies is for GitHub alone: what is committed through GitLab's API is signed where the instance says so.
func (g *gitLab) Verifies(context.Context) bool { return false }

// Verify leaves a branch as it is.
func (g *gitLab) Verify(_ context.Context, _, head string) (string, error) { return head, nil }

// Verifies is for GitHub alone: Gitea signs where the instance says so.
func (g *giteaRepo) Verifies(context.Context) bool { return false }

// Verify leaves a branch as it is.
func (g *giteaRepo) Verify(_ context.Context, _, head string) (string, error) { return head, nil }
