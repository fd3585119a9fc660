package card

import (
	"cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify"
)

// Note is what the thread is told of one saved change, a line for each piece of news; ok is false if there is no news.
// broadcast asks for it to be shown in the channel too: a failure, an expiry, and a question that came up after the
// card was posted, since an edited card does not notify anybody. Nobody is mentioned but the person who decided.
func Note(before, after *v1alpha1.Rollback) (text string, broadcast, ok bool) {
	var lines []string
	for _, n := range notify.WhatsNew(before, after) {
		line := mark(n) + cmp.Or(foreign(n.Sentence, 700), n.Reason)
		switch n.Reason {
		case "Decided":
			line = byWhom(after)
		case "ApprovalNeeded":
			broadcast = broadcast || Ready(before)
		case string(v1alpha1.ResultFailed), string(v1alpha1.ResultExpired):
			broadcast = true
		}
		lines = append(lines, line)
	}
	return fit(lines...), broadcast, len(lines) > 0
}

func mark(n notify.News) string {
	if n.Warning {
		return "⚠️ "
	}
	return ""
}
