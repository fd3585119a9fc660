package reconcile

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
)

const (
	// maxSummary is what the API takes.
	maxSummary = 120
	// leastSummary is what a summary may take even where a long name leaves its row less.
	leastSummary = 40
	// leastBeside is how much room a summary needs beside the namespace. Where less is left the row is as wide as may be
	// without the namespace, which only -A prints.
	leastBeside = 60
	// leastSaid is how much room the start of a sentence needs to say something.
	leastSaid = 30
	// maxRow is how many columns of a terminal a row of kubectl get -A takes at most.
	maxRow = 140
	// gap is what kubectl leaves between two columns.
	gap = 3
	// restOfRow is what trigger, phase and age take of a row.
	restOfRow = len("ImagePull") + len("ReportedOnly") + len("2m30s") + 3*gap
)

// summary is what the record says now, short enough for its row of kubectl get. Where a person is asked it ends with
// how to answer; what has ended says first how.
func summary(r *v1alpha1.Rollback, says string, now time.Time) string {
	alone := maxRow - restOfRow - len(r.Name) - gap
	room := alone
	if beside := alone - len(r.Namespace) - gap; beside >= leastBeside {
		room = beside
	}
	room = min(max(room, leastSummary), maxSummary)
	about, says := inShort(r, says)
	if r.Status.Question == nil {
		return cut(firstThatFits(room, about+says, says), room)
	}
	answer := v1alpha1.Approve
	if !r.Status.Question.Allows(answer) {
		answer = v1alpha1.Reject
	}
	how := fmt.Sprintf("backstop %s %s -n %s", strings.ToLower(string(answer)), r.Name, r.Namespace)
	to := "to " + brings(r, answer)
	lines := []string{"still open, " + to + ": " + how, to + ": " + how}
	least, short := how, "backstop approve or reject it still"
	if left := room - len(", ") - len(to+": "+how); r.Status.Ended() && left >= leastSaid {
		return cut(says, left) + ", " + to + ": " + how
	}
	if !r.Status.Ended() {
		at, undone := r.Status.DecideBy(now)
		by := "by " + until(at, now) + ": "
		who := "a person decides by "
		if undone {
			who = "Flux undoes it at about "
		}
		lines = []string{
			about + who + until(at, now) + ", " + to + ": " + how, about + to + " " + by + how, to + " " + by + how, by + how,
		}
		least, short = by+how, "backstop approve or reject by "+until(at, now)
	}
	if line := firstThatFits(room, lines...); utf8.RuneCountInString(line) <= room {
		return line
	}
	return firstThatFits(min(alone, maxSummary), least, how, short)
}

// firstThatFits is the first line that has room; the last one where none has.
func firstThatFits(room int, lines ...string) string {
	for _, line := range lines {
		if utf8.RuneCountInString(line) <= room {
			return line
		}
	}
	return lines[len(lines)-1]
}

// inShort is a sentence with images as people call them, and what it is about where it does not say so.
func inShort(r *v1alpha1.Rollback, says string) (about, short string) {
	about, short = r.Spec.Subject.String(), says
	if name := r.Spec.Subject.Image(); name != "" {
		about = image.Brief(name)
		short = strings.ReplaceAll(short, name, about)
		if t := r.Status.Target; t != nil && t.Image != "" {
			short = strings.ReplaceAll(short, t.Image, image.Brief(t.Image))
		}
	}
	if strings.Contains(short, about) {
		return "", short
	}
	return about + ": ", short
}

// brings is what an answer brings about.
func brings(r *v1alpha1.Rollback, a v1alpha1.Answer) string {
	switch byHand := r.Status.ByHandAlone(); {
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
