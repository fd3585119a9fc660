package reconcile

import (
	"fmt"
	"maps"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// RollbackAnnotation on a workload or its namespace tells what Backstop may do about it at most, whatever policies say.
const RollbackAnnotation = "backstop.dev/rollback"

// The values of RollbackAnnotation. Another value counts as RollbackAsk: whoever wrote it meant to be careful.
const (
	// RollbackAsk: a person decides each time.
	RollbackAsk = "ask"
	// RollbackAuto: a process that starts and then fails may be reverted without a person too, where the policy lets it.
	RollbackAuto = "auto"
	// RollbackNever: nothing is written to Git for the workload.
	RollbackNever = "never"
)

// preferring tightens what policies say by what the workloads say themselves.
func preferring(p Policy, preferences map[string]Preference) Policy {
	for _, name := range slices.Sorted(maps.Keys(preferences)) {
		switch said := preferences[name].Annotation; said {
		case "", RollbackAuto:
		case RollbackNever:
			if modeRank(p.Mode) > modeRank(v1alpha1.ModeNotify) {
				p.Mode, p.Bar = v1alpha1.ModeNotify, v1alpha1.BarAnnotation
				p.Why = fmt.Sprintf("%s says %s: %s", name, RollbackAnnotation, RollbackNever)
			}
		case RollbackAsk:
			p.Asks = append(p.Asks, v1alpha1.Doubt{Type: v1alpha1.DoubtAnnotation,
				Message: fmt.Sprintf("%s says %s: %s", name, RollbackAnnotation, RollbackAsk)})
		default:
			p.Asks = append(p.Asks, v1alpha1.Doubt{Type: v1alpha1.DoubtAnnotation,
				Message: fmt.Sprintf("%s says %s: %q, which is neither %s nor %s", name, RollbackAnnotation, cut(said, 40),
					RollbackAsk, RollbackNever)})
		}
		if preferences[name].LeftAlone {
			p.Asks = append(p.Asks, v1alpha1.Doubt{Type: v1alpha1.DoubtSuspended, Message: name + " is marked as one that " +
				"Flux is not to touch (kustomize.toolkit.fluxcd.io/reconcile or /ssa): what Git says does not reach it"})
		}
		if why := preferences[name].Migrates; why != "" {
			p.Asks = append(p.Asks, v1alpha1.Doubt{Type: v1alpha1.DoubtMigration, Message: fmt.Sprintf(
				"%s: an older version may not be able to use the data that a newer one left", why)})
		}
	}
	return p
}
