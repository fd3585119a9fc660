package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Two deployed branches of one repository may have the same suspect.
func TestAnotherDeployedBranchHasAPullRequestOfItsOwn(t *testing.T) {
	for name, tt := range map[string]struct {
		there *PullRequest
		own   bool
	}{
		"of another branch":             {&PullRequest{Number: 9, State: v1alpha1.PullRequestOpen, Base: "release/staging"}, true},
		"of another branch, and closed": {&PullRequest{Number: 9, State: v1alpha1.PullRequestClosed, Base: "release/staging"}, false},
		"none":                          {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
			p.beside = tt.there
			p.goOn(t, e, time.Minute)
			s := &p.record().Status
			want := ProposedBranch(s.Suspect.Commit)
			if tt.own {
				want = ProposedBranchTo(s.Suspect.Commit, s.Suspect.Branch)
			}
			if p.opened != 1 || s.PullRequest.Branch != want {
				t.Errorf("opened %d, from %+v, want %s\n%s", p.opened, s.PullRequest, want, p.story())
			}
		})
	}
	if got := ProposedBranchTo("0123456789abcdef", "release/1.2_x/"); got != "backstop/revert-0123456789ab-release-1-2-x" {
		t.Errorf("it is called %s", got)
	}
}

// Rules of a server may refuse the pull request's branch too: its name, a message, who commits.
func TestTheBranchOfAPullRequestIsRefusedToo(t *testing.T) {
	for name, delivery := range map[string]v1alpha1.Delivery{
		"the policy wants it":  v1alpha1.DeliveryPullRequest,
		"the push was refused": v1alpha1.DeliveryAuto,
	} {
		t.Run(name, func(t *testing.T) {
			p, e := byPullRequest(delivery, v1alpha1.ModeAuto)
			const words = "Branch name does not follow the pattern '^(feature|fix)/'"
			p.unproposed = RefuseAs(FaultDeclined, "push backstop/revert-0123: the server refuses it: %s", words)
			p.goOn(t, e, 5*time.Minute)
			s := &p.record().Status
			if p.opened != 0 || s.Outcome == nil || !strings.Contains(s.Outcome.Message, words) {
				t.Errorf("opened %d, and it ends %+v\n%s", p.opened, s.Outcome, p.story())
			}
		})
	}
}

// besides has open records beside those of the model.
type besides struct {
	*proposals
	open []v1alpha1.Rollback
}

func (o besides) Open(context.Context) ([]v1alpha1.Rollback, error) { return o.open, nil }

// What one policy pushes takes nothing along that another policy has delivered by pull request, and the other way
// round.
func TestASiblingOfAnotherDeliveryGoesItsOwnWay(t *testing.T) {
	for name, tt := range map[string]struct {
		delivery, other v1alpha1.Delivery
		want            int
	}{
		"pushed, and the sibling is pushed":                 {v1alpha1.DeliveryPush, v1alpha1.DeliveryPullRequest, 1},
		"pushed, and the sibling goes by pull request":      {v1alpha1.DeliveryPullRequest, v1alpha1.DeliveryPullRequest, 0},
		"pushed, and the sibling goes either way":           {v1alpha1.DeliveryAuto, v1alpha1.DeliveryPullRequest, 1},
		"a pull request, and the sibling is pushed":         {v1alpha1.DeliveryPush, v1alpha1.DeliveryPush, 0},
		"a pull request, and the sibling goes by one too":   {v1alpha1.DeliveryPullRequest, v1alpha1.DeliveryPush, 1},
		"a pull request, and the sibling may go either way": {v1alpha1.DeliveryAuto, v1alpha1.DeliveryPush, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
			p.goOn(t, e, 10*time.Second)
			rb := p.record()
			if rb == nil || rb.Status.Target == nil {
				t.Fatalf("it is no further than\n%s", p.story())
			}
			sibling := rb.DeepCopy()
			sibling.Name, sibling.Spec.Subject.Name = "another", "reg.local/another:v2"
			sibling.Status.Verdict, sibling.Status.Change = &v1alpha1.Verdict{Answer: v1alpha1.Approve}, nil
			sibling.Status.Target.At = v1alpha1.NewTime(p.now)
			p.spec.Delivery = tt.delivery
			e.Records = besides{p, []v1alpha1.Rollback{*sibling}}
			w := &World{Rollback: *rb, Now: p.now}
			origin, err := e.Flux.Reopen(t.Context(), rb.Namespace, *rb.Status.Suspect, nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.siblings(t.Context(), w, origin.Source, &batch{}, tt.other)
			if err != nil || len(got) != tt.want {
				t.Errorf("%d go along, %v; want %d", len(got), err, tt.want)
			}
		})
	}
}
