//go:build providers

package deliver_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/test/giteaserver"
)

// over has what a key would push pushed over HTTP: this Gitea has no SSH.
type over struct {
	reconcile.Pulls
	src reconcile.Source
}

func (o over) Proposed(ctx context.Context, _ reconcile.Source, branch string) (string, int64, error) {
	return o.Pulls.Proposed(ctx, o.src, branch)
}

func (o over) Request(ctx context.Context, _ reconcile.Source, branch, ref string, options []string) error {
	return o.Pulls.Request(ctx, o.src, branch, ref, options)
}

func TestRealGiteaOpensWhatIsPushed(t *testing.T) {
	r := startReal(t)
	mirrors, err := gitrepo.New(t.TempDir(), gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src := reconcile.Source{URL: r.server.URL + r.repo.Path(), Branch: "main", Timeout: time.Minute, Auth: reconcile.Auth{
		Secret: map[string][]byte{"username": []byte(realBot), "password": []byte(giteaserver.Password)}}}
	dial := func(reconcile.Source) (*reconcile.GitServer, error) { return server(src.URL, ""), nil }
	keyed := src
	keyed.URL = "ssh://git@git.example" + r.repo.Path()
	api, err := deliver.NewForges(dial, over{mirrors, src}).Forge(t.Context(), keyed, v1alpha1.PullRequestProvider(deliver.Gitea))
	if err != nil {
		t.Fatal(err)
	}
	if pr, err := api.Find(t.Context(), branch, "main"); pr != nil || err != nil {
		t.Fatalf("found %+v, %v", pr, err)
	}
	pr, err := api.Open(t.Context(), proposal())
	if err != nil {
		t.Fatal(err)
	}
	there, _, err := r.jane().GetPullRequest(r.repo.Owner, r.repo.Name, pr.Number)
	if err != nil || there.State != gitea.StateOpen || there.Title != "Revert v2 of backend" || there.Base.Ref != "main" ||
		there.Head.Sha != r.must("rev-parse", "HEAD") || there.HTMLURL != pr.URL || !strings.Contains(there.Body, "people merge it") {
		t.Errorf("Gitea has %+v, %v", there, err)
	}
	// It is there for whoever looks, and follows its branch.
	if again, err := api.Find(t.Context(), branch, "main"); err != nil || again == nil || again.Number != pr.Number {
		t.Errorf("found %+v, %v", again, err)
	}
	r.commit(branch, "image: reg/backend:v0\n")
	if err := api.Update(t.Context(), pr, proposal()); err != nil {
		t.Fatal(err)
	}
	if there, _, err = r.jane().GetPullRequest(r.repo.Owner, r.repo.Name, pr.Number); err != nil || there.Head.Sha != r.must("rev-parse", "HEAD") {
		t.Errorf("Gitea has %+v, %v", there, err)
	}
}
