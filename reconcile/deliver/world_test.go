package deliver_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/test/forgestub"
)

const (
	branch = "backstop/revert-5d0c1f2e3a4b"
	file   = "apps/production/backend.yaml"
)

// world is a provider with a branch that a pull request may bring.
type world struct {
	*testing.T
	*forgestub.Forge
	api reconcile.Forge
}

func kinds(t *testing.T, f func(t *testing.T, kind forgestub.Kind)) {
	for _, kind := range []forgestub.Kind{forgestub.GitHub, forgestub.GitLab, forgestub.Gitea} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			f(t, kind)
		})
	}
}

func start(t *testing.T, o forgestub.Options) *world {
	t.Helper()
	f, err := forgestub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	t.Cleanup(func() { asDescribed(t, f) })
	w := &world{T: t, Forge: f}
	w.commit("main", "Deploy", "image: reg/backend:v2\n")
	w.commit(branch, "Revert v2 of backend", "image: reg/backend:v1\n")
	w.api = w.opened(server(f.RepoURL(), forgestub.Token))
	return w
}

// asDescribed holds what a provider was asked, and answered, against what it publishes of its API.
func asDescribed(t testing.TB, f *forgestub.Forge) {
	t.Helper()
	for _, why := range f.Undescribed() {
		t.Errorf("%s: %s", f.Kind, why)
	}
}

func (w *world) commit(branch, message, content string) string {
	w.Helper()
	c, err := w.Commit(branch, message, map[string]string{file: content})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// server is the way to a provider's API with a token.
func server(url, token string) *reconcile.GitServer {
	return &reconcile.GitServer{
		URL: url, Source: "GitRepository flux-system/fleet", Client: &http.Client{Transport: &http.Transport{}},
		Login: func(context.Context) (string, string, error) { return forgestub.Bot, token, nil },
		Clean: func(s string, n int) string {
			return text.Cut(text.OneLine(strings.ReplaceAll(s, token, "[redacted]")), n)
		},
		Timeout: time.Minute,
	}
}

func (w *world) opened(s *reconcile.GitServer) reconcile.Forge {
	w.Helper()
	where, err := deliver.Locate(w.Context(), s, deliver.Options{})
	if err != nil {
		w.Fatal(err)
	}
	if string(where.Provider) != string(w.Kind) {
		w.Fatalf("it is %s, want %s", where.Provider, w.Kind)
	}
	api, err := deliver.Open(s, where)
	if err != nil {
		w.Fatal(err)
	}
	return api
}

func (w *world) open() *reconcile.PullRequest {
	w.Helper()
	pr, err := w.api.Open(w.Context(), proposal())
	if err != nil {
		w.Fatal(err)
	}
	return pr
}

func proposal() reconcile.Proposal {
	return reconcile.Proposal{Branch: branch, Base: "main", Story: reconcile.Story{
		Image: "reg/backend:v2", Target: "reg/backend:v1", Message: "Revert v2 of backend\n\nBackstop-Kind: Revert\n"}}
}

func (w *world) read(number int64) *reconcile.PullRequest {
	w.Helper()
	pr, err := w.api.Read(w.Context(), number)
	if err != nil {
		w.Fatal(err)
	}
	return pr
}

func (w *world) main() string {
	w.Helper()
	out, err := w.Git("show", "main:"+file)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// kindIs wants an error of a kind, with words in its sentence and no token.
func (w *world) kindIs(err error, kind reconcile.FaultKind, words ...string) {
	w.Helper()
	if got := reconcile.KindOf(err); err == nil || got != kind {
		w.Fatalf("%v is of the kind %q, want %q", err, got, kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			w.Errorf("%q does not say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), forgestub.Token) {
		w.Errorf("%q holds the token", err)
	}
}

// waits wants an error that reports when to come back.
func (w *world) waits(err error, atLeast, atMost time.Duration) {
	w.Helper()
	var again *reconcile.RetryAfter
	if !errors.As(err, &again) || again.After < atLeast || again.After > atMost {
		w.Fatalf("%v is no rate limit that ends in %s to %s", err, atLeast, atMost)
	}
}
