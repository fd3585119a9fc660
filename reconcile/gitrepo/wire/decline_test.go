package wire

import (
	"errors"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestWhyAPushWasNotTaken(t *testing.T) {
	const hook, failed = "pre-receive hook declined", "failed to update ref"
	const old, young = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2"
	for name, tt := range map[string]struct {
		status, words string
		want          reconcile.FaultKind
	}{
		"git: the branch moved":               {"non-fast-forward", "", reconcile.FaultLostRace},
		"git: somebody holds the lock":        {failed, "error: cannot lock ref 'refs/heads/main': is at " + old + " but expected " + young, reconcile.FaultLostRace},
		"JGit: the branch moved":              {"non-fast forward", "", reconcile.FaultLostRace},
		"a server's own status, git's words":  {"error", "cannot lock ref 'refs/heads/main': Unable to create '/srv/x.git/refs/heads/main.lock': File exists.", reconcile.FaultLostRace},
		"a hook that says where somebody is":  {hook, "Commit rejected: author is at example.com, which may not push here", reconcile.FaultDeclined},
		"a hook that says when":               {hook, "policy: this branch is at freeze until Monday", reconcile.FaultDeclined},
		"a hook that says what exists":        {hook, "a change freeze file exists: see FREEZE.md", reconcile.FaultDeclined},
		"a hook that speaks of locks":         {hook, "cannot lock ref 'refs/heads/main'", reconcile.FaultDeclined},
		"a hook that failed to update ref":    {hook, "failed to update ref in our database", reconcile.FaultDeclined},
		"GitHub wants a pull request":         {"protected branch hook declined", "error: GH006: Protected branch update failed for refs/heads/main.\nerror: Changes must be made through a pull request.", reconcile.FaultWantsPullRequest},
		"GitHub wants checks":                 {"protected branch hook declined", `GH006: Protected branch update failed. Required status check "ci" is expected.`, reconcile.FaultWantsPullRequest},
		"GitHub wants two reviews":            {"protected branch hook declined", "error: GH006: Protected branch update failed for refs/heads/main.\nerror: At least 2 approving reviews are required by reviewers with write access.", reconcile.FaultWantsPullRequest},
		"GitHub's ruleset":                    {"push declined due to repository rule violations", "GH013: Repository rule violations found for refs/heads/main.\n- Changes must be made through a pull request.", reconcile.FaultWantsPullRequest},
		"GitHub wants signatures too":         {"protected branch hook declined", "GH006 Changes must be made through a pull request. Commits must have verified signatures.", reconcile.FaultWantsSignature},
		"GitHub wants signatures alone":       {"push declined due to repository rule violations", "GH013: Repository rule violations found for refs/heads/main.\n- Commits must have verified signatures.", reconcile.FaultWantsSignature},
		"GitHub wants them, and found more":   {"push declined due to repository rule violations", "GH013: Commits must have verified signatures.\n- Push cannot contain secrets", reconcile.FaultDeclined},
		"GitLab wants signatures":             {hook, "GitLab: Commit must be signed with a GPG key", reconcile.FaultWantsSignature},
		"Gitea wants signatures":              {hook, "Gitea: branch main is protected from unverified commit " + old, reconcile.FaultWantsSignature},
		"GitLab and a branch's name":          {hook, "GitLab: Branch name does not follow the pattern '^(feature|fix)/'", reconcile.FaultDeclined},
		"GitLab and who commits":              {hook, "GitLab: You cannot push commits for 'flux@example.com'. You can only push commits if the committer email is one of your own verified emails.", reconcile.FaultDeclined},
		"GitLab and a forbidden word":         {hook, "GitLab: Commit message contains the forbidden pattern '(?i)revert'", reconcile.FaultDeclined},
		"GitHub and who makes branches":       {"push declined due to repository rule violations", "GH013: Repository rule violations found for refs/heads/backstop/revert-0123.\n- Cannot create ref due to creations being restricted.", reconcile.FaultDeclined},
		"GitHub found a secret":               {"push declined due to repository rule violations", "GH013: Push cannot contain secrets", reconcile.FaultDeclined},
		"GitHub and a workflow":               {"refusing to allow a GitHub App to create or update workflow `.github/workflows/x.yml` without `workflows` permission", "", reconcile.FaultDeclined},
		"GitLab wants a merge request":        {hook, "GitLab: You are not allowed to push code to protected branches on this project.", reconcile.FaultWantsPullRequest},
		"GitLab's token only reads":           {hook, "GitLab: You are not allowed to push code to this project.", reconcile.FaultDeclined},
		"GitLab rests":                        {hook, "GitLab: The repository is temporarily read-only. Please try again later.", reconcile.FaultReadOnly},
		"Gitea wants a pull request":          {hook, "Gitea: Not allowed to push to protected branch main", reconcile.FaultWantsPullRequest},
		"Gitea guards a file":                 {hook, "Gitea: branch main is protected from changing file apps/a.yaml", reconcile.FaultDeclined},
		"Bitbucket Data Center":               {hook, "Branch refs/heads/main can only be modified through pull requests.", reconcile.FaultWantsPullRequest},
		"Bitbucket Cloud":                     {hook, "Permission denied to update branch main.", reconcile.FaultWantsPullRequest},
		"Azure DevOps, in German":             {"TF402455: Pushes an diesen Branch sind nicht zulässig", "", reconcile.FaultWantsPullRequest},
		"Azure DevOps and permissions":        {"TF401027: You need the Git 'GenericContribute' permission", "", reconcile.FaultDeclined},
		"a disk is full":                      {"unable to write file", "error: file write error: No space left on device", reconcile.FaultQuota},
		"an update hook without a word":       {"hook declined", "", reconcile.FaultDeclined},
		"a branch that is checked out":        {"branch is currently checked out", "", reconcile.FaultDeclined},
		"an error that says nothing":          {"internal server error", "", ""},
		"a hidden ref":                        {"deny updating a hidden ref", "", reconcile.FaultDeclined},
		"words that lie beside a lost race":   {failed, "protected: is at freeze", reconcile.FaultLostRace},
		"an unknown status and chatty words":  {"error", "the train is at platform 4", ""},
		"an unknown status, a policy's words": {"error", "our policy forbids this", reconcile.FaultDeclined},
	} {
		t.Run(name, func(t *testing.T) {
			if got := kindOfDecline(tt.status, tt.words); got != tt.want {
				t.Errorf("%q with %q is %q, want %q", tt.status, tt.words, got, tt.want)
			}
			r := &Remote{Branch: plumbing.NewBranchReferenceName("main"), URL: "https://git.example/x",
				Words: &Redactor{}, Meter: &meter{}, fault: func() error { return nil }}
			report := &packp.ReportStatus{UnpackStatus: "ok", CommandStatuses: []*packp.CommandStatus{{Status: tt.status}}}
			err := r.answer(t.Context(), report, nil, tt.words)
			if lost := errors.Is(err, ErrLost); lost != (tt.want == reconcile.FaultLostRace) {
				t.Errorf("lost: %v, of %v", lost, err)
			}
			if got := reconcile.KindOf(err); tt.want != reconcile.FaultLostRace && got != tt.want {
				t.Errorf("the answer is of the kind %q, want %q", got, tt.want)
			}
		})
	}
}
