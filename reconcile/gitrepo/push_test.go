package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

func TestPushRaceWithTwentyOthers(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	wish := w.wish(w.blame(query(repo + ":" + tag1)))
	// Others push as fast as the server takes it, until Backstop is through.
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	pushed := make([]int, 20)
	for i := range pushed {
		others.Go(func() {
			for ctx.Err() == nil && pushed[i] < 3 {
				tip := w.run(w.bare, "rev-parse", "main")
				c := w.run(w.bare, "commit-tree", "-p", tip, "-m", fmt.Sprintf("push %d of %d", pushed[i], i), tip+"^{tree}")
				if w.try("update-ref", "refs/heads/main", c, tip) == nil {
					pushed[i]++
				}
			}
		})
	}
	out := w.landNow(wish)
	stop()
	others.Wait()
	total := 0
	for _, n := range pushed {
		total += n
	}
	if got := w.run(w.bare, "rev-list", "--count", "--grep=^push ", "main"); got != fmt.Sprint(total) {
		t.Errorf("%s of %d pushes of others are in the history", got, total)
	}
	w.run(w.bare, "merge-base", "--is-ancestor", out[0].Change.Hold, "main")
	if got := w.run(w.bare, "rev-list", "--count", "--grep=^Backstop-Kind: Revert", "main"); got != "1" {
		t.Errorf("%s reverts, want 1", got)
	}
}

func TestServersRefusalReachesTheCaller(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, hook, script string
		config             []string
		want               []string
		retry              bool
	}{
		{"a pre-receive hook", "pre-receive", "echo 'Change freeze until Monday, ask @ops' >&2; printf '\\033[31mred\\n' >&2; exit 1", nil,
			[]string{"pre-receive hook declined", "Change freeze until Monday, ask @ops"}, false},
		{"an update hook", "update", "echo 'GH006: Protected branch update failed for refs/heads/main.' >&2; exit 1", nil,
			[]string{"hook declined", "GH006: Protected branch update failed"}, false},
		{"a hook that prints the credentials", "pre-receive", "echo 'bot:" + password + "@host said no' >&2; exit 1", nil,
			[]string{"[redacted]@host said no"}, false},
		{"a branch that is checked out", "", "", []string{"core.bare", "false"}, []string{"checked out"}, false},
		{"a server that cannot write", "", "", []string{"receive.maxInputSize", "1"}, []string{"unpack"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			wish := w.wish(w.blame(query(repo + ":" + tag1)))
			if test.hook != "" {
				if err := gitserver.Hook(w.bare, test.hook, test.script); err != nil {
					t.Fatal(err)
				}
			}
			if test.config != nil {
				w.run(w.bare, append([]string{"config"}, test.config...)...)
			}
			_, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{wish})
			why, refused := reconcile.AsRefusal(err)
			if err == nil || refused == test.retry {
				t.Fatalf("land gives %v, refused: %v", err, refused)
			}
			if why == "" {
				why = err.Error()
			}
			for _, want := range test.want {
				if !strings.Contains(why, want) {
					t.Errorf("%q does not say %q", why, want)
				}
			}
			if strings.ContainsAny(why, "\x1b\n") || strings.Contains(why, password) {
				t.Errorf("%q holds what it must not", why)
			}
		})
	}
}

func TestFaultsOfTheServer(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	q := query(repo + ":" + tag1)
	wish := w.wish(w.blame(q))
	for _, test := range []struct {
		name    string
		fault   gitserver.Fault
		want    string
		refused bool
		after   time.Duration
	}{
		{"it hangs", w.server.Hang(), "no answer within 300ms", false, 0},
		{"it closes the connection", gitserver.Drop(), "EOF", false, 0},
		{"it is overloaded", gitserver.Answer(503, "try later", "Retry-After", "7"), "HTTP 503: try later", false, 7 * time.Second},
		{"it is broken", gitserver.Answer(500, "<html>oops"), "HTTP 500", false, 0},
		{"it limits", gitserver.Answer(429, "slow down", "Retry-After", "30"), "HTTP 429: slow down", false, 30 * time.Second},
		{"it limits and says 403", gitserver.Answer(403, "API rate limit exceeded"), "rate limit", false, 0},
		{"it refuses", gitserver.Answer(403, "token lacks write"), "refuses this to the credentials in the Secret of GitRepository flux-system/fleet (it says: token lacks write)", true, 0},
		{"it lost the repository", gitserver.Answer(404, "Not Found"), "knows no such repository", true, 0},
		{"it wants to be paid", gitserver.Answer(402, ""), "answers 402", true, 0},
		{"it redirects in circles", func(rw http.ResponseWriter, r *http.Request) bool {
			http.Redirect(rw, r, "/elsewhere"+r.URL.Path+"?"+r.URL.RawQuery, http.StatusFound)
			return true
		}, "redirect", false, 0},
		{"it talks nonsense", func(rw http.ResponseWriter, _ *http.Request) bool {
			_, _ = rw.Write([]byte("<html>welcome</html>"))
			return true
		}, "fetch main of", false, 0},
	} {
		for _, where := range []string{"/info/refs", "/git-receive-pack"} {
			if where == "/git-receive-pack" && (strings.Contains(test.name, "redirects") || strings.Contains(test.name, "nonsense")) {
				continue
			}
			t.Run(test.name+" at "+where, func(t *testing.T) {
				w.server.SetFault(gitserver.On(where, test.fault))
				defer w.server.SetFault(nil)
				src := w.src
				if test.name == "it hangs" {
					src.Timeout = 300 * time.Millisecond
				}
				_, err := w.mirrors.Land(t.Context(), src, []reconcile.Revert{wish})
				_, refused := reconcile.AsRefusal(err)
				if err == nil || refused != test.refused || !strings.Contains(err.Error(), test.want) {
					t.Errorf("land gives %v (refused: %v), want %q", err, refused, test.want)
				}
				var after *reconcile.RetryAfter
				if errors.As(err, &after); test.after > 0 && (after == nil || after.After != test.after) {
					t.Errorf("%v does not say when to come back", err)
				}
			})
		}
	}
	// Nothing of that did any harm.
	w.land(wish)
}

