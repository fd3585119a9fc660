package reconcile

import (
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestWhatMayBeOverByItselfIsLookedAtThen(t *testing.T) {
	unproved := func(w *World, failing, asked time.Duration) {
		w.Rollback.Status.Target.BadProved, w.Rollback.Status.Target.At = false, micro(t0.Add(-asked))
		w.Rollback.Status.Failures[0].Since = micro(t0.Add(-failing))
	}
	tests := map[string]struct {
		world World
		want  time.Duration
	}{
		"only a person": {aWorld(func(w *World) { w.Policy.Mode = v1alpha1.ModeApprove }), restAgain},
		"the deadline":  {aWorld(func(w *World) { w.Policy.Mode, w.Policy.Approval = v1alpha1.ModeApprove, time.Minute }), 30 * time.Second},
		"the cooldown": {aWorld(trail(TrailerRevert, 28*time.Minute, func(t *TrailerCommit) {
			t.Workloads, t.Reverts = []string{"prod/develop/Deployment/backend"}, []string{"other"}
		})), 2 * time.Minute},
		"the budget":                            {aWorld(trail(TrailerRevert, 57*time.Minute, func(t *TrailerCommit) { t.Reverts = []string{"x", "y", "z"} })), 3 * time.Minute},
		"the breaker, by what others find":      {aWorld(func(w *World) { w.Breaker = "breaker: reg" }), time.Minute},
		"a registry that was down a moment ago": {aWorld(func(w *World) { unproved(w, 2*time.Second, 0) }), 5 * time.Second},
		"one that is down for some time":        {aWorld(func(w *World) { unproved(w, 25*time.Second, 5*time.Second) }), 15 * time.Second},
		"one that is down for long":             {aWorld(func(w *World) { unproved(w, 20*time.Minute, 10*time.Second) }), 50 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := decide(tt.world); got.Do != DoWait || got.Wait != tt.want {
				t.Errorf("%s in %s, want %s: %s", got.Do, got.Wait, tt.want, got.Why)
			}
		})
	}
}
