// Package trigger has a file for each way in which something is seen to be wrong. What a row is made of, and how to add
// one, stands at reconcile.Trigger.
package trigger

import "github.com/backstop-dev/backstop/reconcile"

// All are the triggers of the sidecar.
func All() []reconcile.Trigger {
	return []reconcile.Trigger{Pull(), NewRevision(), Canary(), Apply(), Drift()}
}
