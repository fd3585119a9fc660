package card

import (
	"fmt"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// applies says that a Rollback is about what Flux cannot apply, and about no image.
func applies(r *v1alpha1.Rollback) bool { return r.Spec.OpenedFor == v1alpha1.TriggerApply }

// applyHeader is the point where Flux cannot apply what Git says.
func applyHeader(r *v1alpha1.Rollback) string {
	what := plain(r.Spec.Subject.String(), 100)
	if stateOf(r) == ended {
		switch r.Status.Outcome.Result {
		case v1alpha1.ResultSuperseded, v1alpha1.ResultRecovered:
			return what + " applies what Git says again"
		default:
			return what + ": " + because(&r.Status) + ", a person must act"
		}
	}
	return what + ": " + or(because(&r.Status), "Flux cannot apply what Git says")
}

// applyFields are what was attempted and what was applied last.
func applyFields(s *v1alpha1.RollbackStatus, add func(label, value string)) {
	all := s.Applies()
	if len(all) == 0 {
		return
	}
	f := &all[len(all)-1]
	if o := f.Apply.Object; o != nil {
		add("Refused", code(o.String(), 200))
	}
	add("Attempted", code(f.Apply.Revision, 150))
	add("Applied last", or(code(f.Apply.LastApplied, 150), "nothing yet"))
	add("Failing", because(s)+" · since "+clock(s.FirstSeen()))
}

// applyScope says what the search in Git found.
func applyScope(f Facts) string {
	var lines []string
	for _, a := range f.Rollback.Status.Applies() {
		if a.Apply.Unblamed != "" {
			lines = append(lines, "*No commit is blamed* "+foreign(a.Apply.Unblamed, 500))
		}
		if len(a.Apply.ChangedBy) < 2 {
			continue
		}
		for _, c := range a.Apply.ChangedBy {
			lines = append(lines, fmt.Sprintf("• %s %s", f.Links.link(c.Commit), foreign(c.Subject, 120)))
		}
	}
	return fit(lines...)
}
