package slack

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/slackstub"
)

func TestACardLivesFromTheQuestionToTheRecord(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.put("shop", func(r *v1alpha1.Rollback) { r.Status.Failures = nil })
		w.after(time.Minute)
		if n := len(w.cards()); n != 0 {
			t.Fatalf("%d cards before there is anything to say", n)
		}
		w.put("shop", asking)
		w.after(10 * time.Second)
		m := w.one()
		requireContains(t, "the card", m.Header(), "Approval needed")
		if _, ok := m.Button("backstop.approve"); !ok {
			t.Error("the card has no button to approve")
		}
		if lines := w.thread(m.TS); lines != "" {
			t.Errorf("the thread repeats the card: %s", lines)
		}
		w.put("shop", approved)
		w.after(10 * time.Second)
		w.put("shop", changed)
		w.after(10 * time.Second)
		w.put("shop", ended(v1alpha1.ResultVerified))
		w.after(10 * time.Second)
		m = w.one()
		requireContains(t, "the card", m.Header(), "healthy")
		if len(m.Buttons()) > 1 {
			t.Errorf("the ended card has the buttons %v", m.Buttons())
		}
		requireContains(t, "the thread", w.thread(m.TS), "Approve", "reverts", "it ended as Verified")
		r, _ := w.store.Get(t.Context(), "production", "shop")
		if c := r.Status.Card; c == nil || c.Channel != slackstub.ChannelID || c.TS != m.TS || c.Provider != "production/slack" {
			t.Errorf("the record says %+v", c)
		}
		before := len(w.slack.Requests(""))
		w.after(30 * time.Minute)
		if posts := len(w.slack.Requests("chat.postMessage")) + len(w.slack.Requests("chat.update")); posts > before {
			t.Errorf("calls although nothing changed")
		}
	})
}

func TestNothingIsPostedTwiceOverARestart(t *testing.T) {
	for name, stale := range map[string]bool{"with a fresh cache": false, "with a cache from before the post": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, slackstub.Options{}, func(w *world) {
				w.put("shop", asking)
				w.after(10 * time.Second)
				w.put("shop", approved)
				w.after(10 * time.Second)
				w.stop()
				lines := w.thread(w.one().TS)
				w.store.stale = stale
				w.start()
				w.after(time.Minute)
				if got := w.thread(w.one().TS); got != lines {
					t.Errorf("the thread was told again:\n%s", got)
				}
				// What happened meanwhile is told.
				w.stop()
				w.put("shop", ended(v1alpha1.ResultFailed))
				w.start()
				w.after(time.Minute)
				card := w.cards()[0]
				requireContains(t, "the card", card.Header(), "Revert failed")
				requireContains(t, "the thread", w.thread(card.TS), "it ended as Failed")
			})
		})
	}
}

func TestManyChangesAreOneUpdate(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.put("shop", asking)
		w.after(10 * time.Second)
		for i := range 20 {
			w.put("shop", func(r *v1alpha1.Rollback) {
				asking(r)
				r.Status.Question.Doubts = []v1alpha1.Doubt{{Message: fmt.Sprintf("reason %d", i)}}
			})
			time.Sleep(50 * time.Millisecond)
		}
		w.after(10 * time.Second)
		if n := calls(w, "chat.update"); n < 1 || n > 2 {
			t.Errorf("%d updates, want one or two", n)
		}
		requireContains(t, "the card", w.one().Says(), "reason 19")
	})
}

func TestSlackAwayForAnHour(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.slack.Leave()
		w.put("shop", asking)
		w.after(10 * time.Minute)
		w.put("shop", changed)
		w.after(20 * time.Minute)
		w.put("shop", ended(v1alpha1.ResultVerified))
		w.after(30 * time.Minute)
		if got := w.apps.Trouble(provider1); got == nil || got.Reason != "Unreachable" {
			t.Errorf("the trouble is %v", got)
		}
		w.slack.Mend()
		w.after(3 * time.Minute)
		m := w.one()
		requireContains(t, "the card", m.Header(), "healthy")
		requireContains(t, "the thread", w.thread(m.TS), "Approve", "it ended as Verified")
		if got := w.apps.Trouble(provider1); got != nil {
			t.Errorf("the trouble stays: %v", got)
		}
	})
}

