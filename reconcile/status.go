package reconcile

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
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
	s.Summary = summary(r, ready.Message, now)
}

// maxSummary is what kubectl get shows of a record beside its name.
const maxSummary = 120

// summary is what the record says now, short. Where a person is asked it ends with how to answer; what has ended says
// first how.
func summary(r *v1alpha1.Rollback, says string, now time.Time) string {
	q := r.Status.Question
	if q == nil {
		return cut(says, maxSummary)
	}
	answer := v1alpha1.Approve
	if !q.Allows(answer) {
		answer = v1alpha1.Reject
	}
	how := fmt.Sprintf("backstop %s %s -n %s", strings.ToLower(string(answer)), r.Name, r.Namespace)
	if len(how) > maxSummary {
		// Both names are as long as they may be.
		return cut("a person decides: backstop approve or reject", maxSummary)
	}
	to := ", to " + brings(r, answer) + ": "
	why := "a person decides by " + until(q.Until.Time, now)
	if r.Status.Ended() {
		why = cut(says, max(maxSummary-len(to)-len(how), 1))
	}
	room := maxSummary - len(how)
	switch {
	case utf8.RuneCountInString(why+to) <= room && (!r.Status.Ended() || room > leastSaid):
		return strings.TrimPrefix(why+to+how, ", ")
	case !r.Status.Ended() && len(why)+len(": ") <= room:
		return why + ": " + how
	}
	return how
}

// leastSaid is how much room the start of a sentence needs to say something.
const leastSaid = 30

// brings is what an answer brings about.
func brings(r *v1alpha1.Rollback, a v1alpha1.Answer) string {
	switch byHand := byHandAlone(&r.Status); {
	case byHand && a == v1alpha1.Approve:
		return "adopt"
	case byHand:
		return "restore"
	case a == v1alpha1.Approve:
		return "revert"
	}
	return "keep it"
}

// until is a time of day for a sentence, with the day where the time alone could be another one.
func until(t, now time.Time) string { return text.Day(t, now) + t.UTC().Format("15:04 MST") }

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
