package deliver_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

func TestOpened(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		pr := w.open()
		if pr.State != v1alpha1.PullRequestOpen || pr.Branch != branch || pr.Base != "main" || pr.Number != 1 ||
			!strings.HasPrefix(pr.URL, w.URL) || len(pr.Head) != 40 {
			t.Errorf("opened as %+v", pr)
		}
		there := w.PRs()[0]
		if there.Title != "Revert v2 of backend" || !strings.Contains(there.Body, "`reg/backend:v1`") || !slices.Equal(there.Labels, []string{"backstop"}) {
			t.Errorf("the provider has %+v", there)
		}
	})
}

func TestFoundAgainAfterACrash(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		if pr, err := w.api.Find(t.Context(), branch, "main"); pr != nil || err != nil {
			t.Fatalf("found %+v, %v before one was opened", pr, err)
		}
		for i := range 5 {
			other := fmt.Sprintf("feature-%d", i)
			w.commit(other, "Something else", strconv.Itoa(i))
			w.Open("Something else", other, "main")
		}
		first := w.open()
		// Nothing remembers that it was opened: a new process looks, and one that does not look opens it again.
		w.api = w.opened(server(w.RepoURL(), forgestub.Token))
		pr, err := w.api.Find(t.Context(), branch, "main")
		if err != nil || pr == nil || pr.Number != first.Number {
			t.Errorf("found %+v, %v; want number %d", pr, err, first.Number)
		}
		if again := w.open(); again.Number != first.Number || len(w.PRs()) != 6 {
			t.Errorf("opened %d again as %d, of %d", first.Number, again.Number, len(w.PRs()))
		}
		w.CloseAs(first.Number, "jane")
		pr, err = w.api.Find(t.Context(), branch, "main")
		if err != nil || pr == nil || pr.Number != first.Number || pr.State != v1alpha1.PullRequestClosed {
			t.Errorf("a closed one is found as %+v, %v", pr, err)
		}
	})
}

func TestMergedBySquashMergeRebase(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		for _, method := range []string{"squash", "merge", "rebase"} {
			t.Run(method, func(t *testing.T) {
				w := start(t, forgestub.Options{Kind: kind})
				w.SetRules(forgestub.Rules{Methods: []string{method}, Method: method})
				pr := w.read(w.open().Number)
				if pr.Merge != reconcile.MergeClean {
					t.Fatalf("it is %+v", pr)
				}
				done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
				if err != nil || done != reconcile.MergingDone {
					t.Fatalf("%s, %v", done, err)
				}
				if got := w.read(pr.Number); got.State != v1alpha1.PullRequestMerged || got.By != forgestub.Bot {
					t.Errorf("it is %+v", got)
				}
				if w.main() != "image: reg/backend:v1" {
					t.Errorf("main says %s", w.main())
				}
				parents, _ := w.Git("rev-list", "--parents", "-1", "main")
				if got := len(strings.Fields(parents)) - 1; got != map[string]int{"squash": 1, "merge": 2, "rebase": 1}[method] {
					t.Errorf("the commit has %d parents", got)
				}
			})
		}
	})
}

func TestMergedByAPerson(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		pr := w.open()
		if err := w.MergeAs(pr.Number, "jane", "squash"); err != nil {
			t.Fatal(err)
		}
		if got := w.read(pr.Number); got.State != v1alpha1.PullRequestMerged || got.By != "jane" {
			t.Errorf("it is %+v", got)
		}
	})
}

func TestAutoMerge(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		w.SetRules(forgestub.Rules{Checks: []string{"ci"}})
		pr := w.read(w.open().Number)
		if pr.Merge != reconcile.MergeWaits || !slices.ContainsFunc(pr.Waits, func(w v1alpha1.PullRequestWait) bool {
			return w.Kind == v1alpha1.WaitsForCheck
		}) {
			t.Fatalf("it waits for %+v", pr.Waits)
		}
		_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
		w.kindIs(err, reconcile.FaultNotYet, "check")
		done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
		if err != nil || done != reconcile.MergingArmed {
			t.Fatalf("%s, %v", done, err)
		}
		if there := w.PRs()[0]; !there.Armed || there.ArmedHead != pr.Head {
			t.Errorf("the provider has %+v", there)
		}
		w.SetRules(forgestub.Rules{})
		if got := w.read(pr.Number); got.State != v1alpha1.PullRequestMerged {
			t.Errorf("it is %+v", got)
		}
	})
}

