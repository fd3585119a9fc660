package deliver_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

// anApp is a branch of two commits of Backstop's, and the login of a GitHub App.
func anApp(t *testing.T) (*world, string) {
	t.Helper()
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	w.commit(branch, "Revert v2 of backend\n\nBackstop-Kind: Revert", "image: reg/backend:v1\n")
	head := w.commit(branch, "Hold backend\n\nBackstop-Kind: Hold", "image: reg/backend:v1 # backstop:hold\n")
	s := server(w.RepoURL(), forgestub.Token)
	s.Login = func(context.Context) (string, string, error) { return "x-access-token", forgestub.Token, nil }
	w.api = w.opened(s)
	return w, head
}

func TestVerifiedCommitsOfAGitHubApp(t *testing.T) {
	w, head := anApp(t)
	if !w.api.Verifies(t.Context()) {
		t.Fatal("an App does not verify")
	}
	signed, err := w.api.Verify(t.Context(), branch, head)
	if err != nil || signed == head {
		t.Fatalf("%s, %v", signed, err)
	}
	git := func(args ...string) string {
		out, err := w.Git(args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if git("rev-parse", branch) != signed || !w.Verified(signed) || !w.Verified(git("rev-parse", signed+"^")) {
		t.Errorf("the branch is at %s, and %s is verified: %v", git("rev-parse", branch), signed, w.Verified(signed))
	}
	// Trees and messages are the same, and so is where the branch left main: what is not Backstop's is not signed.
	for _, at := range []string{"", "^"} {
		for _, what := range []string{"%T", "%B"} {
			if a, b := git("log", "-1", "--format="+what, head+at), git("log", "-1", "--format="+what, signed+at); a != b {
				t.Errorf("%s%s is %q, and was %q", what, at, b, a)
			}
		}
	}
	if git("rev-parse", signed+"^^") != git("rev-parse", head+"^^") || w.Verified(git("rev-parse", signed+"^^")) {
		t.Error("a commit that is not Backstop's was made again")
	}
	// A second time, and a second cluster, find nothing to do.
	if again, err := w.api.Verify(t.Context(), branch, signed); err != nil || again != signed {
		t.Errorf("%s, %v", again, err)
	}
	// What joins later is signed on top.
	more := w.commit(branch, "Revert v3 of frontend\n\nBackstop-Kind: Revert", "image: reg/backend:v1 # more\n")
	top, err := w.api.Verify(t.Context(), branch, more)
	if err != nil || git("rev-parse", top+"^") != signed || !w.Verified(top) {
		t.Errorf("%s on %s, %v", top, git("rev-parse", top+"^"), err)
	}
}

func TestVerifyOverwritesNobody(t *testing.T) {
	w, head := anApp(t)
	foreign := w.commit(branch, "Fix it by hand", "image: reg/backend:v0\n")
	_, err := w.api.Verify(t.Context(), branch, head)
	w.kindIs(err, reconcile.FaultHeadMoved)
	if now, _ := w.Git("rev-parse", branch); now != foreign {
		t.Errorf("the branch is at %s, want %s", now, foreign)
	}
}

func TestVerifyWhereGitHubDoesNotSign(t *testing.T) {
	for name, tt := range map[string]struct {
		path, body string
		status     int
		kind       reconcile.FaultKind
		words      string
	}{
		"this login":    {"/git/commits", `{"sha":"5d0c","verification":{"verified":false,"reason":"unsigned"}}`, 201, reconcile.FaultNever, "does not sign those of this login (unsigned)"},
		"an old server": {"/graphql", `{"errors":[{"message":"Field 'updateRefs' doesn't exist on type 'Mutation'"}]}`, 200, reconcile.FaultNever, "too old"},
		"no right":      {"/git/commits", `{"message":"Resource not accessible by integration"}`, 403, reconcile.FaultForbidden, "contents"},
	} {
		t.Run(name, func(t *testing.T) {
			w, head := anApp(t)
			w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, tt.path) {
					return false
				}
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(tt.status)
				_, _ = rw.Write([]byte(tt.body))
				return true
			})
			_, err := w.api.Verify(t.Context(), branch, head)
			w.kindIs(err, tt.kind, tt.words)
			if now, _ := w.Git("rev-parse", branch); now != head {
				t.Errorf("the branch is at %s, want %s", now, head)
			}
		})
	}
}

func TestOnlyAnAppVerifies(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		if w.api.Verifies(t.Context()) {
			t.Error("a token's commits are not signed")
		}
	})
}