func TestADeletedMessageIsPostedAfresh(t *testing.T) {
	for name, lose := range map[string]func(*world, string){
		"by a person, and noticed by an update": func(w *world, ts string) { w.slack.Delete(slackstub.ChannelID, ts) },
		"by Slack, which takes no more edits of it": func(w *world, _ string) {
			w.slack.Fail("chat.update", slackstub.Fault{Error: "edit_window_closed", Times: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, slackstub.Options{}, func(w *world) {
				w.put("shop", asking)
				w.after(10 * time.Second)
				old := w.one()
				lose(w, old.TS)
				w.put("shop", approved)
				w.after(20 * time.Second)
				cards := w.cards()
				m := cards[len(cards)-1]
				if m.TS == old.TS {
					t.Fatalf("no other card was posted:\n%s", w.log)
				}
				requireContains(t, "the card", m.Header(), "Reverting")
				requireContains(t, "the thread", w.thread(m.TS), "This card replaces")
				r, _ := w.store.Get(t.Context(), "production", "shop")
				if r.Status.Card.TS != m.TS {
					t.Errorf("the record names %s, the card is %s", r.Status.Card.TS, m.TS)
				}
			})
		})
	}
}

func TestATokenIsRevokedAndReplaced(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.put("shop", asking)
		w.after(10 * time.Second)
		w.slack.Change(func(t *slackstub.Team) { t.Apps[0].BotToken = "xoxb-new-token" })
		w.put("shop", approved)
		w.after(time.Minute)
		got := w.apps.Trouble(provider1)
		if got == nil || got.Reason != "TokenRefused" {
			t.Fatalf("the trouble is %v", got)
		}
		requireContains(t, "the sentence", got.Sentence, "production/tokens", "invalid_auth", "install the app again")
		if n := strings.Count(w.log.String(), "refuses the token"); n != 1 {
			t.Errorf("the log says it %d times, want once:\n%s", n, w.log)
		}
		w.objects.change(func() { w.objects.secrets[key1("tokens")]["token"] = "xoxb-new-token" })
		w.after(20 * time.Second)
		requireContains(t, "the card", w.one().Header(), "Reverting")
		if got := w.apps.Trouble(provider1); got != nil {
			t.Errorf("the trouble stays: %v", got)
		}
	})
}

func TestAnArchivedChannel(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.slack.Change(func(t *slackstub.Team) { t.Channels[slackstub.ChannelID].Archived = true })
		w.put("shop", asking)
		w.after(time.Minute)
		if got := w.apps.Trouble(provider1); got == nil || got.Reason != "ChannelArchived" {
			t.Errorf("the trouble is %v", got)
		}
		w.slack.Change(func(t *slackstub.Team) {
			t.Channels["C0NEW"] = &slackstub.Channel{ID: "C0NEW", Name: "new", Members: []string{slackstub.BotUser}}
		})
		w.objects.change(func() { w.objects.specs[provider1]["channel"] = "C0NEW" })
		w.after(time.Minute)
		if n := len(w.slack.Messages("C0NEW")); n != 1 {
			t.Errorf("%d cards in the channel that replaced it:\n%s", n, w.log)
		}
	})
}

func TestAnAmbiguousPost(t *testing.T) {
	t.Run("is found where the history may be read", func(t *testing.T) {
		bubble(t, slackstub.Options{}, func(w *world) {
			w.stop()
			w.slack.Change(func(t *slackstub.Team) { t.Apps[0].Scopes = append(t.Apps[0].Scopes, "channels:history") })
			w.start()
			w.slack.Fail("chat.postMessage", slackstub.Fault{Cut: slackstub.CutAfter, Times: 1})
			w.put("shop", asking)
			w.after(time.Minute)
			m := w.one()
			r, _ := w.store.Get(t.Context(), "production", "shop")
			if r.Status.Card == nil || r.Status.Card.TS != m.TS {
				t.Errorf("the record names %+v, the card is %s", r.Status.Card, m.TS)
			}
		})
	})
	t.Run("may be repeated where it may not, and says so", func(t *testing.T) {
		bubble(t, slackstub.Options{}, func(w *world) {
			w.slack.Fail("chat.postMessage", slackstub.Fault{Cut: slackstub.CutAfter, Times: 1})
			w.put("shop", asking)
			w.after(time.Minute)
			cards := w.cards()
			if len(cards) != 2 {
				t.Fatalf("%d cards", len(cards))
			}
			requireContains(t, "the thread", w.thread(cards[1].TS), "this one counts")
		})
	})
	t.Run("is not one where nothing was sent", func(t *testing.T) {
		bubble(t, slackstub.Options{}, func(w *world) {
			w.slack.Fail("chat.postMessage", slackstub.Fault{Error: "restricted_action", Times: 1})
			w.put("shop", asking)
			w.after(time.Minute)
			if got := w.thread(w.one().TS); got != "" {
				t.Errorf("the thread says %q", got)
			}
		})
	})
}

