package deliver_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

func waitsFor(kind v1alpha1.PullRequestWaitKind, name string) v1alpha1.PullRequestWait {
	return v1alpha1.PullRequestWait{Kind: kind, Name: name}
}

func TestWaitsByName(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		for name, tt := range map[string]struct {
			rules forgestub.Rules
			want  []v1alpha1.PullRequestWait
			of    []forgestub.Kind
		}{
			"a code owner": {forgestub.Rules{Approvals: 1, CodeOwners: []string{"platform"}},
				[]v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForCodeOwner, "platform")}, []forgestub.Kind{forgestub.GitHub, forgestub.GitLab}},
			"a code owner and a reviewer": {forgestub.Rules{Approvals: 1, CodeOwners: []string{"platform"}, Reviewers: []string{"jane"}},
				[]v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForCodeOwner, "platform"), waitsFor(v1alpha1.WaitsForReview, "jane")},
				[]forgestub.Kind{forgestub.GitHub, forgestub.GitLab}},
			"more reviewers than are named": {forgestub.Rules{Approvals: 1, Reviewers: []string{"a", "b", "c", "d"}},
				[]v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForReview, "Platform")}, []forgestub.Kind{forgestub.GitLab}},
			"a review that nobody was asked for": {forgestub.Rules{Approvals: 1}, []v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForReview, "")}, nil},
			"checks that must pass, and none that need not": {forgestub.Rules{Checks: []string{"ci", "build"}},
				[]v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForCheck, "build"), waitsFor(v1alpha1.WaitsForCheck, "ci")}, nil},
			"nothing": {forgestub.Rules{}, nil, nil},
		} {
			if len(tt.of) > 0 && !slices.Contains(tt.of, kind) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				w := start(t, forgestub.Options{Kind: kind})
				w.SetRules(tt.rules)
				pr := w.read(w.open().Number)
				got := slices.Clone(pr.Waits)
				slices.SortFunc(got, func(a, b v1alpha1.PullRequestWait) int {
					return strings.Compare(string(a.Kind)+a.Name, string(b.Kind)+b.Name)
				})
				if !slices.Equal(got, tt.want) {
					t.Errorf("it waits for %+v, want %+v", got, tt.want)
				}
				if (pr.Merge == reconcile.MergeClean) != (len(tt.want) == 0) && kind != forgestub.Gitea {
					t.Errorf("it is %s", pr.Merge)
				}
			})
		}
	})
}

func TestWaitsForItsTurn(t *testing.T) {
	for _, kind := range []forgestub.Kind{forgestub.GitHub, forgestub.GitLab} {
		t.Run(string(kind), func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: kind})
			w.SetRules(forgestub.Rules{Queue: true})
			pr := w.read(w.open().Number)
			if pr.Merge != reconcile.MergeClean || pr.Armed {
				t.Fatalf("before it is queued it is %+v", pr)
			}
			if _, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head}); err != nil {
				t.Fatal(err)
			}
			pr = w.read(pr.Number)
			if !slices.Equal(pr.Waits, []v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForQueue, "")}) || !pr.Armed ||
				pr.Merge != reconcile.MergeWaits {
				t.Errorf("in the queue it is %+v", pr)
			}
			// Out of the queue again it may be merged again.
			if err := w.api.Disarm(t.Context(), pr); err != nil {
				t.Fatal(err)
			}
			if pr = w.read(pr.Number); pr.Merge != reconcile.MergeClean || pr.Armed || len(pr.Waits) > 0 {
				t.Errorf("out of the queue it is %+v", pr)
			}
		})
	}
}

