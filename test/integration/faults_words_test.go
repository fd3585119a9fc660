package integration

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/proxy"
)

// The vocabulary of the faults: what may be on the branch, and long waits.

// push is the path of a push to the Git server.
const push = "/git-receive-pack"

// trails are Backstop's commits of a kind on the deployed branch that name an image, newest first.
func (w *World) trails(kind, image string) []string {
	w.t.Helper()
	return strings.Fields(w.git("log", "--format=%H", "--fixed-strings", "--all-match",
		"--grep=Backstop-Kind: "+kind, "--grep=Backstop-Image: "+image, fleet.Branch))
}

// revertedOnce reports that an image was reverted by one revert and one hold, which its only Rollback names, and that
// the file holds a tag and stands held.
func (w *World) revertedOnce(env, app, bad, tag string) {
	w.t.Helper()
	var list v1alpha1.RollbackList
	w.must(w.Client.List(w.t.Context(), &list))
	var records []v1alpha1.Rollback
	for _, r := range list.Items {
		if r.Namespace == w.Fleet.Namespace(env) && r.Spec.Subject.Name == bad {
			records = append(records, r)
		}
	}
	reverts, holds := w.trails("Revert", bad), w.trails("Hold", bad)
	if len(records) != 1 || len(reverts) != 1 || len(holds) != 1 {
		w.t.Errorf("%s has %d Rollbacks, %d reverts and %d holds, want one of each", bad, len(records), len(reverts), len(holds))
		return
	}
	s := records[0].Status
	if s.Change == nil || s.Change.Commit != reverts[0] || s.Change.Hold != holds[0] {
		w.t.Errorf("the Rollback's change is %+v, the branch has revert %s and hold %s", s.Change, reverts[0], holds[0])
	}
	text := w.File(w.Fleet.File(env, app))
	if !strings.Contains(text, w.Fleet.Image(app, tag)+" # backstop:hold ") {
		w.t.Errorf("%s is not held at %s:\n%s", app, tag, text)
	}
}

// patiently is Until with a patience of its own, for what takes its time by design.
func (w *World) patiently(what string, limit time.Duration, ask func() error) {
	w.t.Helper()
	begin := time.Now()
	var err error
	for time.Since(begin) < limit-patience {
		if err = ask(); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	w.Until(fmt.Sprintf("%s (after %s)", what, time.Since(begin).Round(time.Second)), ask)
}

// hasEnded asks whether the newest Rollback of an image has ended.
func (w *World) hasEnded(env, image string) func() error {
	return func() error {
		r := w.record(env, image)
		if r == nil {
			return fmt.Errorf("there is no Rollback of %s", image)
		}
		if r.Status.Outcome == nil {
			return fmt.Errorf("%s is %s, waiting %+v", image, r.Status.Phase, r.Status.Waiting)
		}
		return nil
	}
}

// says waits until a sidecar's log holds all words in one line.
func (w *World) says(s *Sidecar, words ...string) {
	w.t.Helper()
	w.Until("the sidecar says "+strings.Join(words, " … "), func() error {
		for line := range strings.Lines(s.Log()) {
			all := true
			for _, word := range words {
				all = all && strings.Contains(line, word)
			}
			if all {
				return nil
			}
		}
		return fmt.Errorf("it does not")
	})
}

// atPush calls do once, at the first push of the sidecar on one side of it, and gives what is closed when do has ended.
func (w *World) atPush(when proxy.When, do func()) <-chan struct{} {
	done := make(chan struct{})
	var later atomic.Bool
	w.Tap.Hook(func(r proxy.Request, side proxy.When) bool {
		if side != when || !strings.HasSuffix(r.Path, push) || later.Swap(true) {
			return false
		}
		do()
		close(done)
		return true
	})
	return done
}

// await waits for something that a hook does.
func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited for: %s", what)
	}
}
