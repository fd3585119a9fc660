package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

// A drift is a failure of another kind: a container that runs, but not what Git says. It meets a failed pull of what
// Git says in one form, and everything that tells the two apart is here.

// drifted says whether somebody changed one of the form's workloads by hand.
func drifted(s *v1alpha1.RollbackStatus) bool {
	return slices.ContainsFunc(s.Failures, func(f v1alpha1.Failure) bool { return f.Drift != nil })
}

// blamed says whether a container cannot have the image, so that the image is to be proved bad.
func blamed(s *v1alpha1.RollbackStatus) bool {
	return slices.ContainsFunc(s.Failures, func(f v1alpha1.Failure) bool { return f.Drift == nil })
}

// astray are the containers that run something else than Git says right now.
func astray(w *World) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, f := range w.Sighting.Failures {
		if f.Drift != nil {
			out = append(out, f)
		}
	}
	return out
}

// triggerOf says what a form is opened for.
func triggerOf(failures []v1alpha1.Failure) v1alpha1.TriggerType {
	for _, row := range v1alpha1.Triggers() {
		if slices.ContainsFunc(failures, func(f v1alpha1.Failure) bool { return f.Trigger == row.Type }) {
			return row.Type
		}
	}
	return v1alpha1.TriggerImagePull
}

// over says how what the form is about came to an end by itself; empty while it has not.
func over(w *World) (v1alpha1.Result, string) {
	s := &w.Form.Status
	switch {
	case len(w.Sighting.Failures) > 0:
	case drifted(s) && w.Sighting.Restored != "":
		return v1alpha1.ResultRestored, fmt.Sprintf("%s, %s after the change by hand: %s runs %s again, as Git says",
			takenBack(s), roughly(w.Now.Sub(changedAt(s))), w.Sighting.Restored, w.Form.Spec.Subject.Name)
	case drifted(s) && !blamed(s) && s.Ended() && w.Sighting.Unnamed != "":
		return v1alpha1.ResultRecovered, fmt.Sprintf("%s does not ask for %s any more, and nothing there is changed by hand",
			w.Sighting.Unnamed, w.Form.Spec.Subject.Name)
	case drifted(s) && !blamed(s):
	case s.Ended() && s.Outcome.Result == v1alpha1.ResultSourceNotFound && w.Sighting.Unnamed != "":
		return v1alpha1.ResultRecovered, unnamed(w.Sighting, w.Form.Spec.Subject.Name)
	case rolled(s) && w.Sighting.Steady != "":
		return v1alpha1.ResultRecovered, w.Sighting.Steady + " runs well after all"
	case rolled(s):
		// That a container starts is no news: it crashes afterwards.
	case w.Sighting.Started != "":
		return v1alpha1.ResultRecovered, w.Sighting.Started + " runs the image after all"
	}
	return "", ""
}

// takenBack says who took a drift back.
func takenBack(s *v1alpha1.RollbackStatus) string {
	if s.Verdict != nil && s.Verdict.Answer == v1alpha1.Reject {
		return s.Verdict.By + " had it restored from Git"
	}
	for _, f := range s.Failures {
		if f.Drift != nil && f.Drift.UndoneBy != nil {
			return f.Drift.UndoneBy.String() + " took it back"
		}
	}
	return "Flux took it back"
}

