package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"time"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/notify/card"
)

// The methods that have limits of their own.
const (
	methodPost   = "chat.postMessage"
	methodUpdate = "chat.update"
)

// metadataType marks messages as cards. Metadata is readable by everybody in the workspace: it holds names alone.
const metadataType = "backstop_card"

// work is one step of a job.
type work struct {
	*outbox
	app *App
	job *job
	// r is the state that the step is about.
	r *v1alpha1.Rollback
}

// do takes the job one call further.
func (w *work) do(ctx context.Context) {
	j := w.job
	w.mu.Lock()
	w.r = j.r
	w.mu.Unlock()
	if j.unsaved {
		w.save(ctx)
		return
	}
	if j.card == nil && (!card.Ready(w.r) || !w.p.due(w.r)) {
		w.finish(j, w.r, -1)
		return
	}
	plan, err := w.p.Plan(ctx, w.r)
	if err != nil {
		w.p.Log.Warn("slack: read what a card shows", "rollback", w.label(), "error", words(err))
		w.finish(j, w.r, lookAgain)
		return
	}
	c := card.Of(plan.Facts)
	switch {
	case j.card == nil:
		w.first(ctx, c)
	case w.strays():
		w.move("another channel is named")
	case j.card.Hash != hashOf(c) || w.foreign():
		w.update(ctx, c)
	default:
		w.note(ctx, c)
	}
}

func (w *work) label() string { return w.r.Namespace + "/" + w.r.Name }

// hashOf tells two cards apart.
func hashOf(c card.Card) string {
	raw, err := json.Marshal([]any{c.Text, slack.Blocks{BlockSet: c.Blocks}})
	if err != nil {
		raw = []byte(c.Text)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:12])
}

// first posts the card, unless it stands somewhere already.
func (w *work) first(ctx context.Context, c card.Card) {
	j := w.job
	live, err := w.p.Records.Get(ctx, w.r.Namespace, w.r.Name)
	switch {
	case err != nil:
		w.p.Log.Warn("slack: read where a card stands", "rollback", w.label(), "error", words(err))
		w.again()
		return
	case live == nil || live.UID != w.r.UID:
		w.finish(j, w.r, -1)
		return
	case live.Status.Card != nil && (j.lost == nil || live.Status.Card.TS != j.lost.TS):
		w.set(live.Status.Card, false)
		w.finish(j, w.r, 0)
		return
	}
	channel := w.channel()
	if w.adopt(ctx, channel) {
		w.finish(j, w.r, 0)
		return
	}
	w.took(methodPost, channel, w.p.Now())
	if j.thread == "" && j.lost == nil && w.join(ctx) {
		w.finish(j, w.r, 0)
		return
	}
	id, ts, res, err := w.app.Client.PostMessageWithResponseContext(ctx, channel, w.options(c, j.thread)...)
	if err != nil {
		w.failed(methodPost, err)
		return
	}
	w.went(methodPost)
	w.channels[w.app.Channel] = id
	if id != channel {
		w.posts[id] = w.posts[channel]
	}
	w.set(&v1alpha1.Card{
		Provider: w.app.Name.String(), Channel: id, TS: ts, Thread: res.ThreadTimestamp, Hash: hashOf(c),
		Told: told(w.r, true),
	}, true)
	w.p.Log.Info("slack: posted a card", "rollback", w.label(), "channel", id, "message", ts)
	w.save(ctx)
}

// options make a message of a card.
func (w *work) options(c card.Card, thread string) []slack.MsgOption {
	out := []slack.MsgOption{
		slack.MsgOptionText(c.Text, false), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{
			"cluster": w.p.Cluster, "rollback": w.label(), "uid": string(w.r.UID),
		}}),
	}
	if !w.job.plain {
		out = append(out, slack.MsgOptionBlocks(c.Blocks...))
	}
	if thread != "" {
		out = append(out, slack.MsgOptionTS(thread))
	}
	return out
}

