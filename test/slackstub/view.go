package slackstub

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Messages are what stands in a channel now, oldest first: cards, and lines of threads that were broadcast.
func (w *Workspace) Messages(channel string) []Message {
	return w.pick(func(m *Message) bool { return m.Channel == channel && (m.ThreadTS == "" || m.Broadcast) && !m.Deleted })
}

// Thread is what stands below a message, oldest first.
func (w *Workspace) Thread(channel, ts string) []Message {
	return w.pick(func(m *Message) bool { return m.Channel == channel && m.ThreadTS == ts && !m.Deleted })
}

// Everything is all that was ever posted, oldest first, also what was deleted.
func (w *Workspace) Everything() []Message { return w.pick(func(*Message) bool { return true }) }

func (w *Workspace) pick(want func(*Message) bool) []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Message
	for _, m := range w.messages {
		if want(m) {
			c := *m
			c.Versions = slices.Clone(m.Versions)
			out = append(out, c)
		}
	}
	return out
}

// Delete takes a message away, as a person with the right to may.
func (w *Workspace) Delete(channel, ts string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.find(channel, ts); m != nil {
		m.Deleted = true
		w.touch()
	}
}

// Ephemerals are the answers that one person saw, oldest first; everybody's when user is empty.
func (w *Workspace) Ephemerals(user string) []Ephemeral {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Ephemeral
	for _, e := range w.ephemerals {
		if user == "" || e.User == user {
			out = append(out, e)
		}
	}
	return out
}

// MaxPosts is the largest number of messages that were posted to a channel within any stretch of time.
func (w *Workspace) MaxPosts(channel string, within time.Duration) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var at []time.Time
	for _, m := range w.messages {
		if m.Channel == channel {
			at = append(at, m.At)
		}
	}
	most := 0
	for i := range at {
		n := 0
		for _, t := range at[i:] {
			if t.Sub(at[i]) < within {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// Button is what can be clicked on a message.
type Button struct {
	ActionID, BlockID, Value, Text, URL, Style string
	// Confirm is the dialog that comes first; nil for none.
	Confirm *Confirm
}

// Confirm is the dialog between a button and its click.
type Confirm struct{ Title, Text, Yes, No string }

type textObject struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type buttonJSON struct {
	Type     string     `json:"type"`
	ActionID string     `json:"action_id"`
	Value    string     `json:"value"`
	Text     textObject `json:"text"`
	URL      string     `json:"url"`
	Style    string     `json:"style"`
	Confirm  *struct {
		Title   textObject `json:"title"`
		Text    textObject `json:"text"`
		Confirm textObject `json:"confirm"`
		Deny    textObject `json:"deny"`
	} `json:"confirm"`
}

// Buttons of a message, in their order.
func (m Message) Buttons() []Button { return buttonsOf(m.Blocks) }

func buttonsOf(raw json.RawMessage) []Button {
	var blocks []struct {
		BlockID   string      `json:"block_id"`
		Accessory *buttonJSON `json:"accessory"`
		// Elements of other blocks have other shapes.
		Elements json.RawMessage `json:"elements"`
	}
	if json.Unmarshal(raw, &blocks) != nil {
		return nil
	}
	var out []Button
	for _, b := range blocks {
		var elements []buttonJSON
		if json.Unmarshal(b.Elements, &elements) != nil {
			elements = nil
		}
		if b.Accessory != nil {
			elements = append(elements, *b.Accessory)
		}
		for _, e := range elements {
			if e.Type != "button" {
				continue
			}
			button := Button{
				ActionID: e.ActionID, BlockID: b.BlockID, Value: e.Value, Text: e.Text.Text, URL: e.URL, Style: e.Style,
			}
			if c := e.Confirm; c != nil {
				button.Confirm = &Confirm{Title: c.Title.Text, Text: c.Text.Text, Yes: c.Confirm.Text, No: c.Deny.Text}
			}
			out = append(out, button)
		}
	}
	return out
}

// Button finds one by its action.
func (m Message) Button(action string) (Button, bool) {
	for _, b := range m.Buttons() {
		if b.ActionID == action {
			return b, true
		}
	}
	return Button{}, false
}

// Header is the text of the first header block; empty if absent.
func (m Message) Header() string {
	var blocks []struct {
		Type string          `json:"type"`
		Text json.RawMessage `json:"text"`
	}
	_ = json.Unmarshal(m.Blocks, &blocks)
	for _, b := range blocks {
		var t textObject
		if b.Type == "header" && json.Unmarshal(b.Text, &t) == nil {
			return t.Text
		}
	}
	return ""
}

// Says is every text of the message, a line each, as it was sent.
func (m Message) Says() string {
	lines := []string{m.Text}
	walk(m.Blocks, func(node map[string]any) {
		if s, ok := node["text"].(string); ok {
			lines = append(lines, s)
		}
	})
	return strings.Join(lines, "\n")
}

var mention = regexp.MustCompile(`<!(?:channel|here|everyone|subteam\^[A-Z0-9]+)[^>]*>|<@[A-Z0-9]+[^>]*>`)

// Pings are the people, groups and channels whom the message calls: in its text, in mrkdwn, and in rich text.
func (m Message) Pings() []string {
	out := mention.FindAllString(m.Text, -1)
	walk(m.Blocks, func(node map[string]any) {
		switch node["type"] {
		case "mrkdwn":
			s, _ := node["text"].(string)
			out = append(out, mention.FindAllString(s, -1)...)
		case "user", "usergroup", "broadcast":
			out = append(out, fmt.Sprint(node["type"]))
		}
	})
	return out
}

// walk visits every object in a JSON document.
func walk(raw json.RawMessage, visit func(map[string]any)) {
	var doc any
	if json.Unmarshal(raw, &doc) != nil {
		return
	}
	var down func(any)
	down = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			visit(v)
			// The order of a map is random, that of a list is not; the texts of one object are its own.
			for _, name := range []string{"text", "fields", "accessory", "title", "confirm", "elements", "options"} {
				down(v[name])
			}
		case []any:
			for _, e := range v {
				down(e)
			}
		}
	}
	down(doc)
}