func TestMergeRefused(t *testing.T) {
	moved := map[forgestub.Kind]int{forgestub.GitHub: 409, forgestub.GitLab: 409, forgestub.Gitea: 409}
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		for name, tt := range map[string]struct {
			status int
			words  string
			want   reconcile.FaultKind
			of     []forgestub.Kind
		}{
			"time heals it":                 {405, "Base branch was modified. Review and try the merge again.", reconcile.FaultNotYet, nil},
			"GitHub computes":               {405, "Pull Request is not mergeable", reconcile.FaultNotYet, []forgestub.Kind{forgestub.GitHub}},
			"GitHub wants a review":         {405, "At least 1 approving review is required by reviewers with write access.", reconcile.FaultNotYet, []forgestub.Kind{forgestub.GitHub}},
			"GitHub allows no way":          {405, "Rebase merges are not allowed on this repository.", reconcile.FaultNever, []forgestub.Kind{forgestub.GitHub}},
			"GitHub wants a linear history": {405, "This branch must not contain merge commits.", reconcile.FaultNever, []forgestub.Kind{forgestub.GitHub}},
			"GitHub wants signatures":       {405, "Commits must have valid signatures.", reconcile.FaultNever, []forgestub.Kind{forgestub.GitHub}},
			"GitLab computes":               {405, "405 Method Not Allowed", reconcile.FaultNotYet, []forgestub.Kind{forgestub.GitLab}},
			"GitLab: it cannot be merged":   {422, "Branch cannot be merged", reconcile.FaultNever, []forgestub.Kind{forgestub.GitLab}},
			"GitLab: the token may not":     {401, "401 Unauthorized", reconcile.FaultForbidden, []forgestub.Kind{forgestub.GitLab}},
			"Gitea computes":                {405, "Please try again later", reconcile.FaultNotYet, []forgestub.Kind{forgestub.Gitea}},
			"Gitea wants reviews":           {405, "Does not have enough approvals", reconcile.FaultNotYet, []forgestub.Kind{forgestub.Gitea}},
			"Gitea: it is work in progress": {405, "Work in progress PRs cannot be merged", reconcile.FaultNever, []forgestub.Kind{forgestub.Gitea}},
			"the head moved":                {moved[kind], "head out of date", reconcile.FaultHeadMoved, nil},
			"the token may not":             {403, "Resource not accessible by integration", reconcile.FaultForbidden, nil},
			"the server is ill":             {502, "Bad Gateway", "", nil},
		} {
			if len(tt.of) > 0 && !slices.Contains(tt.of, kind) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				w := start(t, forgestub.Options{Kind: kind})
				pr := w.read(w.open().Number)
				w.SetRules(forgestub.Rules{Refuses: tt.status, RefusesWords: tt.words})
				_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
				w.kindIs(err, tt.want, tt.words)
				if w.main() != "image: reg/backend:v2" {
					t.Error("it was merged all the same")
				}
			})
		}
	})
}

func TestMergedOnlyWithTheExpectedHead(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		pr := w.read(w.open().Number)
		w.commit(branch, "Slip something in", "image: evil/backend:v1\n")
		_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
		w.kindIs(err, reconcile.FaultHeadMoved)
		if w.main() != "image: reg/backend:v2" {
			t.Error("it was merged all the same")
		}
	})
}

func TestClosedByAPerson(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		pr := w.open()
		w.CloseAs(pr.Number, "jane")
		got := w.read(pr.Number)
		// Gitea's API does not say who it was.
		by := map[forgestub.Kind]string{forgestub.GitHub: "jane", forgestub.GitLab: "jane"}[kind]
		if got.State != v1alpha1.PullRequestClosed || got.By != by {
			t.Errorf("it is %+v", got)
		}
	})
}

func TestConflict(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		number := w.open().Number
		w.commit("main", "Bump", "image: reg/backend:v3\n")
		pr := w.read(number)
		// Gitea says the same of a conflict and of what it has not found out yet.
		want, kindOf := reconcile.MergeConflicts, reconcile.FaultNever
		if kind == forgestub.Gitea {
			want, kindOf = reconcile.MergeWaits, reconcile.FaultNotYet
		}
		if pr.Merge != want {
			t.Errorf("it is %+v", pr)
		}
		for _, arm := range []bool{false, true} {
			_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: arm})
			w.kindIs(err, kindOf)
		}
		if w.PRs()[0].Armed {
			t.Error("it is armed")
		}
	})
}