func TestRefusedConnectionIsTriedAgain(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	_ = w.server.Close()
	_, err := w.mirrors.Blame(t.Context(), w.src, query(repo+":"+tag1))
	if _, refused := reconcile.AsRefusal(err); err == nil || refused || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("blame gives %v", err)
	}
	w.src.URL = "https://nowhere.invalid/fleet.git"
	_, err = w.mirrors.Blame(t.Context(), w.src, query(repo+":"+tag1))
	if _, refused := reconcile.AsRefusal(err); err == nil || refused || !strings.Contains(err.Error(), "nowhere.invalid") {
		t.Errorf("a name that does not resolve gives %v", err)
	}
}

func TestAnswerThatGotLostIsFoundOut(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	wish := w.wish(w.blame(query(repo + ":" + tag1)))
	var once sync.Once
	w.server.SetFault(gitserver.On("/git-receive-pack", func(rw http.ResponseWriter, r *http.Request) bool {
		lost := false
		once.Do(func() {
			// The push goes through, its answer does not.
			rec := &recorder{header: http.Header{}}
			w.server.SetFault(nil)
			w.server.ServeHTTP(rec, r)
			lost = true
		})
		return lost && gitserver.Drop()(rw, r)
	}))
	out := w.land(wish)
	if got := w.run(w.bare, "rev-parse", "main"); got != out[0].Change.Hold {
		t.Errorf("the tip is %s, the landing says %s", got, out[0].Change.Hold)
	}
}

type recorder struct{ header http.Header }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }
func (r *recorder) WriteHeader(int)             {}

