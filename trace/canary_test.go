package trace

import (
	"errors"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// byACanary are conditions of what judges the updates of a workload.
func byACanary() map[string]condition {
	judged := func(change func(*trigger.CanaryStatus)) func(*Facts) {
		return func(f *Facts) {
			s := trigger.CanaryStatus{By: v1alpha1.ObjectRef{Kind: "Canary", Namespace: "production", Name: "backend"},
				State: trigger.CanaryFailed, Phase: "Failed", At: noon.Add(-time.Hour), Message: "Canary analysis failed, Deployment scaled to zero."}
			change(&s)
			f.Canary = canaryFrom(s, nil)
		}
	}
	return map[string]condition{
		"a canary refused the update": {judged(func(*trigger.CanaryStatus) {}), HopCanary, Blocked,
			"it refused the update 60m ago: Canary analysis failed", "backstop revert deploy/backend -n production --push"},
		"a canary promoted it, and the promotion failed": {judged(func(s *trigger.CanaryStatus) { s.Promoting = true }), HopCanary, Blocked,
			"what serves did not get ready", "describe deploy backend-primary"},
		"a canary analyses it": {judged(func(s *trigger.CanaryStatus) { s.State, s.Phase = trigger.CanaryBusy, "Progressing" }), HopCanary, Waits,
			"it is Progressing", ""},
		"a canary promoted it": {judged(func(s *trigger.CanaryStatus) { s.State = trigger.CanaryWell }), HopCanary, Good, "", ""},
		"a canary cannot be read": {func(f *Facts) { f.Canary = canaryFrom(trigger.CanaryStatus{}, errors.New("no number")) }, HopCanary, Unknown,
			"fields of another shape: no number", ""},
	}
}
