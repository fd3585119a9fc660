//go:build providers

package deliver_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/test/giteaserver"
	"github.com/backstop-dev/backstop/test/gitserver"
)

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

// merge merges a pull request, as often as the server reports that it is to be tried again.
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
