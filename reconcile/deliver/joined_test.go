package deliver_test

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/forgestub"
)

// joins is what two reverts tell together, of which the first had the pull request alone.
func joins() (alone, together reconcile.Proposal) {
	alone = proposal()
	alone.Story.Changes = []reconcile.StoryChange{{File: "backend.yaml", From: "v2", To: "v1"}}
	alone.Story.Workloads = []string{"Deployment/backend"}
	alone.Story.Failures = []reconcile.StoryFailure{{Workload: "Deployment/backend", Cause: "NotFound", Message: "manifest unknown"}}
	together = alone
	together.Before = []string{alone.Story.Message}
	together.Story.Message = "Revert v2 of backend and frontend\n\nBackstop-Kind: Revert\nBackstop-Image: reg/frontend:v2\n"
	together.Story.Changes = append(together.Story.Changes, reconcile.StoryChange{File: "frontend.yaml", From: "v2", To: "v1"})
	together.Story.Workloads = append(together.Story.Workloads, "Deployment/frontend")
	together.Story.Failures = append(together.Story.Failures, reconcile.StoryFailure{Workload: "Deployment/frontend", Cause: "NotFound", Message: "@jane closes #7"})
	return alone, together
}

func TestTitleAndBodyTellOfWhatJoins(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		w := start(t, forgestub.Options{Kind: kind})
		alone, together := joins()
		pr, err := w.api.Open(t.Context(), alone)
		if err != nil {
			t.Fatal(err)
		}
		writes := len(w.Calls())
		if err := w.api.Update(t.Context(), pr, alone); err != nil || len(w.Calls()) != writes {
			t.Errorf("nothing is new, and it asked %q, %v", w.Calls()[writes:], err)
		}
		w.Change(pr.Number, func(pr *forgestub.PR) {
			pr.Body = strings.Replace(pr.Body, "**Merging**", "Jane was here.\n\n**Merging**", 1)
		})
		if err := w.api.Update(t.Context(), w.read(pr.Number), together); err != nil {
			t.Fatal(err)
		}
		there := w.PRs()[0]
		for _, want := range []string{"`backend.yaml`: `v2` becomes `v1`\n- `frontend.yaml`: `v2` becomes `v1`", "- `Deployment/frontend`",
			"Jane was here.", "manifest unknown", "`Deployment/frontend`: `NotFound`", "Backstop-Image: reg/frontend:v2"} {
			if !strings.Contains(there.Body, want) {
				t.Errorf("the body does not say %q:\n%s", want, there.Body)
			}
		}
		if there.Title != "Revert v2 of backend and frontend" || strings.Contains(there.Body, "@jane") || strings.Contains(there.Body, "#7") {
			t.Errorf("it is %q:\n%s", there.Title, there.Body)
		}
		again := w.read(pr.Number)
		writes = len(w.Calls())
		if err := w.api.Update(t.Context(), again, together); err != nil || len(w.Calls()) != writes {
			t.Errorf("it wrote the same again: %q, %v", w.Calls()[writes:], err)
		}
		// A title that a person wrote stays.
		w.Change(pr.Number, func(pr *forgestub.PR) { pr.Title = "Please review" })
		together.Story.Workloads = append(together.Story.Workloads, "Deployment/api")
		if err := w.api.Update(t.Context(), w.read(pr.Number), together); err != nil || w.PRs()[0].Title != "Please review" ||
			!strings.Contains(w.PRs()[0].Body, "`Deployment/api`") {
			t.Errorf("it is %+v, %v", w.PRs()[0], err)
		}
	})
}
