package slack

import (
	"context"

	"github.com/slack-go/slack"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// adopt looks once for cards that were posted and not recorded, because Slack's answer was lost or Backstop was killed
// in between. Only an app that was granted the history of its channel can: the others may post such a card twice. It
// reports whether it found the job's own.
func (w *work) adopt(ctx context.Context, channel string) bool {
	if w.adopted[channel] || !isID(channel) || !w.app.may("channels:history", "groups:history") {
		return false
	}
	w.adopted[channel] = true
	res, err := w.app.Client.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
		ChannelID: channel, Limit: 100, IncludeAllMetadata: true,
	})
	if err != nil {
		w.p.Log.Warn("slack: look for cards that were not recorded", "channel", channel, "error", words(err))
		return false
	}
	for _, m := range res.Messages {
		if m.Metadata.EventType != metadataType || m.Metadata.EventPayload["cluster"] != w.p.Cluster {
			continue
		}
		uid, _ := m.Metadata.EventPayload["uid"].(string)
		w.mu.Lock()
		j := w.jobs[types.UID(uid)]
		if j != nil && j.card == nil && (j.lost == nil || j.lost.TS != m.Timestamp) {
			j.card = &v1alpha1.Card{
				Provider: w.app.Name.String(), Channel: channel, TS: m.Timestamp, Told: told(j.r, true),
			}
			j.unsaved, j.pending, j.unsure = true, true, false
		}
		w.mu.Unlock()
	}
	return w.job.card != nil
}
