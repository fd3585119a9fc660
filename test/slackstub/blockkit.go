package slackstub

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Validate holds the blocks of a message to Slack's limits, and gives its complaints in Slack's words.
func Validate(raw []byte) []string {
	v := &validation{}
	var blocks []any
	if err := json.Unmarshal(raw, &blocks); err != nil {
		return []string{"must be an array of blocks"}
	}
	if len(blocks) > 50 {
		v.complain("", "no more than 50 items allowed")
	}
	seen := map[string]bool{}
	for i, b := range blocks {
		at := fmt.Sprintf("/blocks/%d", i)
		block, ok := b.(map[string]any)
		if !ok {
			v.complain(at, "must be an object")
			continue
		}
		if id, _ := block["block_id"].(string); id != "" {
			if seen[id] {
				v.complain(at+"/block_id", "block_id already exists")
			}
			seen[id] = true
		}
		v.block(at, block)
	}
	return v.complaints
}

type validation struct{ complaints []string }

func (v *validation) complain(at, format string, args ...any) {
	v.complaints = append(v.complaints, fmt.Sprintf(format, args...)+" [json-pointer:"+at+"]")
}

// The fields that a block or an element may have, beside type and block_id.
func fields() map[string][]string {
	return map[string][]string{
		"header":    {"text", "level"},
		"section":   {"text", "fields", "accessory", "expand"},
		"context":   {"elements"},
		"actions":   {"elements"},
		"divider":   {},
		"rich_text": {"elements"},
		"image":     {"image_url", "alt_text", "title", "slack_file"},
		"button":    {"text", "action_id", "url", "value", "style", "confirm", "accessibility_label"},
		"overflow":  {"action_id", "options", "confirm"},
		"confirm":   {"title", "text", "confirm", "deny", "style"},
		"text":      {"text", "emoji", "verbatim"},
	}
}

// known complains about fields that a thing of a kind does not have.
func (v *validation) known(at, kind string, thing map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(thing)) {
		if name != "type" && name != "block_id" && !slices.Contains(fields()[kind], name) {
			v.complain(at, "invalid additional property: %s", name)
		}
	}
}

func (v *validation) block(at string, b map[string]any) {
	kind, _ := b["type"].(string)
	v.short(at, b, "block_id", 255)
	switch kind {
	case "header":
		v.text(at+"/text", b["text"], 150, "plain_text")
	case "section":
		v.section(at, b)
	case "context":
		v.each(at+"/elements", b["elements"], 10, func(at string, e map[string]any) {
			if e["type"] == "image" {
				v.image(at, e)
				return
			}
			v.text(at, e, 3000, "plain_text", "mrkdwn")
		})
	case "actions":
		v.actions(at, b)
	case "rich_text":
		v.each(at+"/elements", b["elements"], 1000, v.richText)
	case "image":
		v.image(at, b)
	case "divider":
	default:
		v.complain(at+"/type", "unsupported type: %s", kind)
		return
	}
	v.known(at, kind, b)
}

func (v *validation) section(at string, b map[string]any) {
	_, hasText := b["text"]
	_, hasFields := b["fields"]
	if !hasText && !hasFields {
		v.complain(at, "missing required field: text or fields")
	}
	if hasText {
		v.text(at+"/text", b["text"], 3000, "plain_text", "mrkdwn")
	}
	if hasFields {
		v.each(at+"/fields", b["fields"], 10, func(at string, f map[string]any) {
			v.text(at, f, 2000, "plain_text", "mrkdwn")
		})
	}
	if e, ok := b["accessory"].(map[string]any); ok {
		v.element(at+"/accessory", e)
	}
}

func (v *validation) actions(at string, b map[string]any) {
	seen := map[string]bool{}
	v.each(at+"/elements", b["elements"], 25, func(at string, e map[string]any) {
		if id, _ := e["action_id"].(string); id != "" {
			if seen[id] {
				v.complain(at+"/action_id", "action_id already exists")
			}
			seen[id] = true
		}
		v.element(at, e)
	})
}

