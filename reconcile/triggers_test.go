package reconcile_test

import (
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

func init() { reconcile.HandInRows(trigger.All()) }
