package slackstub

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is what stands in a channel or a thread.
type Message struct {
	// Channel and TS are its address; ThreadTS that of the message above its thread.
	Channel, TS, ThreadTS string
	// App that wrote it.
	App string
	// Text and Blocks are what people see now; every block has an ID.
	Text   string
	Blocks json.RawMessage
	// Metadata that apps read.
	Metadata json.RawMessage
	// Broadcast means that a line of a thread stands in the channel too.
	Broadcast bool
	Deleted   bool
	// At is when it was posted.
	At time.Time
	// Versions are what it was before, oldest first.
	Versions []Version
}

// Version is a state that a message was in.
type Version struct {
	Text   string
	Blocks json.RawMessage
	// Until is when the next one came.
	Until time.Time
}

// Ephemeral is an answer that one person sees.
type Ephemeral struct {
	Channel, ThreadTS, User, Text string
	Blocks                        json.RawMessage
	At                            time.Time
}

// text limits of Slack: what is longer is cut when it is posted, and refused when it updates.
const (
	maxPostText   = 40000
	maxUpdateText = 4000
	maxMetadata   = 16 << 10
)

// content reads text, blocks and metadata of a call, and holds them to the limits.
func (c *call) content() (text string, blocks json.RawMessage, out reply, refused string) {
	text = c.args.Get("text")
	if raw := c.args.Get("blocks"); raw != "" && raw != "null" {
		complaints := Validate([]byte(raw))
		if len(complaints) > 0 {
			messages := make([]string, len(complaints))
			for i, m := range complaints {
				messages[i] = "[ERROR] " + m
			}
			return "", nil, reply{"errors": complaints, "response_metadata": reply{"messages": messages}}, "invalid_blocks"
		}
		blocks = c.w.named(raw)
	}
	if len(c.args.Get("metadata")) > maxMetadata {
		return "", nil, nil, "metadata_too_large"
	}
	if text == "" && len(blocks) == 0 {
		return "", nil, nil, "no_text"
	}
	return text, blocks, nil, ""
}

// named gives every block that has none an ID. An empty list is no blocks.
func (w *Workspace) named(raw string) json.RawMessage {
	var blocks []map[string]any
	if json.Unmarshal([]byte(raw), &blocks) != nil || len(blocks) == 0 {
		return nil
	}
	for _, b := range blocks {
		if id, _ := b["block_id"].(string); id == "" {
			b["block_id"] = w.newID("b")
		}
	}
	out, _ := json.Marshal(blocks)
	return out
}

// target finds the channel that a call may write to.
func (c *call) target(names bool) (*Channel, string) {
	ch := c.w.team.channel(c.args.Get("channel"), names)
	switch {
	case ch == nil || !ch.sees(c.app):
		return nil, "channel_not_found"
	case ch.Archived:
		return nil, "is_archived"
	case !slices.Contains(ch.Members, c.app.BotUser) && !slices.Contains(c.app.Scopes, "chat:write.public"):
		return nil, "not_in_channel"
	}
	return ch, ""
}

func postMessage(c *call) (reply, string) {
	ch, refused := c.target(true)
	if refused != "" {
		return nil, refused
	}
	if every := c.w.options.PostEvery; every > 0 && time.Since(c.w.lastPost[ch.ID]) < every {
		return nil, "ratelimited"
	}
	if ch.NoReplies != "" && c.args.Get("thread_ts") != "" {
		return nil, ch.NoReplies
	}
	text, blocks, out, refused := c.content()
	if refused != "" {
		return out, refused
	}
	m := &Message{
		Channel: ch.ID, TS: c.w.newTS(), App: c.app.ID, Text: cut(text, maxPostText), Blocks: blocks, At: time.Now(),
	}
	if raw := c.args.Get("metadata"); raw != "" && raw != "{}" {
		m.Metadata = json.RawMessage(raw)
	}
	// A reply to what is gone lands in the channel, without a word.
	if parent := c.w.find(ch.ID, c.args.Get("thread_ts")); parent != nil {
		m.ThreadTS = parent.TS
		m.Broadcast = c.args.Get("reply_broadcast") == "true"
	}
	c.w.lastPost[ch.ID] = time.Now()
	c.w.messages = append(c.w.messages, m)
	c.w.touch()
	return reply{"channel": ch.ID, "ts": m.TS, "message": c.w.shown(m)}, ""
}

