package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A branch that wants signed commits gets a pull request where the provider signs what is on its branch, and a person
// reads the server's words elsewhere.
func TestABranchThatWantsSignedCommits(t *testing.T) {
	for name, tt := range map[string]struct {
		delivery v1alpha1.Delivery
		signs    bool
		want     int
	}{
		"a GitHub App":                    {v1alpha1.DeliveryAuto, true, 1},
		"a GitHub App, and delivery Push": {v1alpha1.DeliveryPush, true, 0},
		"a token":                         {v1alpha1.DeliveryAuto, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := byPullRequest(tt.delivery, v1alpha1.ModeAuto)
			p.signs = tt.signs
			p.refuses = RefuseAs(FaultWantsSignature, "push main: the server refuses it: Commits must have verified signatures.")
			p.goOn(t, e, 2*time.Minute)
			s := &p.record().Status
			if p.opened != tt.want {
				t.Fatalf("opened %d, want %d\n%s", p.opened, tt.want, p.story())
			}
			switch {
			case tt.want == 0 && (s.Outcome == nil || !strings.Contains(s.Outcome.Message, "must have verified signatures")):
				t.Errorf("it ends %+v\n%s", s.Outcome, p.story())
			case tt.want == 1 && (!strings.HasPrefix(p.head, "signed ") || !strings.Contains(s.PullRequest.Because, "verified signatures")):
				t.Errorf("it has %s, and the record %+v", p.head, s.PullRequest)
			}
		})
	}
}

// A signature that did not come for a moment is waited for.
func TestAProviderThatIsAwaySignsLater(t *testing.T) {
	p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
	p.signs, p.unsigned = true, errCrash
	p.goOn(t, e, time.Minute)
	if p.opened != 0 {
		t.Fatalf("opened without a signature\n%s", p.story())
	}
	p.unsigned = nil
	p.goOn(t, e, 3*time.Minute)
	if p.opened != 1 || !strings.HasPrefix(p.head, "signed ") {
		t.Errorf("opened %d, with %s\n%s", p.opened, p.head, p.story())
	}
}

func TestWhatTheProviderSignsIsMerged(t *testing.T) {
	for name, unsigned := range map[string]error{"signed": nil, "not signed, which nobody asks for": RefuseAs(FaultNever, "it does not sign")} {
		t.Run(name, func(t *testing.T) {
			p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
			p.signs, p.unsigned = true, unsigned
			p.goOn(t, e, time.Minute)
			if pr := p.record().Status.PullRequest; pr == nil || !pr.Own || pr.Head != p.head || strings.HasPrefix(p.head, "signed ") != (unsigned == nil) {
				t.Fatalf("it is %+v\n%s", pr, p.story())
			}
			p.pr.Merge = MergeClean
			p.goOn(t, e, time.Minute)
			if p.merges != 1 {
				t.Errorf("merged %d times\n%s", p.merges, p.story())
			}
		})
	}
}
