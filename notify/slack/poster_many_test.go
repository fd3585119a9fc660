package slack

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/slackstub"
)

func Test429For50RollbacksAtOnce(t *testing.T) {
	bubble(t, slackstub.Options{PostEvery: time.Second}, func(w *world) {
		w.slack.Fail("chat.postMessage", slackstub.Fault{Status: 429, RetryAfter: 30 * time.Second, Times: 2, Skip: 3})
		for i := range 50 {
			w.put(fmt.Sprintf("app-%02d", i), asking)
		}
		w.after(20 * time.Second)
		for i := range 50 {
			w.put(fmt.Sprintf("app-%02d", i), ended(v1alpha1.ResultVerified))
		}
		w.after(10 * time.Minute)
		posts := w.posts()
		for i := range 50 {
			if name := fmt.Sprintf("app-%02d", i); posts[name] != 1 {
				t.Errorf("%s was posted %d times", name, posts[name])
			}
		}
		for _, m := range w.slack.Everything() {
			if len(m.Metadata) > 0 && !strings.Contains(m.Header(), "healthy") {
				t.Errorf("a card still says %q", m.Header())
			}
		}
		if got := w.slack.MaxPosts(slackstub.ChannelID, time.Second); got != 1 {
			t.Errorf("%d posts within a second", got)
		}
		for _, r := range w.slack.Requests("chat.postMessage") {
			if r.Result == "ratelimited" {
				t.Error("Slack had to limit the posts itself")
				break
			}
		}
	})
}

func TestManyOfOneMinuteAreADigest(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		for i := range 8 {
			w.put(fmt.Sprintf("app-%d", i), asking)
		}
		w.after(2 * time.Minute)
		digest := w.one()
		requireContains(t, "the digest", digest.Header(), "8 images cannot be pulled since commit 4be1c2d")
		if n := len(w.slack.Thread(slackstub.ChannelID, digest.TS)); n != 8 {
			t.Errorf("%d cards are in the thread, want 8", n)
		}
		r, _ := w.store.Get(t.Context(), "production", "app-3")
		if r.Status.Card.Thread != digest.TS {
			t.Errorf("the record of a card says %+v", r.Status.Card)
		}
		// After a restart the digest goes on, and a late one of the same commit joins it.
		w.stop()
		w.start()
		w.put("late", asking)
		for i := range 8 {
			w.put(fmt.Sprintf("app-%d", i), ended(v1alpha1.ResultVerified))
		}
		w.after(3 * time.Minute)
		digest = w.one()
		requireContains(t, "the digest", digest.Header(), "9 images")
		requireContains(t, "the digest", digest.Says(), "Verified", "1 to decide")
		for name, n := range w.posts() {
			if n != 1 {
				t.Errorf("%s was posted %d times", name, n)
			}
		}
	})
}

// Slack refuses replies where the message above is gone, where its thread was locked, and where a channel has none.
func TestAThreadThatTakesNoReplies(t *testing.T) {
	for _, why := range []string{
		"thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked", "restricted_action_non_threadable_channel",
	} {
		t.Run(why, func(t *testing.T) {
			bubble(t, slackstub.Options{}, func(w *world) {
				w.slack.Change(func(t *slackstub.Team) { t.Channels[slackstub.ChannelID].NoReplies = why })
				for i := range 8 {
					w.put(fmt.Sprintf("app-%d", i), asking)
				}
				w.after(3 * time.Minute)
				for name, n := range w.posts() {
					if n != 1 {
						t.Errorf("%s was posted %d times", name, n)
					}
				}
				if n := len(w.posts()); n != 8 {
					t.Fatalf("%d questions were posted, want 8:\n%s", n, w.log)
				}
				if n := len(w.cards()); n != 8 {
					t.Errorf("%d messages stand in the channel, want the cards and no digest", n)
				}
				for i := range 8 {
					w.put(fmt.Sprintf("app-%d", i), ended(v1alpha1.ResultVerified))
				}
				w.after(10 * time.Minute)
				for name, n := range w.posts() {
					if n > 2 {
						t.Errorf("%s was posted %d times", name, n)
					}
				}
				for _, m := range w.cards() {
					if len(m.Metadata) > 0 && decides(m) {
						t.Errorf("a card still asks: %q", m.Header())
					}
				}
				if got := w.apps.Trouble(provider1); got != nil {
					t.Errorf("the Provider is in trouble: %v", got)
				}
				calls := len(w.slack.Requests("chat.postMessage"))
				w.after(10 * time.Minute)
				if more := len(w.slack.Requests("chat.postMessage")) - calls; more > 0 {
					t.Errorf("%d posts were tried although nothing is new", more)
				}
			})
		})
	}
}

func TestFiveAreNoDigest(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		for i := range 5 {
			w.put(fmt.Sprintf("app-%d", i), asking)
		}
		w.after(time.Minute)
		if n := len(w.cards()); n != 5 {
			t.Errorf("%d cards stand in the channel, want 5", n)
		}
	})
}

// The race detector is the judge: records change while the digest above them is written.
func TestRecordsChangeWhileTheirDigestIsWritten(t *testing.T) {
	d := newOutbox(New(Options{}), types.NamespacedName{Namespace: "production", Name: "slack"})
	record := func(i, version int) *v1alpha1.Rollback {
		return &v1alpha1.Rollback{ObjectMeta: metav1.ObjectMeta{
			Namespace: "production", Name: fmt.Sprintf("app-%d", i), UID: types.UID(fmt.Sprint(i)), ResourceVersion: fmt.Sprint(version),
		}}
	}
	const records = 8
	for i := range records {
		d.offer(record(i, 1))
	}
	for _, j := range d.jobs {
		j.thread = "1.0"
	}
	var offers sync.WaitGroup
	offers.Go(func() {
		for version := range 200 {
			for i := range records {
				d.offer(record(i, version+2))
			}
		}
	})
	for range 200 {
		if n := len(d.members(&digest{ts: "1.0"})); n != records {
			t.Fatalf("the digest has %d members, want %d", n, records)
		}
	}
	offers.Wait()
	for _, r := range d.members(&digest{ts: "1.0"}) {
		if r.ResourceVersion != "201" {
			t.Errorf("%s is shown as of %s", r.Name, r.ResourceVersion)
		}
	}
}