func TestProcessKilledAfterItsPushFindsItOnTheBranch(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	wish := w.wish(s)
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	out := w.land(wish)
	// What is on disk is as it was before the push; a new process reads it.
	w.dir = copied
	w.mirrors = w.open()
	b, err := w.mirrors.Look(t.Context(), w.src, s, &wish.Target, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, trail := range b.Commits {
		kinds = append(kinds, string(trail.Kind))
	}
	if diff := cmp.Diff([]string{"Hold", "Revert"}, kinds); diff != "" {
		t.Errorf("trails (-want +got):\n%s", diff)
	}
	if r := b.Commits[1]; r.Commit != out[0].Change.Commit || !cmp.Equal(r.Reverts, []string{bad}) ||
		!cmp.Equal(r.Rollbacks, []string{wish.Rollback}) || !cmp.Equal(r.Images, []string{wish.Image}) || !cmp.Equal(r.Workloads, wish.Workloads) {
		t.Errorf("revert %+v", r)
	}
	if b.HoldsTarget != out[0].Change.Commit {
		t.Errorf("the target holds since %s, want the revert", b.HoldsTarget)
	}
	if b.Values[0] != repo+":"+tag0 || b.Held[0].Not != tag1 || b.Held[0].Policy != "develop:backend" {
		t.Errorf("values %v, held %+v", b.Values, b.Held)
	}
}

func TestRevertThatAForcePushLost(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	wish := w.wish(s)
	w.land(wish)
	w.git("push", "--quiet", "--force", "origin", bad+":refs/heads/main")
	b, err := w.mirrors.Look(t.Context(), w.src, s, &wish.Target, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Commits) != 0 || b.Values[0] != repo+":"+tag1 || b.HoldsTarget != "" || b.Tip != bad {
		t.Errorf("branch %+v, want the bad value without a trail", b)
	}
	w.sameTreeAsGitRevert(w.land(wish)[0].Change.Commit, bad)
}

func TestSecondClusterSeesTheFirstOnesTrailers(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	wish := w.wish(s)
	w.land(wish)
	// Work goes on, and somebody merges the branch into his own before he pushes: Backstop's commits are second parents.
	w.git("checkout", "--quiet", "-B", "main", s.Commit)
	w.write("README.md", "a\n")
	w.commitOnly("readme")
	w.git("fetch", "--quiet")
	w.git("merge", "--quiet", "--no-edit", "origin/main")
	w.git("push", "--quiet", "origin", "HEAD:main")

	other := *w
	other.dir = t.TempDir()
	other.mirrors = other.open()
	b, err := other.mirrors.Look(t.Context(), w.src, s, &wish.Target, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Commits) != 2 || b.Commits[1].Rollbacks[0] != wish.Rollback {
		t.Errorf("trails %+v", b.Commits)
	}
}

func TestFreshShallowMirrorSeesEarlierReverts(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	wish := w.wish(s)
	w.land(wish)
	w.pull()
	w.filler(3 * cloneDepth)
	fresh := *w
	fresh.dir = t.TempDir()
	fresh.mirrors = fresh.open()
	b, err := fresh.mirrors.Look(t.Context(), w.src, s, &wish.Target, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Commits) != 2 || b.HoldsTarget != b.Commits[1].Commit {
		t.Errorf("trails %+v, holds since %s", b.Commits, b.HoldsTarget)
	}
	// And what it plans on top goes through, although it knows little of the history.
	again := w.put("again", file, backend(tag2))
	out := fresh.land(fresh.wish(fresh.blame(query(repo + ":" + tag2))))
	w.sameTreeAsGitRevert(out[0].Change.Commit, again)
}

func TestNothingIsPushedWhereNothingMayBe(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	wish := w.wish(w.blame(query(repo + ":" + tag1)))
	requests := w.server.Requests()
	for _, test := range []struct {
		name   string
		change func(*reconcile.Source)
		want   string
	}{
		{"read only", func(s *reconcile.Source) { s.ReadOnly = "it is pinned to the tag v1" }, "it is pinned to the tag v1"},
		{"signatures are verified and there is no key", func(s *reconcile.Source) { s.Verified = true }, "spec.git.commit.signingKey"},
		{"a key that is none", func(s *reconcile.Source) { s.Signing = &reconcile.SigningKey{Type: "gpg", Key: []byte("hello-key")} }, "no armored OpenPGP key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := w.src
			test.change(&src)
			_, err := w.mirrors.Land(t.Context(), src, []reconcile.Revert{wish})
			if why, refused := reconcile.AsRefusal(err); !refused || !strings.Contains(why, test.want) || strings.Contains(why, "hello-key") {
				t.Errorf("land gives %v, want a refusal that says %q", err, test.want)
			}
			if _, err := w.mirrors.Lift(t.Context(), src, reconcile.Lift{Policy: "develop:backend"}); err == nil {
				t.Error("a lift was tried")
			}
		})
	}
	if n := w.server.Requests() - requests; n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestManyAtOnceShareOneMirror(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			s, err := w.mirrors.Blame(t.Context(), w.src, query(repo+":"+tag1))
			if err != nil || s.Commit != bad {
				t.Errorf("blame: %v %v", s.Commit, err)
			}
		})
	}
	all.Wait()
	if dirs, _ := filepath.Glob(filepath.Join(w.dir, "*")); len(dirs) != 1 {
		t.Errorf("%d mirrors, want 1", len(dirs))
	}
}

func TestWaitForTheMirrorEndsWithTheContext(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	defer w.hold(w.mirrors)()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.mirrors.Blame(ctx, w.src, query(repo+":"+tag1)); !errors.Is(err, context.Canceled) {
		t.Errorf("blame gives %v", err)
	}
}

// Once, cooldown and budget are counted from the branch: more commits than a few whose clock is wrong do not hide what
// is behind them.
func TestARevertIsSeenBehindCommitsThatSayThatTheyAreOld(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"an hour ago": -3 * time.Hour, "years ago": -20 * 366 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			s := w.blame(query(repo + ":" + tag1))
			w.land(w.wish(s))
			w.pull()
			right := w.now
			for n := range 15 {
				w.now = right.Add(wrong)
				w.put(fmt.Sprint("bot ", n), "apps/develop/other.yaml", fmt.Sprintf("a: %d\n", n))
			}
			w.now = right.Add(time.Minute)
			for _, since := range []time.Time{{}, s.When.Add(-time.Hour)} {
				b, err := w.mirrors.Look(t.Context(), w.src, s, nil, since)
				if err != nil || len(b.Commits) != 2 {
					t.Errorf("since %s: %d of Backstop's commits, want the revert and the hold: %v", since, len(b.Commits), err)
				}
			}
		})
	}
}