func TestWaitsOfThoseWhoSeeLess(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   forgestub.Kind
		rules  forgestub.Rules
		path   string
		status int
		body   string
		want   []v1alpha1.PullRequestWait
	}{
		"GitHub shows no checks": {forgestub.GitHub, forgestub.Rules{Approvals: 1}, "graphql", 200,
			`{"data":{"node":{"reviewDecision":"REVIEW_REQUIRED","commits":{"nodes":[{"commit":{"statusCheckRollup":null}}]}}},` +
				`"errors":[{"message":"Resource not accessible by integration"}]}`,
			[]v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForReview, ""), waitsFor(v1alpha1.WaitsForCheck, "")}},
		"GitHub shows nothing": {forgestub.GitHub, forgestub.Rules{Approvals: 1}, "graphql", 403, `{"message":"Forbidden"}`,
			[]v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForReview, ""), waitsFor(v1alpha1.WaitsForCheck, "")}},
		"GitHub wants something else": {forgestub.GitHub, forgestub.Rules{Approvals: 1}, "graphql", 200,
			`{"data":{"node":{"reviewDecision":"APPROVED"}}}`, []v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForProvider, "a rule of the branch")}},
		"GitLab has no rules": {forgestub.GitLab, forgestub.Rules{Approvals: 1, CodeOwners: []string{"platform"}}, "approval_state", 404,
			`{"message":"404 Not Found"}`, []v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForReview, "")}},
		"GitLab shows no jobs": {forgestub.GitLab, forgestub.Rules{Checks: []string{"ci"}}, "jobs", 403,
			`{"message":"403 Forbidden"}`, []v1alpha1.PullRequestWait{waitsFor(v1alpha1.WaitsForCheck, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: tt.kind})
			w.SetRules(tt.rules)
			number := w.open().Number
			w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, tt.path) {
					return false
				}
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(tt.status)
				_, _ = rw.Write([]byte(tt.body))
				return true
			})
			if pr := w.read(number); !slices.Equal(pr.Waits, tt.want) || pr.Merge != reconcile.MergeWaits {
				t.Errorf("it is %s and waits for %+v, want %+v", pr.Merge, pr.Waits, tt.want)
			}
		})
	}
}

// GitLab has one word for what is missing.
func TestWordsOfGitLab(t *testing.T) {
	for says, want := range map[string]v1alpha1.PullRequestWait{
		"code_owners_approval":       waitsFor(v1alpha1.WaitsForCodeOwner, "platform"),
		"approvals_syncing":          waitsFor(v1alpha1.WaitsForCodeOwner, "platform"),
		"discussions_not_resolved":   waitsFor(v1alpha1.WaitsForDiscussion, ""),
		"need_rebase":                waitsFor(v1alpha1.WaitsForRebase, ""),
		"security_policy_violations": waitsFor(v1alpha1.WaitsForCheck, ""),
		"title_regex":                waitsFor(v1alpha1.WaitsForProvider, "title regex"),
		"merge_request_blocked":      waitsFor(v1alpha1.WaitsForProvider, "merge request blocked"),
		"locked_paths":               waitsFor(v1alpha1.WaitsForProvider, "locked paths"),
		"preparing":                  waitsFor(v1alpha1.WaitsForProvider, ""),
		"checking":                   waitsFor(v1alpha1.WaitsForProvider, ""),
		"":                           waitsFor(v1alpha1.WaitsForProvider, ""),
	} {
		t.Run(says, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: forgestub.GitLab})
			w.SetRules(forgestub.Rules{Approvals: 1, CodeOwners: []string{"platform"}})
			number := w.open().Number
			w.Change(number, func(pr *forgestub.PR) { pr.Says = &says })
			if pr := w.read(number); !slices.Equal(pr.Waits, []v1alpha1.PullRequestWait{want}) || pr.Merge != reconcile.MergeWaits {
				t.Errorf("it is %s and waits for %+v, want %+v", pr.Merge, pr.Waits, want)
			}
		})
	}
}

