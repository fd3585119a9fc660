package gitrepo

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/reconcile"
)

// fork makes another repository with the same commits on the world's server.
func (w *world) fork(name string) string {
	w.Helper()
	bare, err := w.server.Create(name)
	if err != nil {
		w.Fatal(err)
	}
	w.run(w.bare, "push", "--quiet", bare, "main:main")
	return bare
}

func TestAnotherGitRepositoryPushes(t *testing.T) {
	t.Parallel()
	pusher := func(w *world, path string) *reconcile.Pusher {
		return &reconcile.Pusher{Name: types.NamespacedName{Namespace: "develop", Name: "fleet-rw"}, URL: w.server.URL + path,
			Timeout: 20 * time.Second, Auth: w.src.Auth}
	}
	for _, c := range []struct {
		name   string
		change func(w *world)
		want   string
	}{
		{"with the same repository", func(w *world) { w.src.Push = pusher(w, "/org/fleet.git") }, ""},
		{"with credentials that the server refuses", func(w *world) {
			w.src.Push = pusher(w, "/org/fleet.git")
			w.src.Push.Auth = reconcile.Auth{Secret: secret("username", "bot", "password", "wrong-password")}
		}, "GitRepository develop/fleet-rw"},
		{"with another repository that looks the same", func(w *world) {
			w.fork("org/fork.git")
			w.src.Push = pusher(w, "/org/fork.git")
		}, "GitRepository flux-system/fleet does not show it"},
		{"with a repository that stands elsewhere", func(w *world) {
			w.fork("org/old.git")
			w.put("newer", "other.yaml", "a: b\n")
			w.src.Push = pusher(w, "/org/old.git")
		}, "never stood where"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			c.change(w)
			w.pull()
			before := w.git("rev-parse", "origin/main")
			s := w.blame(query(repo + ":" + tag1))
			got, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{w.wish(s)})
			w.pull()
			moved := w.git("rev-parse", "origin/main") != before
			if c.want == "" {
				if err != nil || got[0].Change == nil || !moved {
					t.Errorf("landed %+v, moved %v: %v", got, moved, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || moved {
				t.Errorf("moved %v: %v, want %q", moved, err, c.want)
			}
		})
	}
}

func TestReadingNeverUsesTheOtherGitRepository(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	w.src.Push = &reconcile.Pusher{URL: "http://127.0.0.1:1/nowhere.git", Timeout: time.Second}
	if s := w.blame(query(repo + ":" + tag1)); s.Source.Name != w.src.Name.Name {
		t.Errorf("the suspect's source is %s", s.Source)
	}
}
