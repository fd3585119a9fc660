package reconcile

import (
	"errors"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Access that is refused comes back: with a new Secret, another source, or by itself. The source and its Secrets are
// read anew each time, and an object of Flux that changes wakes the line before.

// accessSoonest and accessAgain bound the time after which a refusal that may heal is put to the test again.
const accessSoonest, accessAgain = 5 * time.Second, time.Minute

// accessIn is after how long that is: as long as it has lasted already. So a Secret that comes a moment later costs
// seconds, and one that never comes costs no request every few seconds.
func accessIn(s *v1alpha1.RollbackStatus, now time.Time) time.Duration {
	lasted := time.Duration(0)
	if refusedAccess(s) {
		lasted = now.Sub(s.Waiting.Since.Time)
	}
	return min(max(lasted, accessSoonest), accessAgain)
}

// refusedAccess reports whether the Rollback waits for access that was refused.
func refusedAccess(s *v1alpha1.RollbackStatus) bool {
	return s.Waiting != nil && FaultKind(s.Waiting.Refused).Heals()
}

// unread keeps a refusal of the source or its branch that may heal. The line waits for it, and goes on with whatever
// else is known: pods that run again end it all the same.
func unread(w *World, err error) bool {
	var r *Refusal
	if !errors.As(err, &r) || !r.Kind.Heals() {
		return false
	}
	w.Unread = r
	return true
}

// waitsForAccess waits for a fault that heals, and says so.
func waitsForAccess(w *World, kind FaultKind, why string) Step {
	return Step{Do: DoWait, Wait: accessIn(&w.Rollback.Status, w.Now), Refused: kind, Why: why}
}