func TestRights(t *testing.T) {
	for name, tt := range map[string]struct {
		kind    forgestub.Kind
		rules   forgestub.Rules
		lacks   []string
		unshown []string
		shut    string
		ends    string
	}{
		"GitHub, a classic token":            {forgestub.GitHub, forgestub.Rules{Scopes: []string{"repo", "workflow"}, Ends: "2026-12-03"}, nil, nil, "", "2026-12-03"},
		"GitHub, a classic token that reads": {forgestub.GitHub, forgestub.Rules{Scopes: []string{"read:org"}}, []string{"the scope repo"}, nil, "", ""},
		"GitHub, for public repositories":    {forgestub.GitHub, forgestub.Rules{Scopes: []string{"public_repo"}}, []string{"the scope repo"}, nil, "", ""},
		"GitHub, a fine-grained token":       {forgestub.GitHub, forgestub.Rules{}, nil, []string{"contents: write", "pull requests: write"}, "", ""},
		"GitHub, a user who reads":           {forgestub.GitHub, forgestub.Rules{Scopes: []string{"repo"}, ReadOnly: true}, []string{"write access to the repository"}, nil, "", ""},
		"GitHub, archived":                   {forgestub.GitHub, forgestub.Rules{Scopes: []string{"repo"}, Archived: true}, nil, nil, "archived", ""},
		"GitLab, a token for the API":        {forgestub.GitLab, forgestub.Rules{Scopes: []string{"api"}, Ends: "2026-12-03"}, nil, nil, "", "2026-12-03"},
		"GitLab, a token that pushes":        {forgestub.GitLab, forgestub.Rules{Scopes: []string{"write_repository"}}, []string{"the scope api"}, nil, "", ""},
		"GitLab, a reporter":                 {forgestub.GitLab, forgestub.Rules{Scopes: []string{"api"}, ReadOnly: true}, []string{"the role Developer"}, nil, "", ""},
		"GitLab, an older server":            {forgestub.GitLab, forgestub.Rules{}, nil, []string{"the scope api"}, "", ""},
		"GitLab, archived":                   {forgestub.GitLab, forgestub.Rules{Scopes: []string{"api"}, Archived: true}, nil, nil, "archived", ""},
		"Gitea, a user who writes":           {forgestub.Gitea, forgestub.Rules{}, nil, []string{"the scope write:repository"}, "", ""},
		"Gitea, a user who reads":            {forgestub.Gitea, forgestub.Rules{ReadOnly: true}, []string{"write access to the repository"}, []string{"the scope write:repository"}, "", ""},
		"Gitea, archived":                    {forgestub.Gitea, forgestub.Rules{Archived: true}, nil, []string{"the scope write:repository"}, "archived", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: tt.kind})
			w.SetRules(tt.rules)
			got, err := w.api.Rights(t.Context())
			if err != nil || !slices.Equal(got.Lacks, tt.lacks) || !slices.Equal(got.Unshown, tt.unshown) ||
				(got.Shut != "") != (tt.shut != "") || !strings.Contains(got.Shut, tt.shut) || got.Needs == "" {
				t.Errorf("they are %+v, %v", got, err)
			}
			if ends := got.Ends; tt.ends == "" && !ends.IsZero() || tt.ends != "" && ends.Format("2006-01-02") != tt.ends {
				t.Errorf("they end %s", ends)
			}
			for _, c := range w.Calls() {
				if !strings.HasPrefix(c, "GET ") {
					t.Errorf("asked %q to find out", c)
				}
			}
		})
	}
}

