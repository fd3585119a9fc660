//go:build providers

package deliver_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/test/giteaserver"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// What the stub says of Gitea, a real one is asked for here.

// real is a repository of a real Gitea, whose deployed branch and branch of a pull request are there.
type real struct {
	*testing.T
	server *giteaserver.Server
	repo   *giteaserver.Repository
	work   string
	api    reconcile.Forge
}

const (
	realBot  = "fleet-bot"
	realJane = "jane"
)

var theServer = sync.OnceValues(func() (*giteaserver.Server, error) {
	dir, err := os.MkdirTemp("", "gitea-")
	if err != nil {
		return nil, err
	}
	s, err := giteaserver.Start(context.Background(), giteaserver.Options{Bin: os.Getenv("GITEA"), Dir: dir})
	if err != nil {
		return nil, err
	}
	return s, s.Users(context.Background(), realBot, realJane, "nobody")
})

func TestMain(m *testing.M) {
	code := m.Run()
	if s, err := theServer(); err == nil {
		s.Stop(20 * time.Second)
	}
	os.Exit(code)
}

func startReal(t *testing.T) *real {
	t.Helper()
	s, err := theServer()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ToLower(strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()))
	r := &real{T: t, server: s, work: t.TempDir()}
	if r.repo, err = s.Create(t.Context(), name, realBot, realJane); err != nil {
		t.Fatal(err)
	}
	r.must("init", "--quiet", "--initial-branch=main")
	r.must("remote", "add", "origin", r.repo.URL(realBot))
	r.commit("main", "image: reg/backend:v2\n")
	r.commit(branch, "image: reg/backend:v1\n")
	r.api = r.as(realBot, giteaserver.Password)
	// The server learns of what was pushed to an empty repository a moment later.
	for try := 0; ; try++ {
		_, err := r.api.Find(t.Context(), branch, "main")
		if err == nil {
			_, err = r.api.WantsPullRequest(t.Context(), "main")
		}
		if err == nil {
			return r
		}
		if try == 600 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// git runs git in the work tree.
func (r *real) git(args ...string) (string, error) {
	cmd := exec.CommandContext(r.Context(), "git", args...)
	cmd.Dir = r.work
	cmd.Env = append(gitserver.Env(), "PATH="+os.Getenv("PATH"), "GIT_AUTHOR_NAME=Jane", "GIT_AUTHOR_EMAIL=jane@example.com",
		"GIT_COMMITTER_NAME=Jane", "GIT_COMMITTER_EMAIL=jane@example.com")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (r *real) must(args ...string) string {
	r.Helper()
	out, err := r.git(args...)
	if err != nil {
		r.Fatalf("git %q: %v: %s", args, err, out)
	}
	return out
}

// commit writes the file on top of HEAD and pushes it to a branch.
func (r *real) commit(to, content string) {
	r.Helper()
	if out, err := r.push(to, content); err != nil {
		r.Fatalf("push %s: %v: %s", to, err, out)
	}
}

func (r *real) push(to, content string) (string, error) {
	r.Helper()
	path := filepath.Join(r.work, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.Fatal(err)
	}
	r.must("add", "--all")
	r.must("commit", "--quiet", "-m", "Change "+to)
	return r.git("push", "--quiet", "origin", "HEAD:refs/heads/"+to)
}

// as is the way to pull requests with a login.
func (r *real) as(user, password string) reconcile.Forge {
	r.Helper()
	s := server(r.server.URL+r.repo.Path(), password)
	s.Login = func(context.Context) (string, string, error) { return user, password, nil }
	where, err := deliver.Locate(r.Context(), s, deliver.Options{})
	if err != nil || where.Provider != deliver.Gitea {
		r.Fatalf("it is %+v, %v", where, err)
	}
	api, err := deliver.Open(s, where)
	if err != nil {
		r.Fatal(err)
	}
	return api
}

// jane is the API as a person has it.
func (r *real) jane() *gitea.Client {
	r.Helper()
	api, err := r.server.As(r.Context(), realJane)
	if err != nil {
		r.Fatal(err)
	}
	return api
}

func (r *real) protect(change func(*gitea.CreateBranchProtectionOption)) {
	r.Helper()
	if err := r.repo.Protect(r.Context(), "main", change); err != nil {
		r.Fatal(err)
	}
}

func (r *real) open() *reconcile.PullRequest {
	r.Helper()
	pr, err := r.api.Open(r.Context(), proposal())
	if err != nil {
		r.Fatal(err)
	}
	return pr
}

// until reads a pull request until it is as it should be: the server finds out beside what it answers.
func (r *real) until(number int64, is func(*reconcile.PullRequest) bool) *reconcile.PullRequest {
	r.Helper()
	var pr *reconcile.PullRequest
	for range 600 {
		var err error
		if pr, err = r.api.Read(r.Context(), number); err != nil {
			r.Fatal(err)
		}
		if is(pr) {
			return pr
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.Fatalf("it stays %+v", pr)
	return nil
}

// merge merges a pull request, as often as the server says that it is to be tried again.
func (r *real) merge(pr *reconcile.PullRequest) {
	r.Helper()
	for {
		done, err := r.api.Merge(r.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
		if reconcile.KindOf(err) == reconcile.FaultNotYet && strings.Contains(err.Error(), "try again later") {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if err != nil || done != reconcile.MergingDone {
			r.Fatalf("%s, %v", done, err)
		}
		return
	}
}

func isClean(pr *reconcile.PullRequest) bool { return pr.Merge == reconcile.MergeClean }

func (r *real) kindIs(err error, kind reconcile.FaultKind, words string) {
	r.Helper()
	if err == nil || reconcile.KindOf(err) != kind || !strings.Contains(err.Error(), words) ||
		strings.Contains(err.Error(), giteaserver.Password) {
		r.Errorf("%v is of the kind %q, want %q with %q", err, reconcile.KindOf(err), kind, words)
	}
}

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
