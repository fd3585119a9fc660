package slackstub

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Click is what a person does to a message.
type Click struct {
	// User who clicks, on the message at Channel and TS, the button with Action.
	User, Channel, TS, Action string
	// Deny presses the other button of the confirm dialog: nothing is sent.
	Deny bool
	// Version clicks what the message was before, by the index of its versions plus one: a screen that was not
	// brought up to date yet.
	Version int
	// Alter changes the payload before it is sent, for what only an attacker or a mistake sends.
	Alter func(payload map[string]any)
}

// Receipt describes what became of a click.
type Receipt struct {
	// User and Action of the click.
	User, Action string
	// Sent means that a payload left Slack: not when the dialog was denied.
	Sent bool
	// Acked within the time that Slack allows. A person whose click was not sees a warning beside the button.
	Acked bool
	// Payload of the acknowledgement.
	Payload json.RawMessage
	// Status of the answer over HTTP.
	Status int
	// Connection that got it; over HTTP zero.
	Connection int
	// Took is the time from the click to its acknowledgement.
	Took time.Duration
}

// The ways in which a person cannot click.
var (
	ErrNoMessage = errors.New("there is no such message")
	ErrNoButton  = errors.New("the message has no such button")
	ErrNotHere   = errors.New("the user does not see this channel")
	ErrNoApp     = errors.New("the app is not connected: the click had no effect")
)

// Click clicks and waits for the acknowledgement.
func (w *Workspace) Click(ctx context.Context, c Click) (Receipt, error) {
	payload, app, err := w.Payload(c)
	if err != nil {
		return Receipt{}, err
	}
	if c.Deny {
		return w.keep(Receipt{User: c.User, Action: c.Action}), nil
	}
	var r Receipt
	if app.RequestURL != "" {
		r, err = w.post(ctx, app, payload)
	} else {
		r, err = w.deliver(ctx, app.ID, payload)
	}
	r.User, r.Action = c.User, c.Action
	return w.keep(r), err
}

func (w *Workspace) keep(r Receipt) Receipt {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.receipts = append(w.receipts, r)
	w.touch()
	return r
}

// Receipts are the clicks so far, oldest first.
func (w *Workspace) Receipts() []Receipt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.receipts)
}

// Payload is the block_actions payload of a click, and the app that it goes to.
func (w *Workspace) Payload(c Click) ([]byte, App, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.find(c.Channel, c.TS)
	if m == nil {
		return nil, App{}, ErrNoMessage
	}
	user, channel := w.team.Users[c.User], w.team.Channels[c.Channel]
	if user == nil || channel == nil || !slices.Contains(channel.Members, c.User) {
		return nil, App{}, ErrNotHere
	}
	seen := *m
	if c.Version > 0 {
		if c.Version > len(m.Versions) {
			return nil, App{}, ErrNoMessage
		}
		seen.Text, seen.Blocks = m.Versions[c.Version-1].Text, m.Versions[c.Version-1].Blocks
	}
	button, ok := seen.Button(c.Action)
	if !ok {
		return nil, App{}, ErrNoButton
	}
	app := *w.team.app(m.App)
	payload := w.blockActions(&seen, user, channel, button)
	if c.Alter != nil {
		c.Alter(payload)
	}
	raw, err := json.Marshal(payload)
	return raw, app, err
}

// blockActions builds what Slack sends. The caller holds the lock.
func (w *Workspace) blockActions(m *Message, u *User, ch *Channel, b Button) map[string]any {
	id := w.newID("r")
	w.urls[id] = &responseURL{
		channel: ch.ID, ts: m.TS, user: u.ID, app: m.App, until: time.Now().Add(30 * time.Minute), left: 5,
	}
	container := map[string]any{"type": "message", "message_ts": m.TS, "channel_id": ch.ID, "is_ephemeral": false}
	if m.ThreadTS != "" {
		container["thread_ts"] = m.ThreadTS
	}
	action := map[string]any{
		"type": "button", "action_id": b.ActionID, "block_id": b.BlockID, "action_ts": w.newTS(),
		"text": map[string]any{"type": "plain_text", "text": b.Text, "emoji": true},
	}
	if b.Value != "" {
		action["value"] = b.Value
	}
	if b.URL != "" {
		action["url"] = b.URL
	}
	out := map[string]any{
		"type": "block_actions", "token": "deprecated-verification-token", "trigger_id": w.newID("trigger-"),
		"api_app_id": m.App,
		"user":       map[string]any{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.TeamID},
		"team":       map[string]any{"id": w.team.ID, "domain": "acme"}, "enterprise": nil, "is_enterprise_install": false,
		"channel": map[string]any{"id": ch.ID, "name": ch.Name}, "container": container,
		"message": map[string]any(w.shown(m)),
		"state":   map[string]any{"values": map[string]any{}}, "response_url": w.base() + "/actions/" + w.team.ID + "/" + id,
		"actions": []any{action},
	}
	if w.team.Enterprise != "" {
		out["enterprise"] = map[string]any{"id": w.team.Enterprise, "name": "Acme Grid"}
	}
	return out
}