func TestPermissionsOfAGitHubApp(t *testing.T) {
	for name, tt := range map[string]struct {
		granted       map[string]string
		err           error
		lacks, misses []string
		kind          reconcile.FaultKind
	}{
		"all of them": {granted: map[string]string{"contents": "write", "pull_requests": "write", "issues": "write", "checks": "read",
			"statuses": "read", "administration": "read", "workflows": "write", "metadata": "read"}},
		"contents alone, as Flux wants it": {granted: map[string]string{"contents": "write", "metadata": "read"},
			lacks: []string{"pull requests: write"}, misses: []string{"issues", "checks", "statuses", "administration", "workflows"}},
		"read alone": {granted: map[string]string{"contents": "read", "pull_requests": "read", "issues": "read"},
			lacks: []string{"contents: write", "pull requests: write"}, misses: []string{"issues", "checks", "statuses", "administration", "workflows"}},
		"what it takes": {granted: map[string]string{"contents": "write", "pull_requests": "write", "checks": "write", "statuses": "read"},
			misses: []string{"issues", "administration", "workflows"}},
		"no token comes": {err: reconcile.RefuseAs(reconcile.FaultUnauthorized, "the key is of another App"), kind: reconcile.FaultUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: forgestub.GitHub})
			s := server(w.RepoURL(), forgestub.Token)
			s.Login = func(context.Context) (string, string, error) { return "x-access-token", forgestub.Token, nil }
			s.Permissions = func(context.Context) (map[string]string, error) { return tt.granted, tt.err }
			got, err := w.opened(s).Rights(t.Context())
			if reconcile.KindOf(err) != tt.kind || len(got.Lacks) != len(tt.lacks) || len(got.Misses) != len(tt.misses) || len(got.Unshown) > 0 {
				t.Fatalf("they are %+v, %v", got, err)
			}
			for i, want := range tt.lacks {
				if got.Lacks[i] != "the permission "+want {
					t.Errorf("lacks %q, want %q", got.Lacks[i], want)
				}
			}
			for i, want := range tt.misses {
				if !strings.HasPrefix(got.Misses[i], want+": ") {
					t.Errorf("misses %q, want %q", got.Misses[i], want)
				}
			}
		})
	}
}

func TestARepositoryThatWasRenamed(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		for _, to := range []string{"acme/platform", "other/fleet"} {
			t.Run(to, func(t *testing.T) {
				w := start(t, forgestub.Options{Kind: kind})
				first := w.open()
				w.Rename(to)
				// A process that has known it before, and one that begins.
				for _, api := range []reconcile.Forge{w.api, w.opened(server(w.RepoURL(), forgestub.Token))} {
					pr, err := api.Find(t.Context(), branch, "main")
					if err != nil || pr == nil || pr.Number != first.Number {
						t.Fatalf("found %+v, %v", pr, err)
					}
					if pr, err = api.Open(t.Context(), proposal()); err != nil || pr.Number != first.Number {
						t.Fatalf("opened %+v, %v", pr, err)
					}
				}
				pr := w.read(first.Number)
				if wants, err := w.api.WantsPullRequest(t.Context(), "main"); err != nil || wants == nil || *wants {
					t.Errorf("its rules say %v, %v", wants, err)
				}
				if done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head}); err != nil || done != reconcile.MergingDone {
					t.Errorf("%s, %v", done, err)
				}
			})
		}
	})
}

func TestAPullRequestOfAForkIsNotOurs(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		n := w.Open("Revert v2 of backend", branch, "main")
		w.Change(n, func(pr *forgestub.PR) { pr.Fork = true })
		if pr, err := w.api.Find(t.Context(), branch, "main"); pr != nil || err != nil {
			t.Errorf("found %+v, %v", pr, err)
		}
	})
}

// A server that sends elsewhere gets no credentials there.
func TestARedirectElsewhereGetsNoCredentials(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		pr := w.read(w.open().Number)
		other := start(t, forgestub.Options{Kind: kind})
		var got []string
		other.SetFault(func(_ http.ResponseWriter, r *http.Request) bool {
			got = append(got, r.Header.Get("Authorization")+r.Header.Get("Private-Token"))
			return false
		})
		for _, status := range []int{301, 302, 307, 308} {
			w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
				http.Redirect(rw, r, other.URL+r.URL.Path, status)
				return true
			})
			_, err := w.api.Read(t.Context(), pr.Number)
			if err == nil {
				t.Errorf("HTTP %d was followed", status)
			}
			_, err = w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
			if err == nil {
				t.Errorf("HTTP %d was followed to merge", status)
			}
		}
		if len(got) > 0 {
			t.Errorf("the other host was asked %d times, with %q", len(got), got)
		}
	})
}
