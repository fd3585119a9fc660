package card

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// applyHeader is the point where Flux cannot apply what Git says, or a workload does not run with it.
func applyHeader(r *v1alpha1.Rollback) string {
	what := plain(r.Spec.Subject.String(), 100)
	switch stateOf(r) {
	case asking:
		return "Approval needed: revert " + theChange(r) + " for " + what
	case reverting:
		if rejected(r) {
			return "Keeping " + theChange(r) + " for " + what
		}
		return "Reverting " + theChange(r) + " for " + what
	case reverted:
		return "Reverted in Git, waiting for Flux: " + what
	case ended:
		return applyEnding(r, what)
	case failing:
	}
	otherwise := "Flux cannot apply what Git says"
	if r.OfWorkload() {
		otherwise = "its new revision does not become ready"
	}
	return what + ": " + cmp.Or(because(&r.Status), otherwise)
}

func applyEnding(r *v1alpha1.Rollback, what string) string {
	switch r.Status.Outcome.Reason {
	case v1alpha1.OutcomeWrittenAgain:
		return "Superseded: Git says again " + theChange(r) + " for " + what
	case v1alpha1.OutcomeNewer:
		return "Superseded: Git says something newer than the revert for " + what
	}
	switch r.Status.Outcome.Result {
	case v1alpha1.ResultSuperseded, v1alpha1.ResultRecovered, v1alpha1.ResultVerified:
		if r.OfWorkload() {
			return what + " runs well again"
		}
		return what + " applies what Git says again"
	case v1alpha1.ResultRejected:
		return "Kept " + theChange(r) + " for " + what
	case v1alpha1.ResultExpired:
		return "No decision in time, nothing was done: " + what
	case v1alpha1.ResultFailed:
		if r.Status.Change == nil {
			return "Not reverted: " + what
		}
		return "Revert failed: " + what
	default:
		return what + ": " + because(&r.Status) + ", a person must act"
	}
}

// applyReverts describes what an approval does.
func applyReverts(r *v1alpha1.Rollback) string {
	s := r.Status.Suspect
	files := "1 file goes"
	if n := len(s.Places); n != 1 {
		files = fmt.Sprintf("%d files go", n)
	}
	return fmt.Sprintf("Pushes a revert of %s for %s to %s: %s back to what was there before. What others changed there "+
		"since stays.", plain(short7(s.Commit), 12), plain(r.Spec.Subject.String(), 60), plain(s.Branch, 40), files)
}

// applyFields are what was attempted and what was applied last, and of a workload its pods.
func applyFields(r *v1alpha1.Rollback, add func(label, value string)) {
	s := &r.Status
	all := s.Applies()
	if r.OfWorkload() {
		add(podsLabel(r), podsField(s))
	}
	if len(all) == 0 {
		return
	}
	f := &all[len(all)-1]
	if o := f.Apply.Object; o != nil {
		add("Refused", code(o.String(), 200))
	}
	add("Attempted", code(f.Apply.Revision, 150))
	add("Applied last", cmp.Or(code(f.Apply.LastApplied, 150), "nothing yet"))
	add("Failing", because(s)+" · since "+clock(s.FirstSeen()))
}

// applyScope describes what the search in Git found, and what goes back with it.
func applyScope(f Facts) string {
	s := &f.Rollback.Status
	lines := append(rollouts(s), applyFiles(s)...)
	for _, found := range s.Searches() {
		if found.Unblamed != "" && !inRecord(s, found.Unblamed) {
			lines = append(lines, "*No commit is blamed* "+foreign(found.Unblamed, 500))
		}
		if len(found.ChangedBy) < 2 {
			continue
		}
		for _, c := range found.ChangedBy {
			lines = append(lines, fmt.Sprintf("• %s %s", f.Links.link(c.Commit), foreign(c.Subject, 120)))
		}
	}
	return fit(lines...)
}

// inRecord reports that the record at the card's end has these words too.
func inRecord(s *v1alpha1.RollbackStatus, words string) bool {
	o := s.Outcome
	return o != nil && o.Result != v1alpha1.ResultRejected && strings.Contains(o.Message, words)
}

// applyFiles reports which files go back, and what that changes besides, or why they do not.
func applyFiles(s *v1alpha1.RollbackStatus) []string {
	t := s.Target
	switch {
	case t == nil || !s.Suspect.ByFiles():
		return nil
	case t.Refused != nil && inRecord(s, t.Refused.Message):
		return nil
	case t.Refused != nil:
		return []string{"*Not reverted here* " + foreign(t.Refused.Message, 500)}
	}
	lines := []string{fmt.Sprintf("*In Git* %s on %s of %s", join(filesOf(s.Suspect), 5), code(s.Suspect.Branch, 80),
		foreign(s.Suspect.Source.String(), 120))}
	for _, also := range []struct {
		label string
		refs  []v1alpha1.ObjectRef
		after string
	}{{"*Changes too* ", t.Also, ""}, {"*Also changes* ", s.Suspect.SharedBy, ", by the same files"}} {
		var names []string
		for _, o := range also.refs {
			names = append(names, foreign(o.String(), 120))
		}
		if len(names) > 0 {
			lines = append(lines, also.label+join(names, 5)+also.after)
		}
	}
	if t.Proof != "" {
		lines = append(lines, "*Proof* "+foreign(t.Proof, 400))
	}
	return lines
}

func filesOf(s *v1alpha1.Suspect) []string {
	var out []string
	for _, n := range s.Places {
		if name := code(n.File, 150); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
