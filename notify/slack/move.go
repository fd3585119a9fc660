package slack

import (
	"context"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/notify/slack/card"
)

// A card follows its Provider. Where people can still decide it is posted in the channel that the Provider names now,
// and by the Provider that the policy names now; the earlier message loses its buttons, and no click on it counts any
// more. A card whose channel takes no changes, since it was archived or the bot was removed, follows in every state.

// asks reports whether people can decide, and will still look.
func (w *work) asks() bool { return card.Open(w.r) && w.p.due(w.r) }

// strays reports whether an open question stands in another channel than the Provider names now. A channel's name says
// nothing until a post gave its ID.
func (w *work) strays() bool {
	here := w.channel()
	return w.asks() && isID(here) && here != w.job.card.Channel
}

// foreign reports whether an open question was posted by another Provider than the one that keeps it now. No click
// counts before this one has taken it over.
func (w *work) foreign() bool { return w.asks() && w.job.card.Provider != w.name.String() }

// stuck reports whether a refused channel is one that the Provider does not name any more.
func (w *work) stuck(err error) bool {
	return kindOf(err) == refusedChannel && w.job.card != nil && w.job.card.Channel != w.channel()
}

// move has the card posted in the channel that the Provider names now.
func (w *work) move(why string) {
	if !w.p.due(w.r) {
		w.finish(w.job, w.r, -1)
		return
	}
	w.p.Log.Info("slack: a card moves to the channel that its Provider names now", "rollback", w.label(),
		"from", w.job.card.Channel, "to", w.channel(), "why", why)
	w.lose()
	w.job.thread = ""
}

// left reports whether the card that was replaced stands elsewhere, and is there still.
func (w *work) left() bool {
	lost, now := w.job.lost, w.job.card
	return lost != nil && now != nil && (lost.Channel != now.Channel || lost.Provider != now.Provider)
}

// leave takes the buttons off the message that the card has left. If that fails the buttons stay, and a person who
// presses one is told where the card is.
func (w *work) leave(ctx context.Context, c card.Card) {
	lost, app := w.job.lost, w.app
	if lost.Provider != w.name.String() {
		if app = w.p.Apps.Get(posterOf(lost)); app == nil {
			return
		}
	}
	w.took(methodUpdate, "", w.p.Now())
	_, _, _, err := app.Client.UpdateMessageContext(ctx, lost.Channel, lost.TS,
		w.options(card.Moved(c, w.job.card.Channel), "")...)
	if err != nil {
		w.p.Metrics.calls.WithLabelValues(methodUpdate, "failed").Inc()
		w.p.Log.Info("slack: the earlier card keeps its buttons", "rollback", w.label(), "channel", lost.Channel,
			"error", words(err))
		return
	}
	w.p.Metrics.calls.WithLabelValues(methodUpdate, "ok").Inc()
}

// replaces says in a line which message the card replaces.
func (w *work) replaces(ctx context.Context) string {
	lost, earlier := w.job.lost, "an earlier one"
	params := &slack.PermalinkParameters{Channel: lost.Channel, Ts: lost.TS}
	if link, err := w.app.Client.GetPermalinkContext(ctx, params); err == nil {
		earlier = "<" + link + "|an earlier one>"
	}
	if w.left() {
		return "This card replaces " + earlier + " in <#" + lost.Channel + ">: nobody decides there any more."
	}
	return "This card replaces " + earlier + ", which cannot be changed any more."
}
