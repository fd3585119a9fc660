package watcher

import (
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

func TestWhatIsNotTheImagesFaultIsSaidAndBlamesNoImage(t *testing.T) {
	judged := func(fault v1alpha1.Fault, complete bool) *observed {
		return &observed{
			facts: trigger.Facts{New: &trigger.Revision{Name: "web-7f9c"}},
			judged: []trigger.Judgement{{Container: "web", Image: "app:2", Cause: v1alpha1.CauseCrashed, Fault: fault, Complete: complete,
				Evidence: v1alpha1.Rollout{Doubts: []v1alpha1.RolloutDoubt{{Message: "more than images changed: Env MODE of container web"}}}}},
		}
	}
	const said = "container web of revision web-7f9c fails, and nothing is reverted, since it does not look like its image's fault: " +
		"crashes; more than images changed: Env MODE of container web"
	for name, c := range map[string]struct {
		seen *observed
		says string
		keys int
	}{
		"the image's":                  {judged(v1alpha1.FaultImage, true), "", 1},
		"the configuration's":          {judged(v1alpha1.FaultConfig, true), said, 0},
		"too early to say":             {judged(v1alpha1.FaultConfig, false), "", 0},
		"the image's, as far as known": {judged(v1alpha1.FaultImage, false), "", 0},
		"nothing fails":                {&observed{}, "", 0},
		"no pod is made":               {&observed{refused: "no pod with app:2 can be made"}, "no pod with app:2 can be made", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.seen.elsewhere(); got != c.says {
				t.Errorf("says %q", got)
			}
			if got := c.seen.judged.keys("prod"); len(got) != c.keys || c.keys == 1 && got[0] != reconcile.ImageKey("prod", "app:2") {
				t.Errorf("keys %v", got)
			}
		})
	}
	told := newCrashes(nil)
	ref := v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "prod", Name: "web"}
	if !told.tells(ref, said) || told.tells(ref, said) || told.tells(ref, "") || !told.tells(ref, said) {
		t.Error("it is said once, and again when it was over in between")
	}
}
