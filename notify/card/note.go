package card

import (
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify"
)

// Note is the line of the thread for one saved change; ok is false where the change says nothing new. broadcast asks
// for it to be shown in the channel too: a failure, an expiry, and a question that came up after the card was posted,
// since an edited card does not notify anybody. Nobody is mentioned in the log.
func Note(before, after *v1alpha1.Rollback) (text string, broadcast, ok bool) {
	var lines []string
	for _, n := range notify.WhatsNew(before, after) {
		lines = append(lines, mark(n)+foreign(n.Sentence, 700))
		switch n.Reason {
		case "ApprovalNeeded":
			broadcast = broadcast || Ready(before)
		case string(v1alpha1.ResultFailed), string(v1alpha1.ResultExpired):
			broadcast = true
		}
	}
	if line := newDecision(before, after); line != "" {
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), broadcast, len(lines) > 0
}

func mark(n notify.News) string {
	if n.Warning {
		return "⚠️ "
	}
	return ""
}

// newDecision tells of a person's answer when it is recorded; the verdict that follows says the same.
func newDecision(before, after *v1alpha1.Rollback) string {
	if len(after.Spec.Decisions) == 0 || len(before.Spec.Decisions) > 0 || after.Status.Verdict != nil {
		return ""
	}
	return byWhom(after)
}
