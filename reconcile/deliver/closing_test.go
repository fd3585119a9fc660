package deliver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

// armed is a pull request that the provider merges by itself once it may.
func (w *world) armed(rules forgestub.Rules) *reconcile.PullRequest {
	w.Helper()
	w.SetRules(rules)
	pr := w.read(w.open().Number)
	done, err := w.api.Merge(w.Context(), pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
	if err != nil || done != reconcile.MergingArmed {
		w.Fatalf("%s, %v", done, err)
	}
	return w.read(pr.Number)
}

func TestDisarmed(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		for name, rules := range map[string]forgestub.Rules{
			"auto-merge":               {Checks: []string{"ci"}},
			"a merge queue or a train": {Queue: true},
		} {
			if rules.Queue && kind == forgestub.Gitea {
				continue
			}
			t.Run(name, func(t *testing.T) {
				w := start(t, forgestub.Options{Kind: kind})
				pr := w.armed(rules)
				// The second time there is nothing to revert.
				for range 2 {
					if err := w.api.Disarm(t.Context(), pr); err != nil {
						t.Fatal(err)
					}
				}
				if there := w.PRs()[0]; there.Armed || there.Queued || there.State != "open" {
					t.Errorf("the provider has %+v", there)
				}
				w.SetRules(forgestub.Rules{})
				if err := w.RunQueue(); err != nil || w.main() != "image: reg/backend:v2" {
					t.Errorf("main says %s, %v", w.main(), err)
				}
			})
		}
	})
}

// GitLab says 201 to an order that it did not carry out, and the reason is in the answer.
func TestWhatGitLabDoesNotDisarm(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitLab})
	pr := w.armed(forgestub.Rules{Checks: []string{"ci"}})
	w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/cancel_merge_when_pipeline_succeeds") {
			return false
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusCreated)
		_, _ = rw.Write([]byte(`{"status":"error","http_status":400,"message":"Something went wrong"}`))
		return true
	})
	if err := w.api.Disarm(t.Context(), pr); err == nil || !strings.Contains(err.Error(), "merges it by itself still") {
		t.Errorf("it says %v", err)
	}
}

func TestDisarmedOnAServerWithoutQueues(t *testing.T) {
	w := start(t, forgestub.Options{Kind: forgestub.GitHub})
	pr := w.armed(forgestub.Rules{Checks: []string{"ci"}})
	first := true
	w.SetFault(func(rw http.ResponseWriter, _ *http.Request) bool {
		if !first {
			return false
		}
		first = false
		_, _ = rw.Write([]byte(`{"errors":[{"message":"Field 'isInMergeQueue' doesn't exist on type 'PullRequest'"}]}`))
		return true
	})
	if err := w.api.Disarm(t.Context(), pr); err != nil || w.PRs()[0].Armed {
		t.Errorf("it is %+v, %v", w.PRs()[0], err)
	}
}

func TestClosedWithTheSentence(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		pr := w.armed(forgestub.Rules{Checks: []string{"ci"}})
		if err := w.api.Close(t.Context(), pr, "main says v3 by now, @jane closes #7"); err != nil {
			t.Fatal(err)
		}
		if got := w.read(pr.Number); got.State != v1alpha1.PullRequestClosed {
			t.Errorf("it is %+v", got)
		}
		there := w.PRs()[0]
		if there.Armed || len(there.Comments) != 1 || !strings.Contains(there.Comments[0], "main says v3 by now") ||
			strings.Contains(there.Comments[0], "@jane") || strings.Contains(there.Comments[0], "#7") {
			t.Errorf("the provider has %+v", there)
		}
	})
}

func TestClosedByWhoMayNotComment(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		pr := w.read(w.open().Number)
		w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "comments") && !strings.HasSuffix(r.URL.Path, "notes") {
				return false
			}
			rw.WriteHeader(http.StatusForbidden)
			return true
		})
		if err := w.api.Close(t.Context(), pr, "it is over"); err != nil {
			t.Fatal(err)
		}
		w.SetFault(nil)
		if got := w.read(pr.Number); got.State != v1alpha1.PullRequestClosed {
			t.Errorf("it is %+v", got)
		}
	})
}

func TestClosedByNobodyWithoutTheRight(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		pr := w.read(w.open().Number)
		w.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				return false
			}
			rw.WriteHeader(http.StatusForbidden)
			return true
		})
		w.kindIs(w.api.Close(t.Context(), pr, "it is over"), reconcile.FaultForbidden)
		w.kindIs(w.api.Disarm(t.Context(), pr), reconcile.FaultForbidden)
	})
}
