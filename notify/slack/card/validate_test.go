package card

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// Slack's other limits, in characters where they are of text.
const (
	maxBlocks        = 50
	maxText          = 4000 // what an update takes; a post is cut at 40,000
	maxHeader        = 150
	maxField         = 2000
	maxFields        = 10
	maxContext       = 10
	maxActions       = 25
	maxButton        = 75
	maxButtonValue   = 2000
	maxURL           = 3000
	maxID            = 255
	maxConfirmTitle  = 100
	maxConfirmText   = 300
	maxConfirmAnswer = 30
	maxTogether      = 12000 // Slack names none for all texts together, and refuses more than about 13,000
)

// Validate describes what Slack would refuse of a card.
func Validate(c Card) error {
	var v validator
	v.length("text", c.Text, 1, maxText)
	if n := len(c.Blocks); n == 0 || n > maxBlocks {
		v.fault("blocks: %d, want 1 to %d", n, maxBlocks)
	}
	for i, b := range c.Blocks {
		v.block(fmt.Sprintf("blocks[%d]", i), b)
	}
	if v.together > maxTogether {
		v.fault("blocks: %d characters together, want at most %d", v.together, maxTogether)
	}
	return errors.Join(v.faults...)
}

type validator struct {
	faults   []error
	together int
}

func (v *validator) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Errorf(format, args...))
}

func (v *validator) length(at, s string, least, most int) {
	if n := utf8.RuneCountInString(s); n < least || n > most {
		v.fault("%s: %d characters, want %d to %d", at, n, least, most)
	}
	if !utf8.ValidString(s) {
		v.fault("%s: not UTF-8", at)
	}
}

func (v *validator) block(at string, b slack.Block) {
	switch b := b.(type) {
	case *slack.HeaderBlock:
		v.plain(at+".text", b.Text, maxHeader)
	case *slack.SectionBlock:
		v.section(at, b)
	case *slack.ContextBlock:
		if n := len(b.ContextElements.Elements); n == 0 || n > maxContext {
			v.fault("%s: %d elements, want 1 to %d", at, n, maxContext)
		}
		for i, e := range b.ContextElements.Elements {
			t, ok := e.(*slack.TextBlockObject)
			if !ok {
				v.fault("%s[%d]: %T", at, i, e)
				continue
			}
			v.object(fmt.Sprintf("%s[%d]", at, i), t, maxObject)
		}
	case *slack.ActionBlock:
		v.actions(at, b)
	case *slack.RichTextBlock:
		v.rich(at, b)
	default:
		v.fault("%s: no card has a %T", at, b)
	}
}

func (v *validator) section(at string, b *slack.SectionBlock) {
	if b.Text == nil && len(b.Fields) == 0 {
		v.fault("%s: neither text nor fields", at)
	}
	if b.Text != nil {
		v.object(at+".text", b.Text, maxObject)
	}
	if len(b.Fields) > maxFields {
		v.fault("%s: %d fields, want at most %d", at, len(b.Fields), maxFields)
	}
	for i, f := range b.Fields {
		v.object(fmt.Sprintf("%s.fields[%d]", at, i), f, maxField)
	}
}

func (v *validator) object(at string, t *slack.TextBlockObject, most int) {
	if t == nil {
		v.fault("%s: missing", at)
		return
	}
	v.length(at, t.Text, 1, most)
	v.together += utf8.RuneCountInString(t.Text)
	if t.Type == slack.MarkdownType && !t.Verbatim {
		v.fault("%s: not verbatim, so that Slack would make links of its own", at)
	}
}

func (v *validator) plain(at string, t *slack.TextBlockObject, most int) {
	v.object(at, t, most)
	if t != nil && t.Type != slack.PlainTextType {
		v.fault("%s: %s, want plain_text", at, t.Type)
	}
}

func (v *validator) actions(at string, b *slack.ActionBlock) {
	if n := len(b.Elements.ElementSet); n == 0 || n > maxActions {
		v.fault("%s: %d elements, want 1 to %d", at, n, maxActions)
	}
	seen := map[string]bool{}
	for i, e := range b.Elements.ElementSet {
		at := fmt.Sprintf("%s[%d]", at, i)
		button, ok := e.(*slack.ButtonBlockElement)
		if !ok {
			v.fault("%s: no card has a %T", at, e)
			continue
		}
		v.plain(at+".text", button.Text, maxButton)
		v.length(at+".action_id", button.ActionID, 1, maxID)
		v.length(at+".value", button.Value, 1, maxButtonValue)
		v.length(at+".url", button.URL, 0, maxURL)
		v.length(at+".accessibility_label", button.AccessibilityLabel, 0, maxButton)
		if seen[button.ActionID] {
			v.fault("%s.action_id: %s is there twice", at, button.ActionID)
		}
		seen[button.ActionID] = true
		if c := button.Confirm; c != nil {
			v.plain(at+".confirm.title", c.Title, maxConfirmTitle)
			v.plain(at+".confirm.text", c.Text, maxConfirmText)
			v.plain(at+".confirm.confirm", c.Confirm, maxConfirmAnswer)
			v.plain(at+".confirm.deny", c.Deny, maxConfirmAnswer)
		}
	}
}

func (v *validator) rich(at string, b *slack.RichTextBlock) {
	for i, e := range b.Elements {
		p, ok := e.(*slack.RichTextPreformatted)
		if !ok || len(p.Elements) == 0 {
			v.fault("%s[%d]: want preformatted text", at, i)
			continue
		}
		for j, s := range p.Elements {
			t, ok := s.(*slack.RichTextSectionTextElement)
			if !ok {
				v.fault("%s[%d][%d]: %T", at, i, j, s)
				continue
			}
			v.length(fmt.Sprintf("%s[%d][%d]", at, i, j), t.Text, 1, maxObject)
		}
	}
}
