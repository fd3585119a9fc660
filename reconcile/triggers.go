package reconcile

import (
	"cmp"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// concerned are the triggers that a record is about: those of its failures and of what is seen now, or that which it
// was opened for.
func concerned(w *World) []v1alpha1.TriggerType {
	var out []v1alpha1.TriggerType
	for _, row := range v1alpha1.Triggers() {
		if w.Rollback.Status.SeenBy(row.Type) || len(w.Seen[row.Type].Failures) > 0 {
			out = append(out, row.Type)
		}
	}
	if len(out) == 0 && w.Rollback.Spec.OpenedFor != "" {
		out = append(out, w.Rollback.Spec.OpenedFor)
	}
	return out
}

// rows are the triggers on the record, or that which it was opened for.
func (w *World) rows() []Trigger {
	var out []Trigger
	for _, t := range w.Triggers {
		if w.Rollback.Status.SeenBy(t.Type) || len(w.Rollback.Status.Failures) == 0 && t.Type == w.Rollback.Spec.OpenedFor {
			out = append(out, t)
		}
	}
	return out
}

// over says how what the record is about came to an end by itself; nil while it has not. Nothing may be wrong any more,
// and every trigger on the record has to say so.
func over(w *World) *Ending {
	if len(w.failures()) > 0 || len(w.Rollback.Status.Failures) == 0 {
		return nil
	}
	return ending(w, w.rows())
}

// putBack describes how what a Reject puts back came to its end; nil while it has not.
func putBack(w *World) *Ending {
	if len(w.failures()) > 0 {
		return nil
	}
	return ending(w, slices.DeleteFunc(w.rows(), func(t Trigger) bool { return !t.Type.Row().RejectRestores }))
}

// ending is the first one of triggers that have all come to their end.
func ending(w *World, rows []Trigger) *Ending {
	var first *Ending
	for _, t := range rows {
		if t.Ended == nil {
			return nil
		}
		e := t.Ended(w)
		if e == nil {
			return nil
		}
		first = cmp.Or(first, e)
	}
	return first
}

// goneBeforeRecorded ends a record whose reason was over before it was written down.
func goneBeforeRecorded(w *World) Step {
	e := Ending{v1alpha1.ResultRecovered, "the failure was gone before it could be recorded"}
	for _, t := range w.rows() {
		if t.Gone != nil {
			e = t.Gone(w)
		}
	}
	return end(w, e.Result, "%s", e.Sentence)
}

// asksRegistry reports whether the registry can say that the subject cannot run: a trigger on the record blames the
// image, and has nothing else to go by.
func asksRegistry(w *World) bool {
	return slices.ContainsFunc(w.rows(), func(t Trigger) bool { return t.Type.Row().Blames && t.Fault == nil })
}

// graceOf is how long a failure of a trigger must last.
func (w *World) graceOf(t v1alpha1.TriggerType) time.Duration {
	if p, ok := w.Policies[t]; ok {
		return p.Grace
	}
	return w.Policy.Grace
}

// graceEnds is when the first failure has lasted as long as its trigger wants, and how long that is.
func graceEnds(w *World) (time.Time, time.Duration) {
	var first time.Time
	grace := w.Policy.Grace
	for _, f := range w.Rollback.Status.Failures {
		of := w.graceOf(f.Trigger)
		if at := f.Since.Add(of); first.IsZero() || at.Before(first) {
			first, grace = at, of
		}
	}
	if first.IsZero() {
		first = first.Add(grace)
	}
	return first, grace
}

// together is what may be done about a record that several triggers are about: a policy decides only where it may for
// each of them, and a person is asked where one of them lets a person decide. Of their limits the stricter count.
func together(all []Policy) Policy {
	if len(all) == 1 {
		return all[0]
	}
	tells := func(p Policy) bool { return modeRank(p.Mode) < modeRank(v1alpha1.ModeApprove) }
	may := slices.DeleteFunc(slices.Clone(all), tells)
	if len(may) == 0 {
		may = all
	}
	var out Policy
	least := may[0]
	for _, p := range may {
		out = stricter(out, p)
		least = leastOf(least, p, func(p Policy) int { return modeRank(p.Mode) })
	}
	out.Why, out.Bar = least.Why, least.Bar
	if len(may) < len(all) && out.Mode == v1alpha1.ModeAuto {
		out.Mode, out.Why = v1alpha1.ModeApprove, "the policy only tells of a part of it"
	}
	return out
}
