package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
)

// verifyStep goes by content: what was attempted, what the templates hold, whether the rollout is complete.
func verifyStep(w *World) Step {
	s := &w.Rollback.Status
	r := w.Rollout
	if r == nil {
		return Step{Do: DoWait, Wait: lookAgain, Why: "the rollout cannot be read yet"}
	}
	waits := arrived(w)
	if f := disown(s); waits == "" && f != nil {
		return Step{Do: DoDisown, Why: "taking Backstop's field manager off " + f.Workload.String()}
	}
	if waits == "" {
		said := []string{workloadNames(w) + " runs " + orElse(s.Target.Image, "what "+s.Suspect.Branch+" says") + " again",
			aheadWas(s)}
		switch {
		case s.ByHandAlone():
			said = []string{fmt.Sprintf("%s runs %s, as %s says now", workloadNames(w), s.Target.Image, s.Suspect.Branch),
				aheadWas(s)}
		case s.Suspect.ByFiles():
			does := " applies what Git says again, without what "
			if w.Rollback.OfWorkload() {
				does = " runs what Git says, without what "
			}
			said = []string{workloadNames(w) + does + text.Short(s.Suspect.Commit) + " changed"}
		}
		return end(w, v1alpha1.ResultVerified, "%s", joinWords(append(said, leftToPerson(s, r)...)...))
	}
	waits = joinWords(aheadIs(s), waits)
	if pod := stuck(s, r); w.DeletesPods && pod.Name != "" && mayLift(w.Policy) == nil {
		return Step{Do: DoDeletePod, Pod: pod, Wait: lookAgain,
			Why: "deleting " + pod.Name + ", which keeps the rollout from moving on"}
	}
	deadline := verifyBy(w)
	if w.Beside != "" && w.Rollout.Contains {
		waits = joinWords(waits, "rollback/"+w.Beside+" is open for it too")
		if half := w.Now.Add(w.Policy.Verify / 2); deadline.Before(half) {
			// The time starts over, seldom: each start is a write.
			deadline = w.Now.Add(w.Policy.Verify)
		}
	}
	if w.Now.After(deadline) {
		return end(w, v1alpha1.ResultFailed, "reverted in Git, but not verified in %s: %s", ShortDuration(w.Policy.Verify),
			waits)
	}
	return Step{Do: DoWait, Wait: min(lookAgain, deadline.Sub(w.Now)+time.Second), Why: waits, Until: deadline}
}

// verifyBy is when an unverified revert has failed. A running health check of the bad revision is Flux's to end; the
// time it takes is not the revert's fault, also when it is over and the rollout has only begun.
func verifyBy(w *World) time.Time {
	s := &w.Rollback.Status
	deadline := s.Landed.At.Add(w.Policy.Verify)
	if until := w.Rollout.WaitsUntil; until.After(w.Now) && until.Add(w.Policy.Verify).After(deadline) {
		deadline = until.Add(w.Policy.Verify)
	}
	if s.Waiting != nil && s.Waiting.Until != nil && s.Waiting.Until.After(deadline) {
		deadline = s.Waiting.Until.Time
	}
	return deadline
}

// leftToPerson is what is left to a person when all is verified.
func leftToPerson(s *v1alpha1.RollbackStatus, r *Rollout) []string {
	var out []string
	for _, ws := range r.Workloads {
		if ws.Complete && !ws.Gone {
			out = append(out, ws.Says)
		}
	}
	if s.Change.Lift == v1alpha1.LiftManual && s.Verdict.Lift != v1alpha1.LiftManual {
		out = append(out, "two newer images in a row had to be reverted, so the next one waits for backstop lift")
	}
	return out
}

// stuck is a pod that cannot start, while the workload's template is good again and its ordered rollout waits for the
// pod.
func stuck(s *v1alpha1.RollbackStatus, r *Rollout) StuckPod {
	for _, ws := range r.Workloads {
		if !ws.Complete && len(ws.Stuck) > 0 && (r.Contains || aheadOf(s, ws.Workload)) {
			return ws.Stuck[0]
		}
	}
	return StuckPod{}
}

// arrived describes what is still missing; empty when the target has arrived, for every trigger on the record.
func arrived(w *World) string {
	missing := ""
	rows := w.rows()
	for _, t := range rows {
		if t.Arrived != nil {
			missing = orElse(missing, t.Arrived(w))
		}
	}
	if missing != "" || len(rows) > 0 && !slices.ContainsFunc(rows, func(t Trigger) bool { return t.Arrived == nil }) {
		return missing
	}
	return Arrival(w)
}

// Arrival describes what is missing by the images of the workloads' templates and by their rollouts.
func Arrival(w *World) string {
	return arrival(&w.Rollback.Status, w.Rollout, w.Rollback.Spec.Subject.Image())
}

// arrival describes what is still missing by the images of the workloads, or without a bad one by their rollouts alone;
// empty when the target has arrived.
func arrival(s *v1alpha1.RollbackStatus, r *Rollout, bad string) string {
	if !r.Contains {
		switch {
		case r.Source != "":
			return r.Source
		case r.Waits != "":
			return r.Waits
		case !r.Fetched:
			return fmt.Sprintf("%s has not fetched %s yet", s.Suspect.Source, text.Short(s.Landed.Commit))
		}
		return fmt.Sprintf("%s has not applied %s yet", s.Suspect.Reconciler, text.Short(s.Landed.Commit))
	}
	for _, ws := range r.Workloads {
		if ws.Gone {
			continue
		}
		for _, f := range s.Failures {
			// A webhook may have rewritten the target's registry; that the bad image is gone is what counts.
			if bad != "" && f.Workload.Kind == ws.Workload.Kind && f.Workload.Name == ws.Workload.Name &&
				image.SameTag(ws.Images[f.Container], bad) {
				return stillMissing(fmt.Sprintf("%s still names %s for container %s", ws.Workload, bad, f.Container), r.Waits)
			}
		}
		if !ws.Complete {
			return orElse(ws.Says, fmt.Sprintf("the rollout of %s is not complete", ws.Workload))
		}
	}
	return ""
}

// stillMissing describes what is missing, and what keeps Flux from applying it.
func stillMissing(missing, waits string) string {
	if waits == "" {
		return missing
	}
	return missing + ": " + waits
}

func workloadNames(w *World) string {
	var out []string
	for _, wl := range w.Rollback.Status.Workloads() {
		out = append(out, wl.String())
	}
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("%d more", len(out)-3))
	}
	return strings.Join(out, ", ")
}
