package integration

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// Restraint: Git is left as it is where the policy, or what Backstop did a short time ago, says so.

// amend changes a policy.
func (w *World) amend(p *v1alpha1.RollbackPolicy, change func(*v1alpha1.RollbackPolicy)) {
	w.t.Helper()
	was := Object(w, p).DeepCopy()
	change(p)
	w.must(w.Client.Patch(w.t.Context(), p, client.MergeFrom(was)))
}

// named is a change of a policy.
func named(name string) func(*v1alpha1.RollbackPolicy) {
	return func(p *v1alpha1.RollbackPolicy) { p.Name = name }
}

// prefix is what a hold puts before a marker.
var prefix = regexp.MustCompile(`# backstop:hold [^{]*\{`)

func TestTooOld(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Triggers[0].GracePeriod = &metav1.Duration{Duration: 3 * time.Second}
		p.Spec.Triggers[0].MaxAge = &metav1.Duration{Duration: 2 * time.Second}
	})
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultReportedOnly, fmt.Sprintf("%s came in with %.12s (main): the change is ", bad, tip), "s old and maxAge is 2s")
	if strings.Contains(r.Status.Outcome.Message, "is 0s old") {
		t.Errorf("the age is rounded away: %s", r.Status.Outcome.Message)
	}
	w.unmoved(prod, tip)
}

