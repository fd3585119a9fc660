package slack

import (
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// stillAsks ends a record whose question can be answered all the same: nobody decided in time, or Flux undid a change
// by hand meanwhile.
func stillAsks(result v1alpha1.Result) func(*v1alpha1.Rollback) {
	return func(r *v1alpha1.Rollback) {
		asking(r)
		r.Status.Waiting = nil
		r.Status.Outcome = &v1alpha1.Outcome{Result: result, Message: "it ended as " + string(result), At: v1alpha1.NewTime(time.Now())}
	}
}

func TestAThreadIsToldOfAnOpenQuestionsEndOnce(t *testing.T) {
	for _, result := range []v1alpha1.Result{v1alpha1.ResultExpired, v1alpha1.ResultRestored} {
		for name, asked := range map[string]bool{"was asked": true, "ended before it was asked": false} {
			t.Run(string(result)+" "+name, func(t *testing.T) {
				bubble(t, slackstub.Options{}, func(w *world) {
					if asked {
						w.put("shop", asking)
						w.after(10 * time.Second)
					}
					w.put("shop", stillAsks(result))
					w.after(10 * time.Second)
					before := len(w.slack.Requests("chat.postMessage"))
					w.after(30 * time.Minute)
					if more := len(w.slack.Requests("chat.postMessage")) - before; more > 0 {
						t.Errorf("%d more messages although nothing changed, such as %s", more, w.thread(w.cards()[0].TS))
					}
					if asked && strings.Contains(w.thread(w.cards()[0].TS), "a person decides by") {
						t.Errorf("the thread asks what the card asked: %s", w.thread(w.cards()[0].TS))
					}
				})
			})
		}
	}
}

func TestAThreadIsToldWhoLiftedAHold(t *testing.T) {
	bubble(t, slackstub.Options{}, func(w *world) {
		held := func(r *v1alpha1.Rollback) {
			ended(v1alpha1.ResultVerified)(r)
			s := &r.Status
			first := s.Suspect.Places[0]
			s.Suspect.Places = nil
			for _, name := range []string{"a", "b"} {
				p := first
				p.File, p.Marker = name+".yaml", "production:"+name
				s.Suspect.Places = append(s.Suspect.Places, p)
				s.Holds = append(s.Holds, v1alpha1.Hold{Place: p.Identity()})
			}
			s.Change.Hold, s.Change.Policies = strings.Repeat("b", 40), []string{"production:a", "production:b"}
		}
		w.put("shop", held)
		w.after(10 * time.Second)
		for _, tt := range []struct {
			change func(*v1alpha1.Rollback)
			says   string
		}{
			{func(r *v1alpha1.Rollback) { r.Status.Holds[0].LiftedBy = "jane" }, "the hold on production:a was lifted by jane"},
			{func(r *v1alpha1.Rollback) {
				r.Status.Holds[1].LiftedBy = "joe"
				r.Status.Lifted = &v1alpha1.Lifted{By: "joe", At: v1alpha1.NewTime(time.Now())}
			}, "the hold on production:b was lifted by joe"},
		} {
			w.put("shop", tt.change)
			w.after(time.Minute)
			if thread := w.thread(w.one().TS); strings.Count(thread, tt.says) != 1 {
				t.Errorf("the thread does not say once %q: %s", tt.says, thread)
			}
		}
	})
}

// What was told is no news, in whatever state a record is.
func TestWhatWasToldIsNoNews(t *testing.T) {
	states := map[string]func(*v1alpha1.Rollback){
		"asking": asking, "approved": approved, "changed": changed, "expired": stillAsks(v1alpha1.ResultExpired),
		"restored": stillAsks(v1alpha1.ResultRestored), "verified": ended(v1alpha1.ResultVerified),
		"a hold that stands": func(r *v1alpha1.Rollback) {
			ended(v1alpha1.ResultVerified)(r)
			r.Status.Waiting = &v1alpha1.Waiting{Why: "the hold stands"}
		},
		"asked after a push": func(r *v1alpha1.Rollback) {
			changed(r)
			r.Status.Verdict, r.Status.Question = nil, &v1alpha1.Question{ID: "3fa9c1d2e4b5"}
		},
		"ended, and asked with a wait": func(r *v1alpha1.Rollback) {
			stillAsks(v1alpha1.ResultExpired)(r)
			r.Status.Waiting = &v1alpha1.Waiting{Why: "the hold stands"}
		},
	}
	for name, state := range states {
		r := &v1alpha1.Rollback{}
		r.Name = "shop"
		state(r)
		if text, _, news := card.Note(before(r, told(r, false)), r); news {
			t.Errorf("%s: the thread is told again: %s", name, text)
		}
	}
}
