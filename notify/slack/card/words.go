package card

import (
	"fmt"

	"github.com/slack-go/slack/slackutilsx"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// because lists the causes of the failures in words.
func because(s *v1alpha1.RollbackStatus) string {
	var out []string
	seen := map[v1alpha1.Cause]bool{}
	for _, f := range s.Failures {
		if !seen[f.Cause] {
			seen[f.Cause] = true
			out = append(out, causeWords(f.Cause))
		}
	}
	return join(out, 3)
}

func causeWords(c v1alpha1.Cause) string {
	if words := c.Words(); words != "" {
		return words
	}
	return foreign(string(c), 40)
}

func short7(hash string) string { return fmt.Sprintf("%.7s", hash) }

// link shows a commit by its short hash, linked where its page is known.
func (l Links) link(hash string) string {
	name := code(short7(hash), 12)
	if u := l.Commit(hash); u != "" {
		return "<" + slackutilsx.EscapeMessage(u) + "|" + name + ">"
	}
	return name
}

func what(r *v1alpha1.Rollback) string {
	if r.Spec.OpenedFor == v1alpha1.TriggerDrift {
		return "the change by hand"
	}
	return "the failure"
}
