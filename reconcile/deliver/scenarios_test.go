package deliver_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
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
			"GitHub allows no way":          {405, "Merge commits and squash merges are not allowed on this repository.", reconcile.FaultNever, []forgestub.Kind{forgestub.GitHub}},
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

func TestTokenWithoutTheRight(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   forgestub.Kind
		body   string
		header []string
		words  []string
	}{
		"a GitHub App with contents alone": {forgestub.GitHub, `{"message":"Resource not accessible by integration"}`,
			[]string{"X-Accepted-GitHub-Permissions", "pull_requests=write"}, []string{"pull_requests=write", "accepted by its organisation"}},
		"a fine-grained token": {forgestub.GitHub, `{"message":"Resource not accessible by personal access token"}`,
			nil, []string{"pull requests: write"}},
		"single sign-on": {forgestub.GitHub, `{"message":"Resource protected by organization SAML enforcement."}`,
			[]string{"X-GitHub-SSO", "required; url=https://github.com/orgs/acme/sso"}, []string{"single sign-on"}},
		"GitLab's write_repository": {forgestub.GitLab,
			`{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api"}`,
			nil, []string{"scope api", "insufficient_scope"}},
		"Gitea's read:repository": {forgestub.Gitea,
			`{"message":"token does not have at least one of required scope(s): [write:repository]"}`, nil, []string{"write:repository"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: tt.kind})
			w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				for i := 0; i+1 < len(tt.header); i += 2 {
					rw.Header().Set(tt.header[i], tt.header[i+1])
				}
				rw.WriteHeader(http.StatusForbidden)
				_, _ = rw.Write([]byte(tt.body))
				return true
			})
			_, err := w.api.Open(t.Context(), proposal())
			w.kindIs(err, reconcile.FaultForbidden, append(tt.words, "GitRepository flux-system/fleet")...)
		})
	}
}

func TestTokenThatIsNotAccepted(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		_, err := w.opened(server(w.RepoURL(), "another-token")).Open(t.Context(), proposal())
		w.kindIs(err, reconcile.FaultUnauthorized)
	})
}

func TestRateLimit(t *testing.T) {
	soon := strconv.FormatInt(time.Now().Add(10*time.Minute).Unix(), 10)
	for name, tt := range map[string]struct {
		kind            forgestub.Kind
		status          int
		body            string
		header          []string
		atLeast, atMost time.Duration
	}{
		"GitHub's primary limit":                      {forgestub.GitHub, 403, `{"message":"API rate limit exceeded for user ID 1."}`, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", soon}, 5 * time.Minute, 11 * time.Minute},
		"GitHub's secondary limit":                    {forgestub.GitHub, 403, `{"message":"You have exceeded a secondary rate limit."}`, []string{"Retry-After", "30"}, 30 * time.Second, 30 * time.Second},
		"GitHub's secondary limit that does not say":  {forgestub.GitHub, 429, `{"message":"You have exceeded a secondary rate limit."}`, nil, time.Minute, time.Minute},
		"GitLab's limit":                              {forgestub.GitLab, 429, "Retry later\n", []string{"Retry-After", "17"}, 17 * time.Second, 17 * time.Second},
		"GitLab's limit by its reset":                 {forgestub.GitLab, 429, "Retry later\n", []string{"RateLimit-Reset", soon}, 5 * time.Minute, 11 * time.Minute},
		"a proxy before Gitea":                        {forgestub.Gitea, 429, "", nil, time.Minute, time.Minute},
		"a proxy that says a date":                    {forgestub.Gitea, 429, "", []string{"Retry-After", time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat)}, time.Second, 6 * time.Minute},
		"a server that says a year":                   {forgestub.Gitea, 429, "", []string{"Retry-After", "31536000"}, time.Hour, time.Hour},
		"a server that is away and says for how long": {forgestub.Gitea, 503, "", []string{"Retry-After", "5"}, 5 * time.Second, 5 * time.Second},
		"a number that would run over":                {forgestub.Gitea, 429, "", []string{"Retry-After", "9223372036854775807"}, time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: tt.kind})
			w.SetFault(func(rw http.ResponseWriter, _ *http.Request) bool {
				for i := 0; i+1 < len(tt.header); i += 2 {
					rw.Header().Set(tt.header[i], tt.header[i+1])
				}
				rw.WriteHeader(tt.status)
				_, _ = rw.Write([]byte(tt.body))
				return true
			})
			_, err := w.api.Find(t.Context(), branch, "main")
			w.waits(err, tt.atLeast, tt.atMost)
		})
	}
}

func TestNotFoundForWhatATokenMayNotSee(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		w.SetRules(forgestub.Rules{Hidden: true})
		_, err := w.api.Open(t.Context(), proposal())
		w.kindIs(err, reconcile.FaultNotFound, "do not get to see it", "access to the repository")
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

func TestRefusedByName(t *testing.T) {
	for url, want := range map[string]deliver.Provider{
		"https://bitbucket.org/acme/fleet.git":                          deliver.Bitbucket,
		"https://bitbucket.acme.example/scm/ops/fleet.git":              deliver.Bitbucket,
		"https://git.acme.example/scm/ops/fleet.git":                    deliver.Bitbucket,
		"https://acme@dev.azure.com/acme/ops/_git/fleet":                deliver.AzureDevOps,
		"https://acme.visualstudio.com/ops/_git/fleet":                  deliver.AzureDevOps,
		"https://tfs.acme.example/tfs/Default/ops/_git/fleet":           deliver.AzureDevOps,
		"https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/fleet": deliver.CodeCommit,
	} {
		t.Run(url, func(t *testing.T) {
			s := server(url, "x")
			where, err := deliver.Locate(t.Context(), s, deliver.Options{})
			if err != nil || where.Provider != want {
				t.Fatalf("it is %q, %v; want %q", where.Provider, err, want)
			}
			if _, err := deliver.Open(s, where); reconcile.KindOf(err) != reconcile.FaultNoProvider ||
				!strings.Contains(err.Error(), string(want)) {
				t.Errorf("opened, or refused with %v", err)
			}
		})
	}
}
