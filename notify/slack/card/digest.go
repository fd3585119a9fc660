package card

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackutilsx"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// digestLines is how many Rollbacks a digest names; the others are counted.
const digestLines = 15

// Digest is one card for several Rollbacks, such as all those of one commit. Each has its own card in the thread, where
// it is decided.
func Digest(cluster string, rollbacks []*v1alpha1.Rollback) Card {
	open, lines, loudOnes := 0, []string(nil), false
	for i, r := range rollbacks {
		if Open(r) {
			open++
		}
		loudOnes = loudOnes || loud(r)
		if i < digestLines {
			lines = append(lines, digestLine(r))
		}
	}
	if more := len(rollbacks) - digestLines; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more, in the thread", more))
	}
	title := fmt.Sprintf("%d images cannot be pulled", len(rollbacks))
	if slices.ContainsFunc(rollbacks, applies) {
		title = fmt.Sprintf("%d failures", len(rollbacks))
	} else if slices.ContainsFunc(rollbacks, crashed) {
		title = fmt.Sprintf("%d images do not run", len(rollbacks))
	}
	if from := oneCommit(rollbacks); from != "" {
		title += " since commit " + plain(short7(from), 12)
	}
	point := fmt.Sprintf("%s: %s.", cmp.Or(plain(cluster, 60), "Backstop"), title)
	next := "*Next* nobody is asked; each one's card is in the thread"
	if open > 0 {
		next = fmt.Sprintf("🟡 *%d to decide*, each on its card in the thread", open)
		point += fmt.Sprintf(" %d to decide, in the thread.", open)
	}
	blocks := []slack.Block{
		slack.NewHeaderBlock(plainText(text.Cut(title, 150))),
		slack.NewSectionBlock(nil, digestFields(cluster, rollbacks), nil),
	}
	if len(lines) > 0 {
		blocks = append(blocks, section(fit(lines...)))
	}
	last := elements([]string{"Without Slack: `backstop get -A`"})
	blocks = append(blocks, section(next), slack.NewContextBlock("", last...))
	return Card{Text: slackutilsx.EscapeMessage(text.Cut(point, 600)), Blocks: blocks, Broadcast: loudOnes}
}

func crashed(r *v1alpha1.Rollback) bool { return r.Status.SeenBy(v1alpha1.TriggerRollout) }

func digestFields(cluster string, rollbacks []*v1alpha1.Rollback) []*slack.TextBlockObject {
	out := []*slack.TextBlockObject{mrkdwn("*Cluster*\n" + cmp.Or(foreign(cluster, 100), "not named"))}
	var namespaces []string
	seen := map[string]bool{}
	for _, r := range rollbacks {
		if !seen[r.Namespace] {
			seen[r.Namespace] = true
			namespaces = append(namespaces, code(r.Namespace, 63))
		}
	}
	if len(namespaces) > 0 {
		out = append(out, mrkdwn("*Namespaces*\n"+cmp.Or(join(namespaces, 5), "none")))
	}
	return out
}

// digestLine is one Rollback in a line: where it stands in a word, and what it is about.
func digestLine(r *v1alpha1.Rollback) string {
	w := wordsOf(r)
	out := fmt.Sprintf("• *%s* %s %s", stateWord(r), code(w.app, 80), code(w.bad, 50))
	if w.good != "" {
		out += " → " + code(w.good, 50)
	}
	return out
}

func stateWord(r *v1alpha1.Rollback) string {
	switch stateOf(r) {
	case failing:
		return "Failing"
	case asking:
		return "To decide"
	case reverting:
		return "Decided"
	case reverted:
		return "Reverted in Git"
	case ended:
	}
	return foreign(string(r.Status.Outcome.Result), 30)
}

// oneCommit is the suspect that all share; empty where they do not.
func oneCommit(rollbacks []*v1alpha1.Rollback) string {
	commit := ""
	for i, r := range rollbacks {
		s := r.Status.Suspect
		if s == nil || (i > 0 && s.Commit != commit) {
			return ""
		}
		commit = s.Commit
	}
	return commit
}