func TestCooldown(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	policy := w.auto(prod)
	w.Settle()
	first := w.publishBad("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	before := w.ends(prod, first, v1alpha1.ResultVerified)

	// A second bad image, which does not lift the hold; a person does.
	second := w.publishBad("backend", fleet.Tag(prod, 2))
	w.selected(prod, "backend", fleet.Tag(prod, 2))
	_, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "backend"), "Lift", func(text string) string { return prefix.ReplaceAllString(text, "# {") })
	w.must(err)
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 2))
	w.waits(prod, second, "a person decides by", fmt.Sprintf("cooldown: Deployment/backend was reverted by %.12s, the next revert may come at ", before.Status.Change.Commit))
	w.unmoved(prod, tip)

	// The cooldown ends in a moment: nobody wakes the Rollback then.
	over := time.Now().Add(4 * time.Second)
	w.amend(policy, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Cooldown.Duration = over.Sub(before.Status.Change.At.Time).Round(time.Second)
	})
	after := w.ends(prod, second, v1alpha1.ResultVerified)
	if at := after.Status.Change.At.Time; at.Before(over.Add(-2 * time.Second)) {
		t.Errorf("reverted at %s, the cooldown was over at %s", at, over)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if n := w.reverts(); n != 2 {
		t.Errorf("%d reverts, want 2", n)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	s := startSidecar(t, w, "--budget=1/1h")
	w.auto(prod)
	w.Settle()
	first := w.publishBad("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.ends(prod, first, v1alpha1.ResultVerified)
	second := w.publishBad("frontend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "frontend", fleet.Tag(prod, 1))
	w.waits(prod, second, "a person decides by", "budget: 1 suspect commit was reverted on main in the last 1h, and --budget=1/1h allows no more before ")
	w.unmoved(prod, tip)

	// The branch remembers what the sidecar spent, not the sidecar.
	s.Stop(10 * time.Second)
	s = startSidecar(t, w, "--budget=1/2h")
	w.waits(prod, second, "budget: ", "in the last 2h")
	w.unmoved(prod, tip)
	s.Stop(10 * time.Second)
	startSidecar(t, w, "--budget=2/1h")
	w.ends(prod, second, v1alpha1.ResultVerified)
	w.runs(prod, "frontend", fleet.Tag(prod, 0))
}

func TestNoPolicy(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, func(p *v1alpha1.RollbackPolicy) { p.Spec.Selector.MatchLabels = map[string]string{"tier": "db"} })
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.until(prod, bad, "waits", func(s *v1alpha1.RollbackStatus) bool { return len(s.Failures) > 0 })
	if r.Status.Verdict != nil {
		t.Errorf("a verdict without a policy: %+v", r.Status.Verdict)
	}
	// Without a policy the grace period is the default's.
	r = w.ends(prod, bad, v1alpha1.ResultReportedOnly, fmt.Sprintf("%s came in with %.12s (main): no RollbackPolicy selects the workload", bad, tip))
	if since := r.Status.Outcome.At.Sub(r.Status.Failures[0].Since.Time); since < 30*time.Second {
		t.Errorf("told after %s, within the grace period", since)
	}
	w.unmoved(prod, tip)
}

func TestSuspended(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	policy := w.auto(prod, mode(v1alpha1.ModeApprove))
	w.Settle()
	// While a person is asked, the policy is suspended: nobody can let it be reverted, until it is resumed.
	first := w.publishBad("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.waits(prod, first, "a person decides by")
	w.amend(policy, func(p *v1alpha1.RollbackPolicy) { p.Spec.Suspend, p.Spec.Triggers[0].Mode = true, v1alpha1.ModeAuto })
	r := w.waits(prod, first, "nothing is asked and nothing pushed: policy "+policy.Namespace+"/apps is suspended")
	if r.Status.Question != nil || r.Status.Waiting.Barred != v1alpha1.BarSuspended {
		t.Errorf("asked %+v, waiting %+v", r.Status.Question, r.Status.Waiting)
	}
	// And what fails from then on is told.
	second := w.publishBad("frontend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "frontend", fleet.Tag(prod, 1))
	w.ends(prod, second, v1alpha1.ResultReportedOnly, "policy "+policy.Namespace+"/apps is suspended")
	w.unmoved(prod, tip)
	w.policySays(policy, metav1.ConditionTrue, "suspended: failures of 2 workloads are only told")
	w.amend(policy, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Suspend, p.Spec.Triggers[0].Mode = false, v1alpha1.ModeApprove
	})
	if r = w.waits(prod, first, "a person decides by"); r.Status.Question == nil || r.Status.Waiting.Barred != "" {
		t.Errorf("asked %+v, waiting %+v", r.Status.Question, r.Status.Waiting)
	}
	w.unmoved(prod, tip)
}

func TestTwoPoliciesOnOneWorkload(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	loose := w.auto(prod, named("loose"))
	strict := w.auto(prod, named("strict"), mode(v1alpha1.ModeApprove), func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Selector.MatchLabels = map[string]string{"tier": "web"}
	})
	w.Settle()
	ns := loose.Namespace
	w.policySays(loose, metav1.ConditionTrue, "selects 2 workloads; some are also selected by "+ns+"/strict ("+ns+"/Deployment/", "the stricter value of each field counts")
	w.policySays(strict, metav1.ConditionTrue, "some are also selected by "+ns+"/loose")
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.waits(prod, bad, "a person decides by", fmt.Sprintf("the policy asks for an approval (of the policies %[1]s/loose and %[1]s/strict the stricter counts)", ns))
	w.unmoved(prod, tip)
	// Without the strict one the other decides.
	w.must(w.Client.Delete(t.Context(), strict))
	r := w.ends(prod, bad, v1alpha1.ResultVerified)
	if want := "policy " + ns + "/loose"; r.Status.Verdict.By != want {
		t.Errorf("decided by %q, want %q", r.Status.Verdict.By, want)
	}
	w.policySays(loose, metav1.ConditionTrue, "selects 2 workloads")
}

// policySays waits until the Ready condition of a policy says all of this.
func (w *World) policySays(p *v1alpha1.RollbackPolicy, status metav1.ConditionStatus, says ...string) {
	w.t.Helper()
	w.Until("the policy "+p.Name+" says "+strings.Join(says, ", "), func() error {
		for _, c := range Object(w, p).Status.Conditions {
			missing := c.Type != "Ready" || c.Status != status
			for _, words := range says {
				missing = missing || !strings.Contains(c.Message, words)
			}
			if !missing {
				return nil
			}
		}
		return fmt.Errorf("conditions %+v", p.Status.Conditions)
	})
}

func TestControllerCeiling(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w, "--max-mode=Approve", "--max-authors=Automation")
	w.auto(prod, anyone)
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.waits(prod, bad, "a person decides by", "the policy asks for an approval (the controller's --max-mode is Approve)")
	// What a person wrote is not even asked about.
	typo := w.Fleet.Image("frontend", "typo")
	tip, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "frontend"), "Typo", func(text string) string {
		return strings.ReplaceAll(text, w.Fleet.Image("frontend", fleet.Tag(prod, 0))+" "+w.Fleet.Marker(prod, "frontend", ""), typo)
	})
	w.must(err)
	w.ends(prod, typo, v1alpha1.ResultReportedOnly, fmt.Sprintf("%s came in with %.12s (main): the change is not image automation's", typo, tip),
		"the controller's --max-authors is Automation")
	w.unmoved(prod, tip)
}
