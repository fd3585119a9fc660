//go:build providers

package deliver_test

import (
	"slices"
	"strings"
	"testing"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/giteaserver"
)

// What the stub says of Gitea, a real one is asked for here.

func TestRealGiteaOpensFindsAndMerges(t *testing.T) {
	r := startReal(t)
	if pr, err := r.api.Find(t.Context(), branch, "main"); pr != nil || err != nil {
		t.Fatalf("found %+v, %v", pr, err)
	}
	pr := r.open()
	if pr.State != v1alpha1.PullRequestOpen || pr.Branch != branch || pr.Base != "main" || pr.Head != r.must("rev-parse", "HEAD") ||
		!strings.HasPrefix(pr.URL, r.server.URL) || !strings.Contains(pr.Body, "`reg/backend:v1`") {
		t.Errorf("opened as %+v", pr)
	}
	if again := r.open(); again.Number != pr.Number {
		t.Errorf("opened %d again as %d", pr.Number, again.Number)
	}
	there, _, err := r.jane().GetPullRequest(r.repo.Owner, r.repo.Name, pr.Number)
	if err != nil || len(there.Labels) != 1 || there.Labels[0].Name != "backstop" {
		t.Errorf("Gitea has %+v, %v", there, err)
	}
	pr = r.until(pr.Number, isClean)
	_, err = r.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: strings.Repeat("0", 39) + "1"})
	r.kindIs(err, reconcile.FaultHeadMoved, "")
	r.merge(pr)
	if got := r.until(pr.Number, func(pr *reconcile.PullRequest) bool { return pr.State == v1alpha1.PullRequestMerged }); got.By != realBot {
		t.Errorf("it is %+v", got)
	}
	r.must("fetch", "--quiet", "origin")
	if got := r.must("show", "origin/main:"+file); got != "image: reg/backend:v1" {
		t.Errorf("main says %s", got)
	}
	if got := strings.Fields(r.must("rev-list", "--parents", "-1", "origin/main")); len(got) != 2 {
		t.Errorf("the squash is %q", got)
	}
}

func TestRealGiteaMergesInTheWayThatIsAllowed(t *testing.T) {
	for _, style := range []gitea.MergeStyle{gitea.MergeStyleMerge, gitea.MergeStyleRebase, gitea.MergeStyleSquash} {
		t.Run(string(style), func(t *testing.T) {
			r := startReal(t)
			admin, err := r.server.Admin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			is := func(s gitea.MergeStyle) *bool { yes := s == style; return &yes }
			_, _, err = admin.EditRepo(r.repo.Owner, r.repo.Name, gitea.EditRepoOption{DefaultMergeStyle: &style,
				AllowMerge: is(gitea.MergeStyleMerge), AllowRebase: is(gitea.MergeStyleRebase), AllowSquash: is(gitea.MergeStyleSquash)})
			if err != nil {
				t.Fatal(err)
			}
			pr := r.until(r.open().Number, isClean)
			r.merge(pr)
		})
	}
}

func TestRealGiteaWaits(t *testing.T) {
	r := startReal(t)
	r.protect(func(o *gitea.CreateBranchProtectionOption) { o.RequiredApprovals = 1 })
	pr := r.until(r.open().Number, isClean)
	_, err := r.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
	r.kindIs(err, reconcile.FaultNotYet, "approvals")
	if done, err := r.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true}); err != nil || done != reconcile.MergingArmed {
		t.Fatalf("%s, %v", done, err)
	}
	// Armed twice, it says so; disarmed twice, there is nothing.
	if done, err := r.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true}); err != nil || done != reconcile.MergingArmed {
		t.Errorf("%s, %v", done, err)
	}
	for range 2 {
		if err := r.api.Disarm(t.Context(), pr); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = r.jane().CreatePullReview(r.repo.Owner, r.repo.Name, pr.Number, gitea.CreatePullReviewOptions{State: gitea.ReviewStateApproved, Body: "fine"})
	if err != nil {
		t.Fatal(err)
	}
	if now := r.until(pr.Number, isClean); now.State != v1alpha1.PullRequestOpen {
		t.Fatalf("it was merged though it was disarmed: %+v", now)
	}
	r.merge(pr)
}

func TestRealGiteaMergesByItselfWhenTheChecksPass(t *testing.T) {
	r := startReal(t)
	r.protect(func(o *gitea.CreateBranchProtectionOption) {
		o.EnableStatusCheck, o.StatusCheckContexts = true, []string{"ci"}
	})
	number := r.open().Number
	says := func(state gitea.StatusState) {
		t.Helper()
		_, _, err := r.jane().CreateStatus(r.repo.Owner, r.repo.Name, r.must("rev-parse", "HEAD"), gitea.CreateStatusOption{State: state, Context: "ci"})
		if err != nil {
			t.Fatal(err)
		}
	}
	says(gitea.StatusPending)
	pr := r.until(number, func(pr *reconcile.PullRequest) bool {
		return slices.Contains(pr.Waits, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForCheck, Name: "ci"})
	})
	_, err := r.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
	r.kindIs(err, reconcile.FaultNotYet, "ci")
	if done, err := r.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true}); err != nil || done != reconcile.MergingArmed {
		t.Fatalf("%s, %v", done, err)
	}
	says(gitea.StatusSuccess)
	r.until(number, func(pr *reconcile.PullRequest) bool { return pr.State == v1alpha1.PullRequestMerged })
}

