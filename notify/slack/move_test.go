package slack

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

const newChannel = "C0NEW"

// another makes a channel that the bot is in, and has the Provider name it.
func (w *world) another(names string) {
	w.slack.Change(func(t *slackstub.Team) {
		t.Channels[newChannel] = &slackstub.Channel{ID: newChannel, Name: "new", Members: []string{slackstub.BotUser, slackstub.Jane}}
	})
	w.objects.change(func() { w.objects.specs[provider1]["channel"] = names })
}

// place is where the record says that the card stands.
func (w *world) place(name string) v1alpha1.Card {
	w.t.Helper()
	r, err := w.store.Get(w.t.Context(), "production", name)
	if err != nil || r.Status.Card == nil {
		w.t.Fatalf("the record names no card: %v\n%s", err, w.log)
	}
	return *r.Status.Card
}

func decides(m slackstub.Message) bool { _, ok := m.Button(card.Approve); return ok }

func TestAnOpenQuestionFollowsItsProvider(t *testing.T) {
	for name, gone := range map[string]string{
		"the channel is archived": "is_archived", "the channel is inactive": "is_inactive", "the channel is deleted": "channel_not_found",
		"the bot was removed": "not_in_channel", "the channel is left alone": "",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, slackstub.Options{}, func(w *world) {
				w.put("shop", asking)
				w.after(10 * time.Second)
				old := w.one()
				if gone != "" {
					w.slack.Fail("chat.update", slackstub.Fault{Error: gone})
				}
				w.another(newChannel)
				w.after(time.Minute)
				moved := w.slack.Messages(newChannel)
				if len(moved) != 1 || !decides(moved[0]) {
					t.Fatalf("the new channel has %d messages, want one with buttons:\n%s", len(moved), w.log)
				}
				if at := w.place("shop"); at.Channel != newChannel || at.TS != moved[0].TS {
					t.Errorf("the record names %+v", at)
				}
				requireContains(t, "the new thread", w.threadIn(newChannel, moved[0].TS), "This card replaces", "<#"+old.Channel+">", "nobody decides there")
				if gone == "" {
					if m := w.one(); decides(m) || !strings.Contains(string(m.Blocks), "This card moved to") || !strings.Contains(string(m.Blocks), newChannel) {
						t.Errorf("the earlier card still has buttons, or says nothing: %s", m.Blocks)
					}
				}
				if got := w.apps.Trouble(provider1); got != nil {
					t.Errorf("the Provider is in trouble: %v", got)
				}
				w.slack.Mend()
				w.put("shop", approved)
				w.after(time.Minute)
				if n := len(w.slack.Messages(newChannel)); n != 1 || decides(w.slack.Messages(newChannel)[0]) {
					t.Errorf("%d messages, or buttons after the decision", n)
				}
			})
		})
	}
}

func TestACardInAnArchivedChannelFollowsInEveryState(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.put("shop", asking)
		w.after(10 * time.Second)
		w.put("shop", approved)
		w.after(10 * time.Second)
		w.slack.Change(func(t *slackstub.Team) { t.Channels[slackstub.ChannelID].Archived = true })
		w.another(newChannel)
		w.after(time.Minute)
		if n := len(w.slack.Messages(newChannel)); n != 0 {
			t.Errorf("%d cards moved although nobody is asked and nothing is new", n)
		}
		w.put("shop", ended(v1alpha1.ResultVerified))
		w.after(time.Minute)
		if n := len(w.slack.Messages(newChannel)); n != 1 {
			t.Errorf("%d cards in the new channel, want one:\n%s", n, w.log)
		}
	})
}

func TestACardStaysWhereItsChannelIsTheSame(t *testing.T) {
	for name, tt := range map[string]struct {
		names string
		fault string
	}{
		"by its ID":                           {slackstub.ChannelID, ""},
		"by its name":                         {"#deploys", ""},
		"while it is archived":                {slackstub.ChannelID, "is_archived"},
		"by its name, after a restart, later": {"deploys", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, slackstub.Options{}, func(w *world) {
				w.objects.change(func() { w.objects.specs[provider1]["channel"] = tt.names })
				w.after(20 * time.Second)
				w.put("shop", asking)
				w.after(10 * time.Second)
				w.stop()
				w.start()
				if tt.fault != "" {
					w.slack.Fail("chat.update", slackstub.Fault{Error: tt.fault})
				}
				w.after(time.Minute)
				w.put("shop", approved)
				w.after(time.Minute)
				w.slack.Mend()
				w.after(5 * time.Minute)
				if m := w.one(); decides(m) {
					t.Error("the card was not brought up to date")
				}
			})
		})
	}
}

