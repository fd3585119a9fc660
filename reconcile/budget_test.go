package reconcile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A budget counts suspect commits, each once. Whatever the order in which their images come, and however they share
// pushes: as many commits are reverted as the budget allows, and of each of them every image. What people approve
// beside it takes nothing from a commit that was counted before.
func TestTheBudgetCountsEachSuspectOnceWhateverTheOrder(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		budget := Budget{Count: 1 + rnd.IntN(3), Per: time.Hour}
		commits := 1 + rnd.IntN(5)
		var waiting []int
		for commit := range commits {
			for range 1 + rnd.IntN(4) {
				waiting = append(waiting, commit)
			}
		}
		rnd.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
		var trails []TrailerCommit
		var reverted []string
		begun := map[string]bool{}
		people := seed%2 == 1
		for n := 0; len(waiting) > 0; n++ {
			// One push takes some of them.
			some := 1 + rnd.IntN(len(waiting))
			push, shared := TrailerCommit{Commit: fmt.Sprint("push", n), Kind: TrailerRevert, When: t0}, &batch{}
			for i, commit := range waiting[:some] {
				by := "policy develop/web"
				if people && rnd.IntN(3) == 0 {
					by = "jane"
				}
				w := aWorld(approved(by), func(w *World) {
					w.Rollback.UID = types.UID(fmt.Sprint(n, i))
					w.Rollback.Spec.Subject = v1alpha1.ImageSubject(fmt.Sprintf("reg/app%d-%d-%d:v2", commit, n, i))
					w.Rollback.Status.Suspect.Commit = fmt.Sprint("bad", commit)
					w.Rollback.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: w.Rollback.Spec.Subject.Name}}}
					w.Branch.Commits, w.Branch.Tip = trails, fmt.Sprint("tip", n)
				})
				c := restraint{rb: &w.Rollback, self: "a/develop/" + w.Rollback.Spec.Subject.Name, now: t0, budget: budget, cooldown: time.Minute, batch: shared}
				if err := c.permit(*w.Branch); err != nil {
					if begun[w.Rollback.Status.Suspect.Commit] {
						t.Errorf("seed %d: another image of %s was reverted before: %v", seed, w.Rollback.Status.Suspect.Commit, err)
					}
					continue
				}
				begun[w.Rollback.Status.Suspect.Commit] = true
				push.Reverts = append(push.Reverts, w.Rollback.Status.Suspect.Commit)
				push.Images = append(push.Images, w.Rollback.Spec.Subject.Name)
			}
			waiting = waiting[some:]
			if len(push.Reverts) > 0 {
				trails = append(trails, push)
				reverted = append(reverted, push.Reverts...)
			}
		}
		slices.Sort(reverted)
		reverted = slices.Compact(reverted)
		if want := min(budget.Count, commits); !people && len(reverted) != want {
			t.Errorf("seed %d: %d commits were reverted by %s, want %d", seed, len(reverted), budget, want)
		}
	}
}
