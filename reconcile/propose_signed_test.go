package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

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