func TestRealGiteaClosed(t *testing.T) {
	r := startReal(t)
	pr := r.until(r.open().Number, isClean)
	if err := r.api.Close(t.Context(), pr, "main says v3 by now, @jane closes #7"); err != nil {
		t.Fatal(err)
	}
	if got := r.until(pr.Number, func(pr *reconcile.PullRequest) bool { return pr.State == v1alpha1.PullRequestClosed }); got.Number != pr.Number {
		t.Errorf("it is %+v", got)
	}
	said, _, err := r.jane().ListIssueComments(r.repo.Owner, r.repo.Name, pr.Number, gitea.ListIssueCommentOptions{})
	if err != nil || len(said) != 1 || !strings.Contains(said[0].Body, "main says v3 by now") || strings.Contains(said[0].Body, "@jane") {
		t.Errorf("the comments are %+v, %v", said, err)
	}
	found, err := r.api.Find(t.Context(), branch, "main")
	if err != nil || found == nil || found.State != v1alpha1.PullRequestClosed {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestRealGiteaConflict(t *testing.T) {
	r := startReal(t)
	number := r.open().Number
	r.until(number, isClean)
	r.must("checkout", "--quiet", "--detach", "HEAD~1")
	r.commit("main", "image: reg/backend:v3\n")
	pr := r.until(number, func(pr *reconcile.PullRequest) bool { return pr.Merge == reconcile.MergeWaits })
	for _, arm := range []bool{false, true} {
		if done, err := r.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: arm}); err == nil && done == reconcile.MergingDone {
			t.Errorf("merged, armed %v", arm)
		}
	}
}

func TestRealGiteaWhoMayNot(t *testing.T) {
	r := startReal(t)
	_, err := r.as("nobody", giteaserver.Password).Open(t.Context(), proposal())
	r.kindIs(err, reconcile.FaultNotFound, "do not get to see it")
	_, err = r.as(realBot, "another-password").Open(t.Context(), proposal())
	r.kindIs(err, reconcile.FaultUnauthorized, "does not accept the credentials")

	bot, err := r.server.As(t.Context(), realBot)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := bot.CreateAccessToken(gitea.CreateAccessTokenOption{Name: "reads", Scopes: []gitea.AccessTokenScope{"read:repository"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.as(realBot, token.Token).Open(t.Context(), proposal())
	r.kindIs(err, reconcile.FaultForbidden, "write:repository")

	// A merge whitelist.
	r.protect(func(o *gitea.CreateBranchProtectionOption) {
		o.EnableMergeWhitelist, o.MergeWhitelistUsernames = true, []string{realJane}
	})
	pr := r.until(r.open().Number, isClean)
	_, err = r.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
	r.kindIs(err, reconcile.FaultForbidden, "not allowed to merge")
}

func TestRealGiteaRulesAndWordsOfAPush(t *testing.T) {
	for name, tt := range map[string]struct {
		rule  func(*gitea.CreateBranchProtectionOption)
		words string
		wants bool
	}{
		"nobody pushes": {func(*gitea.CreateBranchProtectionOption) {}, "Not allowed to push to protected branch main", true},
		"others push": {func(o *gitea.CreateBranchProtectionOption) {
			o.EnablePush, o.EnablePushWhitelist, o.PushWhitelistUsernames = true, true, []string{realJane}
		}, "Not allowed to push to protected branch main", true},
		"this one pushes": {func(o *gitea.CreateBranchProtectionOption) {
			o.EnablePush, o.EnablePushWhitelist, o.PushWhitelistUsernames = true, true, []string{realBot}
		}, "", false},
		"the files are not protected":           {func(o *gitea.CreateBranchProtectionOption) { o.UnprotectedFilePatterns = "apps/**" }, "", true},
		"the files are":                         {func(o *gitea.CreateBranchProtectionOption) { o.EnablePush, o.ProtectedFilePatterns = true, "apps/**" }, "is protected from changing file", false},
		"a signature is wanted of every commit": {func(o *gitea.CreateBranchProtectionOption) { o.EnablePush, o.RequireSignedCommits = true, true }, "pre-receive hook declined", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := startReal(t)
			r.protect(tt.rule)
			wants, err := r.api.WantsPullRequest(t.Context(), "main")
			if err != nil || wants == nil || *wants != tt.wants {
				t.Errorf("it says %v, %v", wants, err)
			}
			r.must("checkout", "--quiet", "--detach", "origin/main")
			out, err := r.push("main", "image: reg/backend:v3\n")
			if (err == nil) != (tt.words == "") || !strings.Contains(out, tt.words) {
				t.Errorf("it says %s, %v", out, err)
			}
		})
	}
}
