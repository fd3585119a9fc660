package deliver_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

func TestGitHubMergeQueue(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	// A repository with a queue need not allow auto-merge.
	for name, rules := range map[string]forgestub.Rules{
		"that is clean":              {Queue: true},
		"that waits, no auto-merge":  {Queue: true, NoAutoMerge: true, Approvals: 1},
		"that waits, and auto-merge": {Queue: true, Approvals: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: forgestub.GitHub})
			w.SetRules(rules)
			pr := w.read(w.open().Number)
			done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
			if err != nil || done != reconcile.MergingArmed {
				t.Fatalf("%s, %v", done, err)
			}
			if there := w.PRs()[0]; !there.Queued && !there.Armed {
				t.Errorf("the provider has %+v", there)
			}
		})
	}
	w.SetRules(forgestub.Rules{Queue: true})
	pr := w.read(w.open().Number)
	if _, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head}); err != nil {
		t.Fatal(err)
	}
	if err := w.RunQueue(); err != nil {
		t.Fatal(err)
	}
	if got := w.read(pr.Number); got.State != v1alpha1.PullRequestMerged || w.main() != "image: reg/backend:v1" {
		t.Errorf("it is %+v, and main says %s", got, w.main())
	}
}

func TestGitHubCleanStatus(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	w.SetRules(forgestub.Rules{Checks: []string{"ci"}})
	pr := w.read(w.open().Number)
	// The last check passed since it was looked at: auto-merge is refused, and there is nothing left to wait for.
	w.SetRules(forgestub.Rules{})
	done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
	if err != nil || done != reconcile.MergingDone {
		t.Errorf("%s, %v", done, err)
	}
}

func TestGitHubWithoutAutoMerge(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	w.SetRules(forgestub.Rules{Checks: []string{"ci"}, NoAutoMerge: true})
	pr := w.read(w.open().Number)
	_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
	w.kindIs(err, reconcile.FaultNotYet, "allow auto-merge in its settings")
}

func TestGitHubTakesTheWayThatIsAllowed(t *testing.T) {
	for name, tt := range map[string]struct {
		rules forgestub.Rules
		tries int
		fails string
	}{
		"the repository's settings":                     {forgestub.Rules{Methods: []string{"rebase"}}, 1, ""},
		"a ruleset of the branch":                       {forgestub.Rules{Ways: []string{"squash"}}, 1, ""},
		"a linear history, which is shown to nobody":    {forgestub.Rules{Linear: true}, 2, ""},
		"a linear history, and no squash":               {forgestub.Rules{Linear: true, Methods: []string{"merge", "rebase"}}, 2, ""},
		"settings and a ruleset that leave nothing":     {forgestub.Rules{Methods: []string{"merge"}, Ways: []string{"squash"}}, 1, "Merge commits are not allowed"},
		"settings and a linear history: nothing either": {forgestub.Rules{Methods: []string{"merge"}, Linear: true}, 1, "must not contain merge commits"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, forgestub.Options{Kind: forgestub.GitHub})
			w.SetRules(tt.rules)
			pr := w.read(w.open().Number)
			calls := len(w.Calls())
			done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
			if tt.fails != "" {
				w.kindIs(err, reconcile.FaultNever, tt.fails)
			} else if err != nil || done != reconcile.MergingDone {
				t.Errorf("%s, %v", done, err)
			}
			tries := slices.DeleteFunc(w.Calls()[calls:], func(c string) bool { return !strings.HasPrefix(c, "PUT ") })
			if len(tries) != tt.tries {
				t.Errorf("it was tried %q, want %d times", tries, tt.tries)
			}
			// What only waits is armed in the same way.
			w = start(t, forgestub.Options{Kind: forgestub.GitHub})
			tt.rules.Checks = []string{"ci"}
			w.SetRules(tt.rules)
			pr = w.read(w.open().Number)
			done, err = w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
			if tt.fails != "" {
				w.kindIs(err, reconcile.FaultNotYet, "are not allowed on this repository")
			} else if err != nil || done != reconcile.MergingArmed {
				t.Errorf("armed: %s, %v", done, err)
			}
		})
	}
}

func TestGitHubHasNothingToMerge(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	if _, err := w.Git("update-ref", "refs/heads/"+branch, "refs/heads/main"); err != nil {
		t.Fatal(err)
	}
	_, err := w.api.Open(t.Context(), proposal())
	w.kindIs(err, reconcile.FaultNever, "brings nothing")
}

func TestGitLabNoPipeline(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitLab})
	w.SetRules(forgestub.Rules{Approvals: 1})
	pr := w.read(w.open().Number)
	// Without a pipeline there is nothing that auto-merge could wait for.
	_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
	w.kindIs(err, reconcile.FaultNotYet)
	w.Approve(pr.Number)
	pr = w.read(pr.Number)
	done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
	if err != nil || done != reconcile.MergingDone {
		t.Errorf("%s, %v", done, err)
	}
}

func TestGitLabMergeTrain(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitLab})
	w.SetRules(forgestub.Rules{Queue: true})
	pr := w.read(w.open().Number)
	done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
	if there := w.PRs()[0]; err != nil || done != reconcile.MergingArmed || !there.Queued || there.ArmedHead != pr.Head {
		t.Fatalf("%s, %v, %+v", done, err, there)
	}
	if err := w.RunQueue(); err != nil {
		t.Fatal(err)
	}
	if got := w.read(pr.Number); got.State != v1alpha1.PullRequestMerged {
		t.Errorf("it is %+v", got)
	}
}

