package card

import (
	"cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// header states the point.
func header(r *v1alpha1.Rollback) string {
	w := wordsOf(r)
	if applies(r) {
		return applyHeader(r)
	}
	if w.drift {
		return driftHeader(r, w)
	}
	switch stateOf(r) {
	case failing:
		return w.app + ": " + w.bad + " " + fails(r)
	case asking:
		if unheld(r) {
			return "Approval needed: go on with " + w.app + " without its hold"
		}
		return "Approval needed: revert " + w.app + to(w.good)
	case reverting:
		if rejected(r) {
			return "Keeping " + w.bad + " of " + w.app
		}
		return "Reverting " + w.app + to(w.good)
	case reverted:
		return "Reverted in Git, waiting for Flux: " + w.app + to(w.good)
	case ended:
		return ending(r, w)
	}
	return w.app
}

func ending(r *v1alpha1.Rollback, w words) string {
	switch r.Status.Outcome.Result {
	case v1alpha1.ResultVerified:
		return w.app + " is healthy on " + cmp.Or(w.good, "its former image")
	case v1alpha1.ResultRestored:
		return w.app + " is back on " + w.bad + ", as Git says"
	case v1alpha1.ResultRecovered:
		if r.Status.Suspect == nil {
			// The image may not be wanted any more.
			return w.app + " recovered by itself"
		}
		return w.app + " recovered by itself on " + w.bad
	case v1alpha1.ResultRejected:
		return "Kept " + w.bad + " of " + w.app
	case v1alpha1.ResultExpired:
		return "No decision in time, nothing was done: " + w.app + " " + w.bad
	case v1alpha1.ResultSuperseded:
		if r.Status.Outcome.Reason == v1alpha1.OutcomeWrittenAgain {
			return "Superseded: Git says " + w.bad + " again for " + w.app
		}
		return "Superseded: Git no longer says " + w.bad + " for " + w.app
	case v1alpha1.ResultSourceNotFound:
		return w.app + ": " + w.bad + " " + fails(r) + ", and nothing can be reverted"
	case v1alpha1.ResultReportedOnly:
		return w.app + ": " + w.bad + " " + fails(r) + ", a person must act"
	case v1alpha1.ResultFailed:
		if r.Status.Change == nil {
			return "Not reverted: " + w.app + to(w.good)
		}
		return "Revert failed: " + w.app + to(w.good)
	}
	return w.app + ": " + w.bad
}

// driftHeader is the point where somebody changed a workload by hand: spec.image is Git's, the target is what runs.
func driftHeader(r *v1alpha1.Rollback, w words) string {
	switch stateOf(r) {
	case failing, asking:
		return w.app + " " + byHand(&r.Status) + " by hand to " + cmp.Or(w.good, "another image")
	case reverting:
		if rejected(r) {
			return "Restoring " + w.bad + " of " + w.app + " from Git"
		}
		return "Adopting " + cmp.Or(w.good, "the running image") + " of " + w.app + " into Git"
	case reverted:
		return "Adopted into Git, waiting for Flux: " + w.app + " " + w.good
	case ended:
		switch r.Status.Outcome.Result {
		case v1alpha1.ResultVerified:
			return w.app + " stays on " + cmp.Or(w.good, "the running image") + ", as Git says now"
		case v1alpha1.ResultRejected:
			return "Not adopted: Git keeps " + w.bad + " for " + w.app
		case v1alpha1.ResultRecovered:
			return "The change of " + w.app + " by hand is over"
		case v1alpha1.ResultReportedOnly, v1alpha1.ResultSourceNotFound:
			return w.app + " was changed by hand, a person must act"
		case v1alpha1.ResultFailed:
			return "Not adopted into Git: " + w.app + " " + w.good
		default:
		}
	}
	return ending(r, w)
}
