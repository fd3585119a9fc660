package card

import "github.com/slack-go/slack"

// The action IDs of the buttons. They never change; what a click is about is in its value.
const (
	// Approve reverts in Git, or adopts a drift into Git.
	Approve = "backstop.approve"
	// Reject keeps the image, or restores a drift from Git.
	Reject = "backstop.reject"
	// View opens the commit in a browser; Slack reports the click nevertheless.
	View = "backstop.view"
)

// mrkdwn is text that is escaped already. Slack adds no links of its own to it.
func mrkdwn(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, s, false, true)
}

func plainText(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

func section(s string) *slack.SectionBlock { return slack.NewSectionBlock(mrkdwn(s), nil, nil) }

// preformatted shows text as it is: nothing in it is parsed.
func preformatted(s string) *slack.RichTextBlock {
	return slack.NewRichTextBlock("", &slack.RichTextPreformatted{
		Type: slack.RTEPreformatted, Elements: []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement(s, nil)},
	})
}

func elements(lines []string) []slack.MixedElement {
	out := make([]slack.MixedElement, 0, len(lines))
	for _, l := range lines {
		out = append(out, mrkdwn(l))
	}
	return out
}