// channel is where the Provider posts, by ID once that is known.
func (d *outbox) channelOf(app *App) string {
	if id := d.channels[app.Channel]; id != "" {
		return id
	}
	return app.Channel
}

func (w *work) channel() string { return w.channelOf(w.app) }

// update brings the message up to date.
func (w *work) update(ctx context.Context, c card.Card) {
	j := w.job
	w.took(methodUpdate, "", w.p.Now())
	_, _, _, err := w.app.Client.UpdateMessageContext(ctx, j.card.Channel, j.card.TS, w.options(c, "")...)
	if err != nil {
		w.failed(methodUpdate, err)
		return
	}
	w.went(methodUpdate)
	next := j.card.DeepCopy()
	// Slack lets an app change its own messages alone.
	next.Hash, next.Provider = hashOf(c), w.name.String()
	w.set(next, true)
	w.save(ctx)
}

// note tells the thread what it was not told yet, in one message.
func (w *work) note(ctx context.Context, c card.Card) {
	j := w.job
	text, loud, ok := card.Note(before(w.r, j.card.Told), w.r)
	if !ok && j.lost == nil && !j.unsure {
		w.finish(j, w.r, -1)
		return
	}
	if w.wait(methodPost, j.card.Channel, w.p.Now()) > 0 {
		w.mu.Lock()
		j.noting = j.r == w.r
		w.mu.Unlock()
		w.finish(j, w.r, 0)
		return
	}
	w.took(methodPost, j.card.Channel, w.p.Now())
	if w.left() {
		w.leave(ctx, c)
	}
	lines := w.asides(ctx)
	if ok {
		lines = append(lines, text)
	}
	thread := j.card.Thread
	if thread == "" {
		thread = j.card.TS
	}
	options := []slack.MsgOption{
		slack.MsgOptionText(joinLines(lines, 3000), false), slack.MsgOptionTS(thread), slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
	}
	if w.p.Broadcast == BroadcastAll || w.p.Broadcast == BroadcastFailures && loud {
		options = append(options, slack.MsgOptionBroadcast())
	}
	_, ts, res, err := w.app.Client.PostMessageWithResponseContext(ctx, j.card.Channel, options...)
	if err != nil {
		w.failed(methodPost, err)
		return
	}
	w.went(methodPost)
	if res.ThreadTimestamp == "" && j.card.Thread == "" {
		// The message above it is gone, and the line stands alone in the channel: the card is posted afresh instead.
		_, _, _ = w.app.Client.DeleteMessageContext(ctx, j.card.Channel, ts)
		w.lose()
		return
	}
	next := j.card.DeepCopy()
	next.Told = told(w.r, false)
	j.lost, j.unsure = nil, false
	w.set(next, true)
	w.save(ctx)
}

// asides are lines about the card itself.
func (w *work) asides(ctx context.Context) []string {
	var out []string
	if w.job.lost != nil {
		out = append(out, w.replaces(ctx))
	}
	if w.job.unsure {
		out = append(out, "Slack did not answer an earlier attempt to post this card. Should there be two, this one counts.")
	}
	return out
}

func joinLines(lines []string, most int) string {
	out := ""
	for i, l := range lines {
		if i > 0 {
			out += "\n"
		}
		out += l
	}
	return text.Cut(out, most)
}

// set changes what is known of the card.
func (w *work) set(c *v1alpha1.Card, unsaved bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.job.card, w.job.unsaved = c, unsaved
	if c != nil {
		w.job.plain = false
	}
}

// save writes where the card stands, and comes back for what changed meanwhile.
func (w *work) save(ctx context.Context) {
	if !w.keeps() {
		return
	}
	if err := w.p.Records.SaveCard(ctx, w.r, w.job.card); err != nil {
		w.p.Log.Warn("slack: record where a card stands", "rollback", w.label(), "error", words(err))
		w.again()
		return
	}
	w.mu.Lock()
	w.job.unsaved, w.job.tries = false, 0
	w.mu.Unlock()
	w.finish(w.job, w.r, updateEvery)
}

