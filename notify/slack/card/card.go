// Package card makes Slack messages of Rollbacks. It is pure: it knows no clock, no network and no channel, so that
// the same facts always give the same bytes, which golden files hold.
//
// A Rollback is one message that changes in place. Its blocks have the same order in every state, so that the eye finds
// things:
//
//	┌ header   Approval needed: revert shop-api to v1.41.3
//	│ fields   workload · cluster · image from → to · pods · commit · policy
//	│ words    what the kubelet says, unformatted
//	│ scope    what is reverted, and what else the commit brought in and is not
//	│ next     what happens next and when, and why a person is asked; at the end: the record
//	│ actions  Revert in Git · Keep v1.42.0 · View Commit      (only while people can decide)
//	└ context  who may decide, the way without Slack, the Rollback's name
//
// Times are Slack's date tokens, which every reader sees in his own zone, so that no countdown needs edits. All text
// from outside is cleaned, cut and escaped: see text.go. Validate holds a card to Slack's limits.
package card

import (
	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// Card is one Slack message.
type Card struct {
	// Text is what notifications and screen readers say.
	Text string
	// Blocks are what is shown.
	Blocks []slack.Block
	// Broadcast means that the news of this state is worth showing in the channel beside the thread.
	Broadcast bool
}

// Of renders the card of a Rollback in the state that it is in.
func Of(f Facts) Card {
	r := f.Rollback
	blocks := []slack.Block{slack.NewHeaderBlock(plainText(text.Cut(header(r), 150)))}
	blocks = append(blocks, slack.NewSectionBlock(nil, fields(f), nil))
	if words := kubelet(&r.Status); words != "" {
		blocks = append(blocks, preformatted(words))
	}
	if s := scope(f); s != "" {
		blocks = append(blocks, section(s))
	}
	blocks = append(blocks, section(next(f)))
	if Open(r) {
		blocks = append(blocks, slack.NewActionBlock("", buttons(f)...))
	}
	blocks = append(blocks, slack.NewContextBlock("", elements(context(f))...))
	return Card{Text: point(f), Blocks: blocks, Broadcast: loud(r)}
}

// Moved is what stays of a card that went to another channel: all that it says, and no way to decide.
func Moved(c Card, to string) Card {
	said := "This card moved to <#" + escaped(to, 64) + ">: people decide there, and it is kept up to date there."
	out := Card{Text: "Moved to another channel: " + c.Text}
	for _, b := range c.Blocks {
		switch b.BlockType() {
		case slack.MBTAction:
		case slack.MBTContext:
			out.Blocks = append(out.Blocks, section(said))
		default:
			out.Blocks = append(out.Blocks, b)
		}
	}
	return out
}

// loud reports whether a state needs a person who may have stopped looking.
func loud(r *v1alpha1.Rollback) bool {
	if stateOf(r) != ended {
		return false
	}
	s := &r.Status
	return s.Outcome.Result == v1alpha1.ResultFailed || s.Outcome.Result == v1alpha1.ResultExpired
}
