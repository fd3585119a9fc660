package deliver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

func TestWhatOpenPullRequestsChange(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		w.commit("flux-image-updates", "Update images", "image: reg/backend:v3\n")
		automation := w.Open("Automatic image update", "flux-image-updates", "main")
		w.commit("feature", "Feature", "image: reg/backend:v2\nreplicas: 3\n")
		fork := w.Open("Feature", "feature", "main")
		w.Change(fork, func(pr *forgestub.PR) { pr.Fork = true })
		w.CloseAs(w.Open("Closed", branch, "main"), "jane")
		w.commit("release", "Release", "image: reg/backend:v9\n")
		w.Open("To another base", "feature", "release")
		got, err := w.api.Opened(t.Context(), "main")
		if err != nil || got.More || len(got.PullRequests) != 2 {
			t.Fatalf("it has %+v, %v", got, err)
		}
		first, second := got.PullRequests[1], got.PullRequests[0]
		want := []reconcile.FileChange{{File: file, Added: []string{"image: reg/backend:v3"}, Removed: []string{"image: reg/backend:v2"}}}
		if diff := cmp.Diff(want, first.Files); diff != "" || first.Number != automation || first.Fork || !first.Whole ||
			first.Branch != "flux-image-updates" || len(first.Head) != 40 {
			t.Errorf("image automation's is %+v\n%s", first, diff)
		}
		want = []reconcile.FileChange{{File: file, Added: []string{"replicas: 3"}}}
		if diff := cmp.Diff(want, second.Files); diff != "" || !second.Fork || !second.Whole {
			t.Errorf("the fork's is %+v\n%s", second, diff)
		}
	})
}

func TestOnlyTheNewestOpenPullRequestsAreRead(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		w.commit("feature", "Feature", "image: reg/backend:v3\n")
		for i := range 35 {
			w.Open(fmt.Sprint("Feature ", i), "feature", "main")
		}
		got, err := w.api.Opened(t.Context(), "main")
		if err != nil || !got.More || len(got.PullRequests) != 30 || got.PullRequests[0].Number != 35 {
			t.Errorf("%d were read, there are more: %v, %v", len(got.PullRequests), got.More, err)
		}
	})
}

func TestADiffThatIsNotWhole(t *testing.T) {
	for name, tt := range map[string]struct {
		kind forgestub.Kind
		path string
		body string
	}{
		"GitHub, a large file":         {forgestub.GitHub, "/files", `[{"filename":"a.yaml","status":"modified","additions":1,"deletions":0}]`},
		"GitHub, a patch that is cut":  {forgestub.GitHub, "/files", `[{"filename":"a.yaml","status":"modified","additions":9,"deletions":0,"patch":"@@ -1 +1,9 @@\n a\n+b"}]`},
		"GitHub, a file that is moved": {forgestub.GitHub, "/files", `[{"filename":"b.yaml","previous_filename":"a.yaml","status":"renamed","additions":0,"deletions":0}]`},
		"GitLab, a large file":         {forgestub.GitLab, "/diffs", `[{"new_path":"a.yaml","old_path":"a.yaml","diff":"","too_large":true}]`},
		"GitLab, a collapsed file":     {forgestub.GitLab, "/diffs", `[{"new_path":"a.yaml","old_path":"a.yaml","diff":"","collapsed":true}]`},
		"GitLab, not made yet":         {forgestub.GitLab, "/diffs", `[]`},
		"Gitea, a binary file":         {forgestub.Gitea, ".diff", "diff --git a/a b/a\nindex 1..2 100644\nBinary files a/a and b/a differ\n"},
		"Gitea, a diff that is cut":    {forgestub.Gitea, ".diff", "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n-x\n"},
		"Gitea, a diff without end":    {forgestub.Gitea, ".diff", strings.Repeat("diff --git a/a b/a\n", 300_000)},
		"Gitea, no diff":               {forgestub.Gitea, ".diff", "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: tt.kind})
			w.open()
			w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, tt.path) {
					return false
				}
				rw.Header().Set("Content-Type", "application/json")
				_, _ = rw.Write([]byte(tt.body))
				return true
			})
			got, err := w.api.Opened(t.Context(), "main")
			if err != nil || len(got.PullRequests) != 1 || got.PullRequests[0].Whole {
				t.Errorf("it has %+v, %v", got.PullRequests, err)
			}
		})
	}
}