func (v *validation) element(at string, e map[string]any) {
	kind, _ := e["type"].(string)
	v.short(at, e, "action_id", 255)
	switch kind {
	case "button":
		v.text(at+"/text", e["text"], 75, "plain_text")
		v.short(at, e, "value", 2000)
		v.short(at, e, "url", 3000)
		v.short(at, e, "accessibility_label", 75)
		v.style(at, e)
	case "overflow":
		v.each(at+"/options", e["options"], 5, func(at string, o map[string]any) {
			v.text(at+"/text", o["text"], 75, "plain_text")
			v.short(at, o, "value", 75)
		})
	case "image":
		v.image(at, e)
		return
	default:
		v.complain(at+"/type", "unsupported type: %s", kind)
		return
	}
	v.known(at, kind, e)
	if c, has := e["confirm"]; has {
		confirm, ok := c.(map[string]any)
		if !ok {
			v.complain(at+"/confirm", "must be an object")
			return
		}
		v.confirm(at+"/confirm", confirm)
	}
}

func (v *validation) confirm(at string, c map[string]any) {
	v.text(at+"/title", c["title"], 100, "plain_text")
	v.text(at+"/text", c["text"], 300, "plain_text", "mrkdwn")
	v.text(at+"/confirm", c["confirm"], 30, "plain_text")
	v.text(at+"/deny", c["deny"], 30, "plain_text")
	v.style(at, c)
	v.known(at, "confirm", c)
}

func (v *validation) style(at string, e map[string]any) {
	if s, has := e["style"]; has && s != "primary" && s != "danger" {
		v.complain(at+"/style", "must be a valid enum value")
	}
}

func (v *validation) image(at string, e map[string]any) {
	if s, _ := e["alt_text"].(string); s == "" {
		v.complain(at, "missing required field: alt_text")
	}
	v.short(at, e, "image_url", 3000)
	v.known(at, "image", e)
}

// text holds a text object to its length and kind.
func (v *validation) text(at string, t any, most int, kinds ...string) {
	object, ok := t.(map[string]any)
	if !ok {
		v.complain(at, "missing required field: %s", at[strings.LastIndexByte(at, '/')+1:])
		return
	}
	if kind, _ := object["type"].(string); !slices.Contains(kinds, kind) {
		v.complain(at+"/type", "must be %s", strings.Join(kinds, " or "))
	}
	s, ok := object["text"].(string)
	switch n := utf8.RuneCountInString(s); {
	case !ok || n == 0:
		v.complain(at+"/text", "must be more than 0 characters")
	case n > most:
		v.complain(at+"/text", "must be less than %d characters", most+1)
	}
	v.known(at, "text", object)
}

func (v *validation) short(at string, e map[string]any, field string, most int) {
	if s, _ := e[field].(string); utf8.RuneCountInString(s) > most {
		v.complain(at+"/"+field, "must be less than %d characters", most+1)
	}
}

func (v *validation) each(at string, list any, most int, do func(string, map[string]any)) {
	items, ok := list.([]any)
	switch {
	case !ok || len(items) == 0:
		v.complain(at, "no fewer than 1 item allowed")
	case len(items) > most:
		v.complain(at, "no more than %d items allowed", most)
	}
	for i, item := range items {
		e, ok := item.(map[string]any)
		if !ok {
			v.complain(fmt.Sprintf("%s/%d", at, i), "must be an object")
			continue
		}
		do(fmt.Sprintf("%s/%d", at, i), e)
	}
}

// richText goes down a rich text as far as its kinds are known.
func (v *validation) richText(at string, e map[string]any) {
	kind, _ := e["type"].(string)
	switch kind {
	case "rich_text_section", "rich_text_preformatted", "rich_text_quote", "rich_text_list":
		items, ok := e["elements"].([]any)
		if !ok {
			v.complain(at+"/elements", "must be an array")
		}
		for i, item := range items {
			if inner, ok := item.(map[string]any); ok {
				v.richText(fmt.Sprintf("%s/elements/%d", at, i), inner)
			}
		}
	case "text":
		if s, _ := e["text"].(string); s == "" {
			v.complain(at+"/text", "must be more than 0 characters")
		}
	case "link", "user", "usergroup", "broadcast", "channel", "emoji", "date":
	default:
		v.complain(at+"/type", "unsupported type: %s", kind)
	}
}
