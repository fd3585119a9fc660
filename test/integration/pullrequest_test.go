package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/forgestub"
)

// proposed waits for the pull request of an image that waits for people.
func (w *World) proposed(image string) *v1alpha1.Rollback {
	w.t.Helper()
	return w.until(prod, image, "waits for its pull request", func(s *v1alpha1.RollbackStatus) bool {
		return s.PullRequest != nil && s.PullRequest.Number > 0 && s.Waiting != nil &&
			strings.Contains(s.Waiting.Why, "takes no push: pull request ")
	})
}

func TestPullRequestWhereTheBranchTakesNoPush(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Forge = &forgestub.Options{Kind: forgestub.Gitea, Protected: true, ButAutomation: true}
	})
	s := startSidecar(t, w)
	w.auto(prod, func(p *v1alpha1.RollbackPolicy) { p.Spec.Delivery = v1alpha1.DeliveryAuto })
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.proposed(bad)
	pr := r.Status.PullRequest
	there := w.Forge.PRs()
	if len(there) != 1 || there[0].Branch != reconcile.ProposedBranch(suspect) || pr.Branch != there[0].Branch ||
		!strings.HasSuffix(pr.URL, "/pulls/1") || !strings.Contains(pr.Because, "Not allowed to push to protected branch main") {
		t.Fatalf("the record has %+v, the provider %+v", pr, there)
	}
	for _, want := range []string{bad, "This reverts commit " + suspect + ".", w.Fleet.Namespace(prod) + ":backend", "Deployment/backend"} {
		if !strings.Contains(there[0].Body, want) {
			t.Errorf("the body does not say %q:\n%s", want, there[0].Body)
		}
	}
	if r.Status.Change != nil || w.Tip() != suspect {
		t.Errorf("something landed: %+v", r.Status.Change)
	}

	// A person who closes one says no.
	other := w.publishBad("frontend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "frontend", fleet.Tag(prod, 1))
	no := w.proposed(other)
	w.Forge.CloseAs(no.Status.PullRequest.Number, "jane")
	w.ends(prod, other, v1alpha1.ResultRejected, "was closed without a merge", no.Status.PullRequest.URL)

	// A new process finds the one that is open, and a squash leaves nothing of its commits.
	s.Kill()
	startSidecar(t, w)
	w.must(w.Forge.MergeAs(pr.Number, "jane", "squash"))
	r = w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+w.Fleet.Image("backend", fleet.Tag(prod, 0)))
	if got := r.Status.PullRequest; got.State != v1alpha1.PullRequestMerged || got.By != "jane" || len(w.Forge.PRs()) != 2 {
		t.Errorf("the record has %+v, and the provider %d", got, len(w.Forge.PRs()))
	}
	if r.Status.Change.Commit != w.Tip() || r.Status.Change.Hold == "" || !w.isHeld("backend", fleet.Tag(prod, 1)) {
		t.Errorf("the change is %+v, and the branch says\n%s", r.Status.Change, w.File(w.Fleet.File(prod, "backend")))
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	w.noSecretIn("the Rollbacks", fmt.Sprint(r.Status, no.Status), []string{forgestub.Token})
}