func updateMessage(c *call) (reply, string) {
	ch := c.w.team.channel(c.args.Get("channel"), false)
	if ch == nil || !ch.sees(c.app) {
		return nil, "channel_not_found"
	}
	m := c.w.find(ch.ID, c.args.Get("ts"))
	switch {
	case m == nil:
		return nil, "message_not_found"
	case m.App != c.app.ID:
		return nil, "cant_update_message"
	case ch.Archived:
		return nil, "is_inactive"
	case utf8.RuneCountInString(c.args.Get("text")) > maxUpdateText:
		return nil, "msg_too_long"
	}
	text, blocks, out, refused := c.content()
	if refused != "" {
		return out, refused
	}
	m.Versions = append(m.Versions, Version{Text: m.Text, Blocks: m.Blocks, Until: time.Now()})
	// Text without blocks takes the blocks away; metadata that is not given stays.
	m.Text, m.Blocks = text, blocks
	switch raw := c.args.Get("metadata"); raw {
	case "":
	case "{}":
		m.Metadata = nil
	default:
		m.Metadata = json.RawMessage(raw)
	}
	c.w.touch()
	return reply{"channel": ch.ID, "ts": m.TS, "text": m.Text, "message": c.w.shown(m)}, ""
}

func deleteMessage(c *call) (reply, string) {
	m := c.w.find(c.args.Get("channel"), c.args.Get("ts"))
	switch {
	case m == nil:
		return nil, "message_not_found"
	case m.App != c.app.ID:
		return nil, "cant_delete_message"
	}
	m.Deleted = true
	c.w.touch()
	return reply{"channel": m.Channel, "ts": m.TS}, ""
}

func postEphemeral(c *call) (reply, string) {
	ch, refused := c.target(true)
	if refused != "" {
		return nil, refused
	}
	user := c.args.Get("user")
	if !slices.Contains(ch.Members, user) {
		return nil, "user_not_in_channel"
	}
	text, blocks, out, refused := c.content()
	if refused != "" {
		return out, refused
	}
	c.w.ephemerals = append(c.w.ephemerals, Ephemeral{
		Channel: ch.ID, ThreadTS: c.args.Get("thread_ts"), User: user, Text: text, Blocks: blocks, At: time.Now(),
	})
	c.w.touch()
	return reply{"message_ts": c.w.newTS()}, ""
}

func permalink(c *call) (reply, string) {
	m := c.w.find(c.args.Get("channel"), c.args.Get("message_ts"))
	if m == nil {
		return nil, "message_not_found"
	}
	link := fmt.Sprintf("https://acme.slack.com/archives/%s/p%s", m.Channel, strings.Replace(m.TS, ".", "", 1))
	return reply{"channel": m.Channel, "permalink": link}, ""
}

func conversationsHistory(c *call) (reply, string) {
	return c.list(func(m *Message) bool { return m.ThreadTS == "" || m.Broadcast })
}

func conversationsReplies(c *call) (reply, string) {
	ts := c.args.Get("ts")
	return c.list(func(m *Message) bool { return m.TS == ts || m.ThreadTS == ts })
}

func (c *call) list(want func(*Message) bool) (reply, string) {
	ch := c.w.team.channel(c.args.Get("channel"), false)
	if ch == nil || !slices.Contains(ch.Members, c.app.BotUser) {
		return nil, "channel_not_found"
	}
	out := []reply{}
	for _, m := range c.w.messages {
		if m.Channel == ch.ID && !m.Deleted && want(m) {
			out = append(out, c.w.shown(m))
		}
	}
	return reply{"messages": out, "has_more": false}, ""
}

func validateBlocks(c *call) (reply, string) {
	complaints := Validate([]byte(c.args.Get("blocks")))
	if len(complaints) == 0 {
		return reply{}, ""
	}
	return reply{"errors": complaints, "response_metadata": reply{"messages": complaints}}, "invalid_blocks"
}

// find gives a message that is still there. The caller holds the lock.
func (w *Workspace) find(channel, ts string) *Message {
	for _, m := range w.messages {
		if m.Channel == channel && m.TS == ts && !m.Deleted {
			return m
		}
	}
	return nil
}

// shown is a message as Slack sends it. The caller holds the lock.
func (w *Workspace) shown(m *Message) reply {
	out := reply{"type": "message", "ts": m.TS, "text": m.Text, "team": w.team.ID, "app_id": m.App}
	if a := w.team.app(m.App); a != nil {
		out["user"], out["bot_id"] = a.BotUser, a.BotID
	}
	if m.ThreadTS != "" {
		out["thread_ts"] = m.ThreadTS
	}
	if m.Broadcast {
		out["subtype"] = "thread_broadcast"
	}
	if len(m.Blocks) > 0 {
		out["blocks"] = m.Blocks
	}
	if len(m.Metadata) > 0 {
		out["metadata"] = m.Metadata
	}
	return out
}

func cut(s string, runes int) string {
	if utf8.RuneCountInString(s) <= runes {
		return s
	}
	return string([]rune(s)[:runes])
}
