package gitrepo

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestWhatIsForbiddenWhileAPushIsPlannedIsNotSent(t *testing.T) {
	t.Parallel()
	forbidden := errors.New("policy backstop-system/stop is suspended")
	for name, tt := range map[string]struct {
		second bool
		pushes int64
	}{
		"the only one":                     {pushes: 0},
		"one of two, and the other is not": {second: true, pushes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			two := func(tag string) string {
				return deployment("develop", "backend", repo+":"+tag, "develop:backend") + "---\n" +
					deployment("develop", "frontend", "ghcr.io/acme/frontend:"+tag, "develop:frontend")
			}
			w.put("add", "apps/develop/all.yaml", two(tag0))
			w.put("update two", "apps/develop/all.yaml", two(tag1))
			stopped := false
			wish := w.wish(w.blame(query(repo + ":" + tag1)))
			wish.Permit = func(reconcile.Branch) error {
				if stopped {
					return forbidden
				}
				return nil
			}
			// Somebody turns the kill switch after the tip was asked for.
			wish.Still = func() error { stopped = true; return forbidden }
			wishes := []reconcile.Revert{wish}
			if tt.second {
				wishes = append(wishes, w.wish(w.blame(query("ghcr.io/acme/frontend:"+tag1))))
			}
			before := w.server.Pushes()
			out, err := w.mirrors.Land(t.Context(), w.src, wishes)
			if err != nil || !errors.Is(out[0].Err, forbidden) || out[0].Change != nil {
				t.Fatalf("land: %v, %+v, want it left out", err, out)
			}
			if n := int64(w.server.Pushes() - before); n != tt.pushes {
				t.Errorf("%d pushes, want %d", n, tt.pushes)
			}
			if text := w.show("main", "apps/develop/all.yaml"); !strings.Contains(text, repo+":"+tag1) ||
				strings.Contains(text, "frontend:"+tag1) == tt.second {
				t.Errorf("the branch holds\n%s", text)
			}
		})
	}
}

// A server tells its branches before it takes a push, and may take minutes for it.
func TestWhatIsForbiddenWhileTheServerTellsItsBranchesIsNotSent(t *testing.T) {
	t.Parallel()
	forbidden := errors.New("policy backstop-system/stop is suspended")
	for name, write := range map[string]func(w *world, wish reconcile.Revert) error{
		"a revert": func(w *world, wish reconcile.Revert) error {
			out, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{wish})
			if err == nil {
				err = out[0].Err
			}
			return err
		},
		"a pull request": func(w *world, wish reconcile.Revert) error {
			_, err := w.mirrors.Propose(t.Context(), w.src, reconcile.Onto{Branch: proposed}, []reconcile.Revert{wish})
			return err
		},
		"a lift": func(w *world, wish reconcile.Revert) error {
			_, err := w.mirrors.Lift(t.Context(), w.src, reconcile.Lift{Roots: apps(), Policy: "develop:backend", By: "jane",
				Person: true, Permit: wish.Still})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			wish := w.wish(w.blame(query(repo + ":" + tag1)))
			var stopped, counts atomic.Bool
			permit := func() error {
				if counts.Store(true); stopped.Load() {
					return forbidden
				}
				return nil
			}
			wish.Permit, wish.Still = func(reconcile.Branch) error { return permit() }, permit
			w.server.SetFault(func(_ http.ResponseWriter, r *http.Request) bool {
				// Somebody turns the kill switch while the server is asked.
				if counts.Load() && r.URL.Query().Get("service") == "git-receive-pack" {
					stopped.Store(true)
				}
				return false
			})
			if name == "a lift" {
				w.landNow(w.wish(w.blame(query(repo + ":" + tag1))))
			}
			before := w.server.Pushes()
			if err := write(w, wish); !errors.Is(err, forbidden) || !stopped.Load() {
				t.Errorf("it says %v, and was asked for its branches: %v", err, stopped.Load())
			}
			if n := w.server.Pushes() - before; n > 0 {
				t.Errorf("%d pushes, want none", n)
			}
		})
	}
}