// again comes back later, and later each time.
func (w *work) again() {
	w.job.tries++
	w.finish(w.job, w.r, backoff(w.job.tries))
}

// lose forgets a message that cannot be changed any more: the card is posted afresh.
func (w *work) lose() {
	w.job.lost, w.job.thread = w.job.card, w.job.card.Thread
	w.set(nil, false)
	w.finish(w.job, w.r, 0)
}

// went notes that Slack answered.
func (w *work) went(method string) {
	w.fails = 0
	w.p.Metrics.calls.WithLabelValues(method, "ok").Inc()
	w.p.Apps.report(w.app, nil)
}

// failed decides what an error of Slack means for the job and the outbox.
func (w *work) failed(method string, err error) {
	now := w.p.Now()
	if after := limited(err); after > 0 {
		w.p.Metrics.calls.WithLabelValues(method, "limited").Inc()
		w.blocked[method] = now.Add(after)
		w.finish(w.job, w.r, after)
		return
	}
	w.p.Metrics.calls.WithLabelValues(method, "failed").Inc()
	kind := kindOf(err)
	if kind == messageGone && method == methodUpdate {
		w.p.Log.Info("slack: a card cannot be changed any more and is posted afresh",
			"rollback", w.label(), "why", words(err))
		w.lose()
		return
	}
	if w.stuck(err) {
		// It says nothing about the channel that the Provider names now.
		w.move(words(err))
		return
	}
	w.p.Apps.report(w.app, explain(err, w.app))
	switch kind {
	case refusedContent:
		if !w.job.plain {
			w.job.plain = true
			w.finish(w.job, w.r, 0)
			return
		}
		w.again()
	case refusedApp:
		w.hold(now)
	case noAnswer:
		if method == methodPost && !neverSent(err) {
			w.maybePosted()
		}
		w.hold(now)
	case messageGone, refusedChannel:
		w.again()
	}
}

// maybePosted remembers that a post may have arrived although Slack did not say so.
func (w *work) maybePosted() {
	if w.job.card == nil {
		w.job.unsure = true
		delete(w.adopted, w.channel())
	}
}

// limited is how long Slack wants to be left alone; zero when it does not say so.
func limited(err error) time.Duration {
	var rate *slack.RateLimitedError
	var said slack.SlackErrorResponse
	switch {
	case errors.As(err, &rate):
		return min(max(rate.RetryAfter, time.Second), time.Hour)
	case errors.As(err, &said) && (said.Err == "ratelimited" || said.Err == "rate_limited"):
		return 30 * time.Second
	}
	return 0
}

// kind sorts the errors of Slack by what they concern.
type kind int

const (
	// noAnswer: Slack is away, or something between us.
	noAnswer kind = iota
	// messageGone: this message cannot be changed any more.
	messageGone
	// refusedContent: the blocks are not to Slack's liking.
	refusedContent
	// refusedApp: no call of this app will do.
	refusedApp
	// refusedChannel: this channel will not do.
	refusedChannel
)

func kindOf(err error) kind {
	var said slack.SlackErrorResponse
	if !errors.As(err, &said) {
		return noAnswer
	}
	switch said.Err {
	case "message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found":
		return messageGone
	case "invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "metadata_too_large",
		"invalid_metadata_format", "invalid_metadata_schema":
		return refusedContent
	case "invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "not_allowed_token_type",
		"missing_scope", "no_permission", "org_login_required", "team_access_not_granted", "access_denied":
		return refusedApp
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout":
		return noAnswer
	}
	return refusedChannel
}

// neverSent says that a request cannot have arrived: there was no connection.
func neverSent(err error) bool {
	var op *net.OpError
	var name *net.DNSError
	return errors.As(err, &name) || errors.As(err, &op) && op.Op == "dial"
}