var provider2 = types.NamespacedName{Namespace: "production", Name: "slack-two"}

// second adds a Provider, of another app when it has a token of its own.
func (w *world) second(token, channel string) {
	w.another(slackstub.ChannelID)
	w.slack.Change(func(t *slackstub.Team) {
		if token != slackstub.BotToken {
			t.Users["U0TWO"] = &slackstub.User{ID: "U0TWO", Name: "two", Bot: true, TeamID: slackstub.TeamID}
			t.Apps = append(t.Apps, &slackstub.App{
				ID: "A0TWO", BotToken: token, AppToken: "xapp-two", BotUser: "U0TWO", BotID: "B0TWO", Scopes: t.Apps[0].Scopes,
			})
			for _, ch := range t.Channels {
				ch.Members = append(slices.Clone(ch.Members), "U0TWO")
			}
		}
	})
	w.objects.change(func() {
		spec := maps.Clone(w.objects.specs[provider1])
		spec["channel"], spec["secretRef"] = channel, map[string]any{"name": "tokens-two"}
		w.objects.specs[provider2] = spec
		w.objects.secrets[key1("tokens-two")] = map[string]string{"token": token, "appToken": "xapp-two"}
	})
}

func TestAnOpenQuestionFollowsThePolicysProvider(t *testing.T) {
	for name, tt := range map[string]struct {
		token, channel string
		stays          bool
	}{
		"of another app in another channel":  {"xoxb-two", newChannel, false},
		"of another app in the same channel": {"xoxb-two", slackstub.ChannelID, false},
		"of the same app in another channel": {slackstub.BotToken, newChannel, false},
		"of the same app in the same one":    {slackstub.BotToken, slackstub.ChannelID, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, slackstub.Options{}, func(w *world) {
				w.stop()
				w.all = append(w.all, provider2)
				w.second(tt.token, tt.channel)
				w.start()
				w.put("shop", asking)
				w.after(10 * time.Second)
				old := w.place("shop")
				w.objects.change(func() { w.provider = provider2 })
				w.after(time.Minute)
				at := w.place("shop")
				if at.Provider != provider2.String() || at.Channel != tt.channel || (at.TS == old.TS) != tt.stays {
					t.Fatalf("the record names %+v, it was %+v\n%s", at, old, w.log)
				}
				for _, m := range slices.Concat(w.cards(), w.slack.Messages(newChannel)) {
					if decides(m) != (m.TS == at.TS) {
						t.Errorf("message %s has buttons: %v\n%s", m.TS, decides(m), w.log)
					}
				}
				// What is decided stays with who posted it.
				w.put("shop", approved)
				w.objects.change(func() { w.provider = provider1 })
				w.after(time.Minute)
				if now := w.place("shop"); now.TS != at.TS || now.Provider != at.Provider {
					t.Errorf("a decided card moved: %+v", now)
				}
			})
		})
	}
}

// A Provider that cannot post keeps no question away from the one that can.
func TestAQuestionStaysWhileTheNewProviderIsOfNoUse(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.stop()
		w.all = append(w.all, provider2)
		w.second("xoxe.xoxb-two", newChannel)
		w.start()
		w.put("shop", asking)
		w.after(10 * time.Second)
		w.objects.change(func() { w.provider = provider2 })
		w.after(time.Minute)
		if at := w.place("shop"); at.Provider != provider1.String() || !decides(w.one()) {
			t.Errorf("the record names %+v", at)
		}
	})
}

func (w *world) threadIn(channel, ts string) string {
	var lines []string
	for _, m := range w.slack.Thread(channel, ts) {
		lines = append(lines, m.Text)
	}
	return strings.Join(lines, "\n--\n")
}