func TestACardThatSlackRefusesIsText(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.slack.Fail("chat.postMessage", slackstub.Fault{Error: "invalid_blocks", Times: 1})
		w.put("shop", asking)
		w.after(time.Minute)
		m := w.one()
		if m.Text == "" || m.Blocks != nil {
			t.Errorf("the card is %+v", m)
		}
		w.put("shop", approved)
		w.after(time.Minute)
		requireContains(t, "the next state", w.one().Header(), "Reverting")
	})
}

func TestBroadcasts(t *testing.T) {
	for broadcast, want := range map[Broadcast]int{BroadcastNever: 1, BroadcastFailures: 2, BroadcastAll: 3} {
		t.Run(string(broadcast), func(t *testing.T) {
			bubble(t, slackstub.Options{}, func(w *world) {
				w.stop()
				w.options.Broadcast = broadcast
				w.start()
				w.put("shop", asking)
				w.after(10 * time.Second)
				w.put("shop", approved)
				w.after(10 * time.Second)
				w.put("shop", ended(v1alpha1.ResultFailed))
				w.after(10 * time.Second)
				if got := len(w.cards()); got != want {
					t.Errorf("%d messages stand in the channel, want %d", got, want)
				}
			})
		})
	}
}

func TestAQuestionThatComesUpLaterIsHeard(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.put("shop", func(r *v1alpha1.Rollback) {
			asking(r)
			r.Status.Waiting, r.Status.Question = &v1alpha1.Waiting{Why: "the registry does not answer"}, nil
		})
		w.after(10 * time.Second)
		card := w.one()
		w.put("shop", asking)
		w.after(10 * time.Second)
		if cards := w.cards(); len(cards) != 2 || !cards[1].Broadcast || cards[1].ThreadTS != card.TS {
			t.Errorf("the channel shows %d messages, want the question beside the card", len(cards))
		}
	})
}

func TestTellDoesNotWait(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.slack.Fail("", slackstub.Fault{Delay: 10 * time.Second})
		start := time.Now()
		for range 100 {
			w.put("shop", asking)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("telling took %s", took)
		}
		w.slack.Mend()
		w.after(time.Minute)
		w.one()
	})
}

func TestTheAPIServerIsAwayAfterAPost(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.put("shop", asking)
		time.Sleep(time.Second)
		w.slack.Fail("chat.postMessage", slackstub.Fault{Delay: 2 * time.Second, Times: 1})
		w.after(2 * time.Second)
		w.store.mu.Lock()
		w.store.failing = errors.New("etcd has no leader")
		w.store.mu.Unlock()
		w.after(time.Minute)
		w.store.mu.Lock()
		w.store.failing = nil
		w.store.mu.Unlock()
		w.after(3 * time.Minute)
		m := w.one()
		r, _ := w.store.Get(t.Context(), "production", "shop")
		if r.Status.Card == nil || r.Status.Card.TS != m.TS {
			t.Errorf("the record names %+v, the card is %s", r.Status.Card, m.TS)
		}
	})
}

func TestWhatEndedLongAgoGetsNoCard(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		w.stop()
		w.put("old", ended(v1alpha1.ResultFailed))
		w.after(7 * time.Hour)
		w.put("blip", ended(v1alpha1.ResultRecovered))
		w.store.all["production/blip"].Status.Verdict = nil
		w.start()
		w.after(time.Minute)
		if n := len(w.cards()); n != 0 {
			t.Errorf("%d cards", n)
		}
	})
}

func TestHundredsOfOpenRollbacks(t *testing.T) {
	bubble(t, slackstub.Options{PostEvery: time.Second}, func(w *world) {
		for i := range 300 {
			w.put(fmt.Sprintf("app-%03d", i), asking)
		}
		w.after(7 * time.Minute)
		posts := w.posts()
		if len(posts) != 300 {
			t.Errorf("%d of 300 have a card", len(posts))
		}
		for name, n := range posts {
			if n != 1 {
				t.Errorf("%s was posted %d times", name, n)
			}
		}
	})
}
