package card

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// What is said of a change by hand, and only of one.

// answers are the names of the two answers to a change by hand.
var answers = map[v1alpha1.Answer]string{v1alpha1.Approve: "Adopt into Git", v1alpha1.Reject: "Restore from Git"}

// drifts are the changes by hand, the one first that Flux undoes first.
func drifts(s *v1alpha1.RollbackStatus) []*v1alpha1.Failure {
	var out []*v1alpha1.Failure
	all := s.Drifts()
	for i := range all {
		out = append(out, &all[i])
	}
	slices.SortStableFunc(out, func(a, b *v1alpha1.Failure) int {
		switch x, y := a.Drift.UndoneAt, b.Drift.UndoneAt; {
		case x == nil && y == nil:
			return 0
		case x == nil:
			return 1
		case y == nil:
			return -1
		default:
			return x.Compare(y.Time)
		}
	})
	return out
}

// driftField reports who changed the workload, when, and from which revision to which.
func driftField(s *v1alpha1.RollbackStatus) string {
	all := drifts(s)
	if len(all) == 0 {
		return ""
	}
	f, d := all[0], all[0].Drift
	when := f.Since.Time
	if d.At != nil {
		when = d.At.Time
	}
	out := "at " + clock(when)
	if d.By != "" {
		out += " by " + foreign(d.By, 60)
	}
	switch {
	case d.From != "" && d.To != "":
		out += "\nrevision " + foreign(d.From, 60) + " → " + foreign(d.To, 60)
	case d.From != "":
		out += "\nrevision " + foreign(d.From, 60) + " was left"
	}
	if n := len(all) - 1; n > 0 {
		out += fmt.Sprintf("\nand %d more", n)
	}
	return out
}

// deadlineField reports when Flux undoes a change by hand, as long as it stands.
func deadlineField(r *v1alpha1.Rollback) string {
	if decided(r) || r.Status.Outcome != nil && !expired(r) && r.Status.Outcome.Result != v1alpha1.ResultReportedOnly {
		return ""
	}
	all := drifts(&r.Status)
	if len(all) == 0 {
		return ""
	}
	d := all[0].Drift
	if d.UndoneAt == nil {
		return foreign(d.Undone, 300)
	}
	out := about(d.UndoneAt.Time)
	// The sentence begins with the time, in a zone that is not the reader's.
	if d.UndoneWhy != "" {
		out += "\n" + foreign(d.UndoneWhy, 300)
	}
	return out
}

// unanswered describes what becomes of a change by hand that nobody decides on.
func unanswered(s *v1alpha1.RollbackStatus) string {
	all := drifts(s)
	switch {
	case len(all) == 0 || all[0].Drift.UndoneAt == nil && all[0].Drift.Undone == "":
		return "Without a decision Git stays as it is, and Flux undoes the change the next time it applies."
	case all[0].Drift.UndoneAt != nil:
		return "Without a decision Git stays as it is, and Flux undoes the change " +
			about(all[0].Drift.UndoneAt.Time) + "."
	case all[0].Drift.NeverUndone:
		return "Without a decision Git and the cluster stay as they are."
	}
	return "Without a decision Git stays as it is, and Flux undoes the change " +
		foreign(all[0].Drift.Undone, 300) + "."
}

// told describes what told of the changes by hand, and what could not be read of them.
func told(s *v1alpha1.RollbackStatus) []string {
	all := drifts(s)
	if len(all) == 0 {
		return append(rollouts(s), refusals(s)...)
	}
	var read, unread []string
	for _, r := range all[0].Drift.Read {
		if len(read) < 4 {
			read = append(read, foreign(r, 250))
		}
	}
	for _, f := range all {
		for _, u := range f.Drift.Unread {
			if u = foreign(u, 250); !slices.Contains(unread, u) {
				unread = append(unread, u)
			}
		}
	}
	var lines []string
	if len(read) > 0 {
		lines = append(lines, "*Seen*\n• "+strings.Join(read, "\n• "))
	}
	if len(unread) > 0 {
		lines = append(lines, "*Could not be read*\n• "+strings.Join(unread[:min(len(unread), 4)], "\n• "))
	}
	return lines
}

// restoring reports how far a change by hand is from being undone, as somebody asked for.
func restoring(s *v1alpha1.RollbackStatus) string {
	if s.Request == nil {
		return "*Next* Flux is asked to restore what Git says"
	}
	return "*Asked* Flux at " + clock(s.Request.At.Time) + " to restore what Git says"
}

// byHand is what somebody did: kubectl rollout undo goes back to a revision that the history knows.
func byHand(s *v1alpha1.RollbackStatus) string {
	out := "was "
	if len(workloads(s)) > 1 {
		out = "were "
	}
	for _, f := range s.Drifts() {
		if f.Drift.To != "" {
			return out + "rolled back"
		}
	}
	return out + "changed"
}