func TestGitLabSaysThatABranchIsGone(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitLab})
	pr := w.read(w.open().Number)
	if _, err := w.Git("update-ref", "-d", "refs/heads/"+branch); err != nil {
		t.Fatal(err)
	}
	gone := w.read(pr.Number)
	if gone.State != v1alpha1.PullRequestOpen || gone.Head != "" || gone.Merge != reconcile.MergeWaits {
		t.Errorf("it is %+v", gone)
	}
	// What is pushed again is looked at anew.
	head := w.commit(branch, "Revert v2 of backend", "image: reg/backend:v1\n")
	if again := w.read(pr.Number); again.Head != head || again.Merge != reconcile.MergeClean {
		t.Errorf("it is %+v", again)
	}
}

func TestGitLabProjectByID(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitLab, Project: "acme/ops/deep/fleet"})
	pr := w.open()
	calls := len(w.Calls())
	w.read(pr.Number)
	for _, c := range w.Calls()[calls:] {
		if !strings.Contains(c, "projects/42/") {
			t.Errorf("asked %q, which another path would break", c)
		}
	}
}

func TestGiteaWhitelist(t *testing.T) {
	// A user who is on no list may not merge, which a later try does not change.
	w := start(t, forgestub.Options{Kind: forgestub.Gitea})
	pr := w.read(w.open().Number)
	w.SetRules(forgestub.Rules{Refuses: http.StatusMethodNotAllowed, RefusesWords: "User not allowed to merge PR"})
	for _, arm := range []bool{false, true} {
		_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: arm})
		w.kindIs(err, reconcile.FaultForbidden, "not allowed to merge")
	}
}

func TestGiteaHasMoreThanOnePage(t *testing.T) {
	// The stub's pages have two entries, whatever is asked for.
	w := start(t, forgestub.Options{Kind: forgestub.Gitea})
	w.SetLabels("bug", "help wanted", "question", "backstop")
	w.SetRules(forgestub.Rules{Passed: 31, Checks: []string{"e2e"}})
	pr := w.read(w.open().Number)
	want := []v1alpha1.PullRequestWait{{Kind: v1alpha1.WaitsForCheck, Name: "e2e"}}
	if pr.Merge != reconcile.MergeWaits || !slices.Equal(pr.Waits, want) {
		t.Errorf("it is %s, and waits for %+v", pr.Merge, pr.Waits)
	}
	if there := w.PRs()[0]; !slices.Equal(there.Labels, []string{"backstop"}) {
		t.Errorf("its labels are %q", there.Labels)
	}
	w.SetRules(forgestub.Rules{Passed: 30})
	if pr := w.read(1); pr.Merge != reconcile.MergeClean {
		t.Errorf("it is %s, and waits for %+v", pr.Merge, pr.Waits)
	}
}

// A server learns of a branch a moment after the push.
func TestABranchThatTheProviderLearnsOfLater(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		w.SetRules(forgestub.Rules{Unlearned: 2})
		if pr := w.open(); pr.Number != 1 {
			t.Errorf("opened %+v", pr)
		}
		// One that is not there at all is waited for no longer than that, and looked for again later.
		_, err := w.api.Open(t.Context(), reconcile.Proposal{Branch: "backstop/revert-gone", Base: "main", Story: proposal().Story})
		if err == nil || !reconcile.KindOf(err).Heals() {
			t.Errorf("it is of the kind %q: %v", reconcile.KindOf(err), err)
		}
	})
}

func TestGiteaWaitsForWhatTheBranchWants(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.Gitea})
	w.SetRules(forgestub.Rules{Approvals: 1})
	pr := w.read(w.open().Number)
	// The pull request itself does not show it.
	_, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
	w.kindIs(err, reconcile.FaultNotYet, "enough approvals")
	done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
	if err != nil || done != reconcile.MergingArmed {
		t.Fatalf("%s, %v", done, err)
	}
	w.Approve(pr.Number)
	if got := w.read(pr.Number); got.State != v1alpha1.PullRequestMerged {
		t.Errorf("it is %+v", got)
	}
}

func TestWhatTheRulesOfABranchSay(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		for protected, want := range map[bool]bool{true: true, false: false} {
			w := start(t, forgestub.Options{Kind: kind, Protected: protected})
			got, err := w.api.WantsPullRequest(t.Context(), "main")
			if err != nil || got == nil || *got != want {
				t.Errorf("protected %v: %v, %v", protected, got, err)
			}
		}
		w := start(t, forgestub.Options{Kind: kind})
		_, err := w.opened(server(w.RepoURL(), "another-token")).WantsPullRequest(t.Context(), "main")
		w.kindIs(err, reconcile.FaultUnauthorized)
	})
}

func TestGitHubShowsAClassicRuleToAdministratorsAlone(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/rules/") {
			_, _ = rw.Write([]byte(`[]`))
			return true
		}
		_, _ = rw.Write([]byte(`{"name":"main","protected":true}`))
		return true
	})
	if got, err := w.api.WantsPullRequest(t.Context(), "main"); got != nil || err != nil {
		t.Errorf("it says %v, %v", got, err)
	}
}
