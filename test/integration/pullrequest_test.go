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
			strings.HasPrefix(s.Waiting.Why, fmt.Sprintf("pull request %d waits for ", s.PullRequest.Number))
	})
}

func TestPullRequestWhereTheBranchTakesNoPush(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Forge = &forgestub.Options{Kind: forgestub.Gitea, Protected: true, ButAutomation: true}
	})
	// Without a review nobody merges, Backstop neither.
	w.Forge.SetRules(forgestub.Rules{Approvals: 1})
	s := startSidecar(t, w)
	policy := w.auto(prod, func(p *v1alpha1.RollbackPolicy) { p.Spec.Delivery = v1alpha1.DeliveryAuto })
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

	// Where the policy wants one it is there before the answer, and an answer merges it once the provider lets it.
	change(w, policy, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Delivery, p.Spec.Triggers[0].Mode = v1alpha1.DeliveryPullRequest, v1alpha1.ModeApprove
	})
	third := w.publishBad("frontend", fleet.Tag(prod, 2))
	w.wroteBack(prod, "frontend", fleet.Tag(prod, 2))
	asked := w.until(prod, third, "asks, with a pull request", func(s *v1alpha1.RollbackStatus) bool {
		return s.PullRequest.IsOpen() && s.Verdict == nil && s.Question.Allows(v1alpha1.Approve)
	})
	w.Forge.Approve(asked.Status.PullRequest.Number)
	w.answers(prod, third, v1alpha1.Approve)
	r = w.ends(prod, third, v1alpha1.ResultVerified, "runs "+w.Fleet.Image("frontend", fleet.Tag(prod, 0)))
	if got := r.Status.PullRequest; got.State != v1alpha1.PullRequestMerged || got.By != forgestub.Bot || r.Status.Verdict.By != admin {
		t.Errorf("the record has %+v and %+v", got, r.Status.Verdict)
	}
	w.noSecretIn("the Rollbacks", fmt.Sprint(r.Status, no.Status), []string{forgestub.Token})
}