// changedAt is when the change by hand was made, as far as that is known.
func changedAt(s *v1alpha1.RollbackStatus) time.Time {
	var last time.Time
	for _, f := range s.Failures {
		if f.Drift == nil {
			continue
		}
		at := f.Since.Time
		if f.Drift.At != nil && f.Drift.At.Time.Before(at) {
			at = f.Drift.At.Time
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// restoring: a person keeps what Git says. What runs something else is given back to Flux.
func restoring(w *World) Step {
	s := &w.Form.Status
	if r, why := over(w); r == v1alpha1.ResultRestored {
		return end(w, r, "%s", why)
	}
	left := astray(w)
	switch {
	case w.Unread != nil && w.Now.Before(restoredBy(w)):
		return waitsForAccess(w, w.Unread.Kind, w.Unread.Sentence)
	case w.Unread != nil:
		return end(w, v1alpha1.ResultFailed, "%s", w.Unread.Sentence)
	case len(left) == 0 && drifted(s) && s.Suspect != nil && w.Branch != nil && stand(s, w.Branch).bad == 0:
		return superseded(w)
	case len(left) == 0:
		return end(w, v1alpha1.ResultRejected, "%s keeps %s: %s", s.Verdict.By, w.Form.Spec.Subject.Name,
			orElse(s.Verdict.Why, "no reason given"))
	}
	why := fmt.Sprintf("%s still runs %s; Flux takes that back %s", left[0].Workload, left[0].Drift.Live,
		orElse(left[0].Drift.Undone, "at its next run"))
	deadline := restoredBy(w)
	switch next, _ := ask(w); {
	case w.Rollout == nil && w.ReadOnly != "":
		return end(w, v1alpha1.ResultFailed, "%s", w.ReadOnly)
	case next != nil || w.Rollout == nil && !opened(s):
		step, _ := request(w, " to restore what Git says")
		return step
	case !opened(s) && w.Rollout.Waits != "":
		why = fmt.Sprintf("%s still runs %s: %s", left[0].Workload, left[0].Drift.Live, w.Rollout.Waits)
	}
	if w.Now.After(deadline) {
		return end(w, v1alpha1.ResultFailed, "asked Flux to restore what Git says, but not verified in %s: %s",
			shortDuration(w.Policy.Verify), why)
	}
	return untilDue(w, Step{Do: DoWait, Wait: min(lookAgain, deadline.Sub(w.Now)+time.Second), Why: why})
}

// restoredBy is when a restore has failed. What Flux is busy with is over first; until then it is not asked.
func restoredBy(w *World) time.Time {
	s := &w.Form.Status
	from := s.Verdict.At.Time
	if s.Request != nil {
		from = s.Request.At.Time
	}
	if w.Rollout != nil && w.Rollout.WaitsUntil.After(from) {
		from = w.Rollout.WaitsUntil
	}
	return from.Add(w.Policy.Verify)
}

// unwritable says why an approval cannot be carried out; empty when it can.
func unwritable(w *World) string {
	if len(w.Form.Status.Target.Values) == 0 {
		return w.Form.Status.Target.Proof
	}
	return w.ReadOnly
}

// restorable says that people are asked although nothing may be written to Git: what runs can be restored from it.
func restorable(w *World) bool {
	return len(astray(w)) > 0 && w.Policy.Mode != v1alpha1.ModeNotify && w.Policy.Mode != ""
}

// manyFormer is how many earlier values are looked through for one that runs: people go further back than the line
// does.
const manyFormer = 16

// running makes a target of what people have put in place by hand, if the node held it before and the registry still
// has it. It says false where nobody has.
func (e *Engine) running(
	ctx context.Context, form *v1alpha1.Rollback, now []v1alpha1.Failure, former []Former,
) (v1alpha1.Target, bool, error) {
	live := liveOf(form.Status.Drifts())
	if left := liveOf(now); len(live) > 1 && len(left) > 0 {
		// What Flux took back already does not count.
		live = left
	}
	switch len(live) {
	case 0:
		return v1alpha1.Target{}, false, nil
	case 1:
	default:
		return v1alpha1.Target{Proof: "the workloads run different images by hand (" + strings.Join(live, ", ") +
			"): commit the one that is meant"}, true, nil
	}
	i := slices.IndexFunc(former, func(f Former) bool { return image.SameTag(f.Image, live[0]) })
	if i < 0 {
		return v1alpha1.Target{
			Proof: live[0] + " was never in Git at this place: commit it by hand, or restore what Git says",
		}, true, nil
	}
	q, err := e.question(ctx, form, former[i].Image)
	if err != nil {
		return v1alpha1.Target{}, false, err
	}
	p := e.Registry.Prove(ctx, q)
	t := v1alpha1.Target{Image: former[i].Image, Digest: p.Digest, Proof: p.Sentence, Proved: p.Finding == FindingPresent}
	if p.Finding != FindingAbsent {
		t.Values = former[i].Values
	}
	return t, true, nil
}

// liveOf are the images that people put in place by hand, each once.
func liveOf(drifts []v1alpha1.Failure) []string {
	var out []string
	for _, f := range drifts {
		if !slices.Contains(out, f.Drift.Live) {
			out = append(out, f.Drift.Live)
		}
	}
	return out
}

// agree says that people put different images in place by hand, and that only one of them is left.
func agree(w *World) bool {
	return len(liveOf(w.Form.Status.Drifts())) > 1 && len(liveOf(astray(w))) == 1
}

// driftMoved says that a look tells something else of a known drift: when Flux takes it back, or what Git says after
// all.
func driftMoved(now, before v1alpha1.Failure) bool {
	return now.Drift != nil && !equality.Semantic.DeepEqual(now.Drift, before.Drift)
}

// newer says that people changed something by hand after the target was found.
func newer(s *v1alpha1.RollbackStatus) bool {
	return slices.ContainsFunc(s.Failures, func(f v1alpha1.Failure) bool {
		return f.Drift != nil && s.Target.At.Before(&f.Since)
	})
}

// byHandBy lists what people changed, for a sentence.
func byHandBy(s *v1alpha1.RollbackStatus) string {
	var out []string
	for _, f := range s.Failures {
		if f.Drift == nil {
			continue
		}
		who := fmt.Sprintf("%s was changed by hand with %s", f.Workload, orElse(f.Drift.By, "something unknown"))
		if !slices.Contains(out, who) {
			out = append(out, who)
		}
	}
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("%d more", len(out)-3))
	}
	return strings.Join(out, ", ")
}
