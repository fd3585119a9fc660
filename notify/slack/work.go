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
	"github.com/backstop-dev/backstop/notify/slack/card"
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
	// refusedThread: nobody can answer here, whether the message above is gone or not.
	refusedThread
	// refusedContent: the blocks are not to Slack's liking.
	refusedContent
	// refusedApp: no call of this app will do.
	refusedApp
	// refusedChannel: this channel will not do.
	refusedChannel
)

// threadNotFound is what Slack says of a thread whose first message is gone.
const threadNotFound = "thread_not_found"

func kindOf(err error) kind {
	var said slack.SlackErrorResponse
	if !errors.As(err, &said) {
		return noAnswer
	}
	switch said.Err {
	case "message_not_found", "cant_update_message", "edit_window_closed":
		return messageGone
	case threadNotFound, "cannot_reply_to_message", "restricted_action_thread_locked",
		"restricted_action_non_threadable_channel":
		return refusedThread
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

// neverSent reports that a request cannot have arrived: there was no connection.
func neverSent(err error) bool {
	var op *net.OpError
	var name *net.DNSError
	return errors.As(err, &name) || errors.As(err, &op) && op.Op == "dial"
}

// keeps reports whether the job is still this outbox's.
func (w *work) keeps() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jobs[w.r.UID] == w.job
}

// backoff is 5 s, then twice as long each time, at most 2 min.
func backoff(n int) time.Duration {
	return min(5*time.Second<<min(n-1, 8), 2*time.Minute)
}

// finish ends a step of a job that was taken in the state of r. again is when it is looked at next; negative for when
// it changes.
func (d *outbox) finish(j *job, r *v1alpha1.Rollback, again time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if again < 0 && j.r == r {
		j.pending, j.tries = false, 0
		return
	}
	j.due = d.p.Now().Add(max(again, 0))
}