func (w *Workspace) base() string {
	if w.server == nil {
		return "http://slack.test"
	}
	return w.server.URL
}

// deliver hands a payload to one of the app's connections, whichever it is.
func (w *Workspace) deliver(ctx context.Context, app string, payload []byte) (Receipt, error) {
	w.mu.Lock()
	sockets := w.socketsOf(app)
	if len(sockets) == 0 {
		w.mu.Unlock()
		return Receipt{}, ErrNoApp
	}
	s := sockets[w.random.IntN(len(sockets))]
	envelope := w.newID("envelope-")
	w.mu.Unlock()
	acked := make(chan json.RawMessage, 1)
	s.mu.Lock()
	s.acks[envelope] = acked
	s.mu.Unlock()
	r := Receipt{Sent: true, Connection: s.id}
	start := time.Now()
	if err := s.send(reply{
		"type": "interactive", "envelope_id": envelope, "accepts_response_payload": false,
		"payload": json.RawMessage(payload),
	}); err != nil {
		return r, nil // the person sees a warning; nothing is sent again
	}
	timer := time.NewTimer(w.options.AckWithin)
	defer timer.Stop()
	// An acknowledgement that comes over another connection is of no use to Slack any more.
	select {
	case r.Payload = <-acked:
		r.Acked, r.Took = true, time.Since(start)
	case <-timer.C:
	case <-s.gone:
	case <-ctx.Done():
		return r, ctx.Err()
	}
	return r, nil
}

// post sends a payload to the app's request URL, signed.
func (w *Workspace) post(ctx context.Context, app App, payload []byte) (Receipt, error) {
	body := []byte(url.Values{"payload": {string(payload)}}.Encode())
	ctx, cancel := context.WithTimeout(ctx, w.options.AckWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, app.RequestURL, bytes.NewReader(body))
	if err != nil {
		return Receipt{}, fmt.Errorf("make the request: %w", err)
	}
	Sign(req.Header, app.SigningSecret, time.Now(), body)
	start := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Receipt{Sent: true}, nil
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return Receipt{
		Sent: true, Acked: res.StatusCode == http.StatusOK, Status: res.StatusCode, Payload: answer, Took: time.Since(start),
	}, nil
}

// Sign sets the headers with which Slack signs a request.
func Sign(h http.Header, secret string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte("v0:" + stamp + ":"))
	_, _ = mac.Write(body)
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	h.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	h.Set("X-Slack-Request-Timestamp", stamp)
	h.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
}

// responseURL lets an app answer a click for half an hour.
type responseURL struct {
	channel, ts, user, app string
	until                  time.Time
	left                   int
}

func (w *Workspace) serveResponseURL(rw http.ResponseWriter, req *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.urls[req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]]
	switch {
	case u == nil || time.Now().After(u.until):
		http.Error(rw, `{"ok":false,"error":"expired_url"}`, http.StatusNotFound)
		return
	case u.left == 0:
		http.Error(rw, `{"ok":false,"error":"used_url"}`, http.StatusNotFound)
		return
	}
	var body struct {
		Text         string          `json:"text"`
		Blocks       json.RawMessage `json:"blocks"`
		ResponseType string          `json:"response_type"`
		Replace      bool            `json:"replace_original"`
		ThreadTS     string          `json:"thread_ts"`
	}
	err := json.NewDecoder(io.LimitReader(req.Body, 1<<20)).Decode(&body)
	if err != nil || body.Text == "" && len(body.Blocks) == 0 {
		http.Error(rw, "invalid_payload", http.StatusBadRequest)
		return
	}
	u.left--
	m := w.find(u.channel, u.ts)
	switch {
	case body.Replace && m != nil:
		m.Versions = append(m.Versions, Version{Text: m.Text, Blocks: m.Blocks, Until: time.Now()})
		m.Text, m.Blocks = body.Text, body.Blocks
	case body.ResponseType == "in_channel":
		w.messages = append(w.messages, &Message{
			Channel: u.channel, TS: w.newTS(), App: u.app, Text: body.Text, Blocks: body.Blocks, At: time.Now(),
		})
	default:
		w.ephemerals = append(w.ephemerals, Ephemeral{
			Channel: u.channel, ThreadTS: body.ThreadTS, User: u.user, Text: body.Text, Blocks: body.Blocks, At: time.Now(),
		})
	}
	w.touch()
	_, _ = rw.Write([]byte(`{"ok":true}`))
}