// A rule of the branch may take nothing that is not up to date with it. At Gitea only the answer to a merge tells.
func TestWaitsForItsBase(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		w.SetRules(forgestub.Rules{UpToDate: true})
		number := w.open().Number
		if _, err := w.Commit("main", "Go on", map[string]string{"README.md": "more"}); err != nil {
			t.Fatal(err)
		}
		pr := w.read(number)
		for _, arm := range []bool{false, true} {
			if kind == forgestub.GitHub && arm {
				continue
			}
			_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: arm})
			w.kindIs(err, reconcile.FaultNotYet)
		}
		pr = w.read(number)
		if !slices.Equal(pr.Waits, []v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForRebase, "")}) || pr.Merge != reconcile.MergeWaits || w.PRs()[0].Armed {
			t.Fatalf("it is %s and waits for %+v", pr.Merge, pr.Waits)
		}
		// Built again on its base it is merged.
		if _, err := w.Git("update-ref", "refs/heads/"+branch, "refs/heads/main"); err != nil {
			t.Fatal(err)
		}
		w.commit(branch, "Revert v2 of backend", "image: reg/backend:v1\n")
		pr = w.read(number)
		if done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head}); err != nil || done != reconcile.MergingDone {
			t.Errorf("%s, %v", done, err)
		}
	})
}

func TestPollingAtRestIsOneConditionalRequest(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		w.SetRules(forgestub.Rules{Approvals: 1})
		number := w.open().Number
		first := w.read(number)
		calls := len(w.Calls())
		again := w.read(number)
		asked := w.Calls()[calls:]
		for _, c := range asked {
			if !strings.HasSuffix(c, " unchanged") {
				t.Errorf("asked %q, which costs", c)
			}
		}
		// Gitea has the checks apart.
		if most := map[forgestub.Kind]int{forgestub.Gitea: 2}[kind]; len(asked) > max(most, 1) {
			t.Errorf("asked %q", asked)
		}
		if fmt.Sprint(first) != fmt.Sprint(again) {
			t.Errorf("it was %+v, and is %+v", first, again)
		}
	})
}

func TestAnswersAreBounded(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		number := w.open().Number
		for name, fault := range map[string]func(rw http.ResponseWriter){
			"an answer without end": func(rw http.ResponseWriter) {
				for range 64 {
					_, _ = rw.Write([]byte(strings.Repeat(" ", 1<<20)))
				}
			},
			"a page for a browser": func(rw http.ResponseWriter) {
				rw.WriteHeader(http.StatusBadRequest)
				_, _ = rw.Write([]byte("<html><b>no</b></html>"))
			},
			"no JSON": func(rw http.ResponseWriter) { _, _ = rw.Write([]byte("ok")) },
		} {
			w.SetFault(func(rw http.ResponseWriter, _ *http.Request) bool { fault(rw); return true })
			_, err := w.api.Read(t.Context(), number)
			if err == nil || len(err.Error()) > 1500 || strings.Contains(err.Error(), "<b>") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A company's login page, or a proxy's, answers anything with success.
func TestAPageInPlaceOfTheAPI(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		number := w.open().Number
		w.SetFault(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = rw.Write([]byte("<!DOCTYPE html><title>Log in to Acme</title>"))
			return true
		})
		_, err := w.api.Read(t.Context(), number)
		w.kindIs(err, reconcile.FaultConnection, "a login, a proxy or a firewall stands before")
		_, err = w.api.Open(t.Context(), proposal())
		w.kindIs(err, reconcile.FaultConnection, "a login, a proxy or a firewall stands before")
		// A firewall's page is no word about the credentials.
		for _, status := range []int{401, 403, 404} {
			w.SetFault(func(rw http.ResponseWriter, _ *http.Request) bool {
				rw.Header().Set("Content-Type", "text/html; charset=utf-8")
				rw.WriteHeader(status)
				_, _ = rw.Write([]byte("<!DOCTYPE html><title>Request blocked</title>"))
				return true
			})
			_, err = w.api.Read(t.Context(), number)
			w.kindIs(err, reconcile.FaultConnection, "a firewall stands before", strconv.Itoa(status))
		}
		if !reconcile.KindOf(err).Heals() {
			t.Error("it is not tried again")
		}
	})
}

func TestCredentialsStayWithTheirServer(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		other := start(t, forgestub.Options{Kind: kind})
		calls := len(other.Calls())
		w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
			http.Redirect(rw, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		})
		if _, err := w.api.Find(t.Context(), branch, "main"); err == nil {
			t.Error("the redirect was followed")
		}
		if got := other.Calls()[calls:]; len(got) > 0 {
			t.Errorf("the other server was asked %q", got)
		}
	})
}
