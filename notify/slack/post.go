package slack

import (
	"context"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/notify/slack/card"
)

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
	if j.thread == "" && j.lost == nil && !j.alone && w.join(ctx) {
		w.finish(j, w.r, 0)
		return
	}
	id, ts, res, err := w.app.Client.PostMessageWithResponseContext(ctx, channel, w.options(c, j.thread)...)
	if err != nil {
		w.failed(ctx, methodPost, err)
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

// update brings the message up to date.
func (w *work) update(ctx context.Context, c card.Card) {
	j := w.job
	w.took(methodUpdate, "", w.p.Now())
	_, _, _, err := w.app.Client.UpdateMessageContext(ctx, j.card.Channel, j.card.TS, w.options(c, "")...)
	if err != nil {
		w.failed(ctx, methodUpdate, err)
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
		w.failed(ctx, methodPost, err)
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
