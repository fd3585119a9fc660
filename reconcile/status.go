package reconcile

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// describe keeps phase and conditions in step with the steps, so that kubectl and kstatus read a sentence.
func describe(r *v1alpha1.Rollback, now time.Time) {
	s := &r.Status
	s.ObservedGeneration = r.Generation
	s.Phase = s.PhaseNow()
	ready := metav1.Condition{Type: "Ready", ObservedGeneration: r.Generation, LastTransitionTime: metav1.NewTime(now)}
	switch {
	case !s.Ended():
		ready.Status, ready.Reason, ready.Message = metav1.ConditionUnknown, "Progressing", progress(r)
		setCondition(s, metav1.Condition{Type: "Reconciling", Status: metav1.ConditionTrue, Reason: "Progressing",
			Message: ready.Message, ObservedGeneration: r.Generation, LastTransitionTime: ready.LastTransitionTime})
		meta.RemoveStatusCondition(&s.Conditions, "Stalled")
	case s.Outcome.Result.NeedsPerson():
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, string(s.Outcome.Result), s.Outcome.Message
		setCondition(s, metav1.Condition{Type: "Stalled", Status: metav1.ConditionTrue, Reason: string(s.Outcome.Result),
			Message: ready.Message, ObservedGeneration: r.Generation, LastTransitionTime: ready.LastTransitionTime})
		meta.RemoveStatusCondition(&s.Conditions, "Reconciling")
	default:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionTrue, string(s.Outcome.Result), s.Outcome.Message
		meta.RemoveStatusCondition(&s.Conditions, "Reconciling")
		meta.RemoveStatusCondition(&s.Conditions, "Stalled")
	}
	setCondition(s, ready)
	waits(r, now)
	s.Summary = summary(r, ready.Message, now)
}

// waits keeps the conditions of what stands beside how far it is: a question to people, also after an end, and a hold.
func waits(r *v1alpha1.Rollback, now time.Time) {
	s := &r.Status
	asked := metav1.Condition{Type: "WaitingForPerson", Status: metav1.ConditionTrue}
	held := metav1.Condition{Type: "Held", Status: metav1.ConditionTrue, Reason: string(v1alpha1.LiftNewerImage)}
	if q := s.Question; q != nil && len(q.Doubts) > 0 {
		asked.Reason, asked.Message = string(q.Doubts[0].Type), cut(q.Doubts[0].Message, 1024)
	}
	if s.HoldStands() {
		held.Message = cut("image automation writes nothing by "+strings.Join(s.HeldPolicies(), ", ")+
			" where the image was reverted", 1024)
		if s.Change.Lift == v1alpha1.LiftManual || s.Verdict != nil && s.Verdict.Lift == v1alpha1.LiftManual {
			held.Reason = string(v1alpha1.LiftManual)
		}
	}
	for _, c := range []metav1.Condition{asked, held} {
		if c.Message == "" {
			meta.RemoveStatusCondition(&s.Conditions, c.Type)
			continue
		}
		c.ObservedGeneration, c.LastTransitionTime = r.Generation, metav1.NewTime(now)
		setCondition(s, c)
	}
}

// setCondition keeps the transition time while only words change.
func setCondition(s *v1alpha1.RollbackStatus, c metav1.Condition) {
	meta.SetStatusCondition(&s.Conditions, c)
}

func progress(r *v1alpha1.Rollback) string {
	if w := r.Status.Waiting; w != nil && w.Why != "" {
		return w.Why
	}
	return fmt.Sprintf("%s: %s", r.Status.PhaseNow(), r.Spec.Subject.Name)
}

// waitingFor keeps since while the reason stays the same, so that a status that says nothing new is not written. The
// time by which a revert must be verified stays, whatever is in the way meanwhile.
func waitingFor(r *v1alpha1.Rollback, why string, until *v1alpha1.Time, now time.Time) *v1alpha1.Waiting {
	why = sentence(why)
	if why == "" {
		return nil
	}
	out := &v1alpha1.Waiting{Why: why, Until: until, Since: v1alpha1.NewTime(now)}
	old := r.Status.Waiting
	if old == nil {
		return out
	}
	verifying := r.Status.Request != nil && !r.Status.Ended()
	if verifying && until == nil {
		out.Until = old.Until
	}
	if old.Why != why {
		return out
	}
	if verifying {
		old.Until = out.Until
	}
	return old
}
