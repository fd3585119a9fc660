package deliver_test

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

// broken is a repository at a provider whose newest commit has some apps on a bad image.
func broken(t *testing.T, o forgestub.Options, apps int) *forgestub.Forge {
	t.Helper()
	f, err := forgestub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	for _, tag := range []string{tagGood, tagBad} {
		if _, err := f.Commit("main", "Update to "+tag, fleetAt(apps, tag)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// refusedPush is what becomes of a push to a server that refuses it in some words.
func refusedPush(t *testing.T, kind forgestub.Kind, words string) error {
	t.Helper()
	f := broken(t, forgestub.Options{Kind: kind, Protected: true, Refusal: words}, 1)
	c := aCluster(t, f, "east")
	_, err := c.git.Land(t.Context(), c.src, []reconcile.Revert{c.revert("east", "app-00")})
	return err
}

// Only what wants a pull request becomes one: the rest asks a person, with the server's words.
func TestWhatAServerSaysToAPush(t *testing.T) {
	for name, tt := range map[string]struct {
		at    forgestub.Kind
		words string
		kind  reconcile.FaultKind
		says  string
	}{
		"GitHub: ruleset": {forgestub.GitHub, "error: GH013: Repository rule violations found for refs/heads/main.\n" +
			"- Changes must be made through a pull request.", reconcile.FaultWantsPullRequest, "through a pull request"},
		"GitHub: merge queue": {forgestub.GitHub, "error: GH013: Repository rule violations found for refs/heads/main.\n" +
			"- Changes must be made through the merge queue", reconcile.FaultWantsPullRequest, "through the merge queue"},
		"GitHub: code scanning": {forgestub.GitHub, "error: GH013: Repository rule violations found for refs/heads/main.\n" +
			"- Code scanning is waiting for results from CodeQL for the commit cfbb5c1.", reconcile.FaultWantsPullRequest, "Code scanning is waiting"},
		"GitHub: secret scanning": {forgestub.GitHub, "error: GH013: Repository rule violations found for refs/heads/main.\n" +
			"- GITHUB PUSH PROTECTION\n- Push cannot contain secrets", reconcile.FaultDeclined, "Push cannot contain secrets"},
		"GitHub: workflow file": {forgestub.GitHub, "refusing to allow a GitHub App to create or update workflow " +
			"`.github/workflows/ci.yaml` without `workflows` permission", reconcile.FaultDeclined, "without `workflows` permission"},
		"GitHub: unsigned": {forgestub.GitHub, "error: GH006: Protected branch update failed for refs/heads/main.\n" +
			"error: Commits must have verified signatures.", reconcile.FaultWantsSignature, "verified signatures"},
		"GitLab: author": {forgestub.GitLab, "GitLab: Author's email 'flux@example.com' does not follow the pattern '@acme.example$'",
			reconcile.FaultDeclined, "does not follow the pattern"},
		"GitHub: who may push": {forgestub.GitHub, "error: GH006: Protected branch update failed for refs/heads/main.\n" +
			"error: You're not authorized to push to this branch.", reconcile.FaultDeclined, "not authorized to push"},
		"GitLab: commit message": {forgestub.GitLab, "GitLab: Commit message does not follow the pattern '^JIRA-'",
			reconcile.FaultDeclined, "does not follow the pattern"},
		"Gitea: protected files": {forgestub.Gitea, "Gitea: branch main is protected from changing file apps/production/app-00.yaml",
			reconcile.FaultDeclined, "protected from changing file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := refusedPush(t, tt.at, tt.words)
			if got := reconcile.KindOf(err); err == nil || got != tt.kind || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v is of the kind %q, want %q and %q", err, got, tt.kind, tt.says)
			}
		})
	}
}
