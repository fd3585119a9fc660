package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/proxy"
)

func TestPushRaceWith20OtherPushers(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Tapped = true })
	s := startSidecar(t, w)
	w.auto(prod)
	w.Settle()

	// Three of Backstop's pushes lose for certain: somebody pushes between its look at the branch and its push.
	bob, err := fleet.NewPerson(t.Context(), "Bob", w.Repo, t.TempDir())
	w.must(err)
	var lost atomic.Int32
	w.Tap.Hook(func(r proxy.Request, when proxy.When) bool {
		if when == proxy.Before && strings.HasSuffix(r.Path, push) && lost.Add(1) <= 3 {
			if _, err := bob.Change(t.Context(), "README.md", "Bob is faster", func(text string) string { return text + "Bob was here.\n" }); err != nil {
				t.Errorf("Bob: %v", err)
			}
		}
		return false
	})
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	pushed := w.crowd(20, 2)
	w.patiently("the race is over", 2*patience, w.hasEnded(prod, bad))
	w.ends(prod, bad, v1alpha1.ResultVerified)
	w.revertedOnce(prod, "backend", bad, fleet.Tag(prod, 0))
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	w.says(s, "lost the race for the branch")

	// Nobody's push is lost: Backstop never forces.
	commits := pushed()
	if len(commits) != 40 {
		t.Errorf("%d pushes of 40 arrived", len(commits))
	}
	for _, c := range commits {
		if _, err := w.Alice.Git(t.Context(), "--git-dir="+w.Repo, "merge-base", "--is-ancestor", c, fleet.Branch); err != nil {
			t.Errorf("%s is not on the branch any more: %v", c, err)
		}
	}
}

// crowd lets people push files of their own to the branch, as fast as they can, and gives a function that waits for
// them and lists their commits.
func (w *World) crowd(people, pushes int) func() []string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*patience)
	var all sync.WaitGroup
	var mu sync.Mutex
	var commits []string
	for i := range people {
		name, dir := fmt.Sprintf("Pusher %d", i), w.t.TempDir()
		all.Go(func() {
			p, err := fleet.NewPerson(ctx, name, w.Repo, dir)
			for n := 0; err == nil && n < pushes && ctx.Err() == nil; {
				if err = p.Pull(ctx); err != nil {
					break
				}
				w.tryMust(p.Write(map[string]string{fmt.Sprintf("people/%d-%d.md", i, n): name + "\n"}))
				if commit, lost := p.Push(ctx, "Hello"); lost == nil {
					mu.Lock()
					commits = append(commits, commit)
					mu.Unlock()
					n++
				} else {
					time.Sleep(rand.N(500 * time.Millisecond)) // a person fetches and tries again
				}
			}
			w.tryMust(err)
		})
	}
	return func() []string {
		all.Wait()
		cancel()
		return commits
	}
}

// tryMust is must for goroutines.
func (w *World) tryMust(err error) {
	if err != nil {
		w.t.Error(err)
	}
}

// toBackstop limits a fault to go-git, which the sidecar uses; Flux's stand-ins use git itself.
func toBackstop(f gitserver.Fault) gitserver.Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasPrefix(r.UserAgent(), "go-git/") && f(w, r)
	}
}

func TestGitServerRefusingHangingRejectingByAHook(t *testing.T) {
	t.Parallel()
	t.Run("refusing", func(t *testing.T) {
		t.Parallel()
		w := world(t, quick)
		s := startSidecar(t, w)
		w.auto(prod)
		w.Settle()
		w.Git.SetFault(toBackstop(gitserver.On(push, gitserver.Answer(http.StatusServiceUnavailable, "disk full, call Jane"))))
		bad := w.publishBad("backend", fleet.Tag(prod, 1))
		w.waits(prod, bad, "push main", "HTTP 503: disk full, call Jane", "trying again")
		if n := len(w.trails("Revert", bad)); n != 0 {
			t.Errorf("a server that refuses holds %d reverts", n)
		}
		w.Git.SetFault(nil)
		w.ends(prod, bad, v1alpha1.ResultVerified)
		w.revertedOnce(prod, "backend", bad, fleet.Tag(prod, 0))
		w.secretNowhere(s)
	})
	t.Run("hanging", func(t *testing.T) {
		t.Parallel()
		w := world(t, quick, func(s *setup) {
			s.Vary = func(w *World) {
				fleet.Get[*sourcev1.GitRepository](w.Fleet, w.Fleet.FluxNamespace(), fleet.SourceName).Spec.Timeout =
					&metav1.Duration{Duration: 2 * time.Second}
			}
		})
		s := startSidecar(t, w)
		w.auto(prod)
		w.Settle()
		w.Git.SetFault(toBackstop(w.Git.Hang()))
		bad := w.publishBad("backend", fleet.Tag(prod, 1))
		w.waits(prod, bad, "main of "+w.Git.URL, "no answer within 2s", "trying again")
		w.Git.SetFault(toBackstop(gitserver.On(push, w.Git.Hang())))
		w.waits(prod, bad, "push main", "no answer within 2s", "trying again")
		w.Git.SetFault(nil)
		w.ends(prod, bad, v1alpha1.ResultVerified)
		w.revertedOnce(prod, "backend", bad, fleet.Tag(prod, 0))
		w.secretNowhere(s)
	})
	t.Run("rejecting by a hook", func(t *testing.T) {
		t.Parallel()
		w := world(t, quick)
		s := startSidecar(t, w)
		w.auto(prod)
		w.Settle()
		w.must(gitserver.Hook(w.Repo, "pre-receive", `while read old new ref; do
	if git log --format=%B "$old..$new" | grep -q '^Backstop-Kind:'; then
		echo 'freeze until Monday, ask release@acme.example' >&2
		exit 1
	fi
done`))
		bad := w.publishBad("backend", fleet.Tag(prod, 1))
		suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
		r := w.ends(prod, bad, v1alpha1.ResultFailed, "the server refuses it", "pre-receive hook declined",
			"freeze until Monday, ask release@acme.example")
		if r.Status.Change != nil || w.Tip() != suspect {
			t.Errorf("change %+v and tip %s after a push that was rejected, want none and %s", r.Status.Change, w.Tip(), suspect)
		}
		out, err := w.Env.Kubectl(t.Context(), "get", "rollback", r.Name, "-n", r.Namespace, "-o", "jsonpath={.status.conditions}")
		w.must(err)
		if !strings.Contains(out, "freeze until Monday") || !strings.Contains(out, `"Stalled"`) {
			t.Errorf("conditions %s", out)
		}
		w.secretNowhere(s)
	})
}
