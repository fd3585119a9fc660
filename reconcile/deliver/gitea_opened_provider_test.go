//go:build providers

package deliver_test

import (
	"slices"
	"strings"
	"testing"

	"code.gitea.io/sdk/gitea"
	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestRealGiteaShowsWhatIsOpenAndWhatALoginMay(t *testing.T) {
	r := startReal(t)
	r.protect(func(o *gitea.CreateBranchProtectionOption) { o.RequiredApprovals = 1 })
	pr := r.until(r.open().Number, func(pr *reconcile.PullRequest) bool {
		return slices.Contains(pr.Waits, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForReview})
	})
	r.commit("feature", "image: reg/backend:v1\nreplicas: 3\n")
	_, _, err := r.jane().CreatePullRequest(r.repo.Owner, r.repo.Name, gitea.CreatePullRequestOption{Head: "feature", Base: branch, Title: "Feature"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.api.Opened(t.Context(), "main")
	want := []reconcile.FileChange{{File: file, Added: []string{"image: reg/backend:v1"}, Removed: []string{"image: reg/backend:v2"}}}
	if err != nil || got.More || len(got.PullRequests) != 1 || got.PullRequests[0].Number != pr.Number ||
		!got.PullRequests[0].Whole || got.PullRequests[0].Fork || cmp.Diff(want, got.PullRequests[0].Files) != "" {
		t.Errorf("it has %+v, %v", got, err)
	}
	rights, err := r.api.Rights(t.Context())
	if err != nil || rights.Shut != "" || len(rights.Lacks) > 0 {
		t.Errorf("they are %+v, %v", rights, err)
	}
	admin, err := r.server.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin.EditRepo(r.repo.Owner, r.repo.Name, gitea.EditRepoOption{Archived: gitea.OptionalBool(true)}); err != nil {
		t.Fatal(err)
	}
	if rights, err = r.api.Rights(t.Context()); err != nil || !strings.Contains(rights.Shut, "archived") {
		t.Errorf("of an archive they are %+v, %v", rights, err)
	}
}
