package clicks

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// recorded checks what decisions there are.
func (w *world) recorded(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.store.decisions()); diff != "" {
		w.t.Errorf("decisions -want +got:\n%s\n%s", diff, w.log)
	}
}

const (
	janeApproves = "slack:T0ACME/U0JANE Approve"
	omarApproves = "slack:T0ACME/U0OMAR Approve"
)

func TestClickByAnAllowedUser(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	if r := w.click(slackstub.Jane, card.Approve); !r.Acked {
		t.Errorf("not acknowledged: %+v", r)
	}
	w.recorded(janeApproves)
	w.hears(slackstub.Jane, 1, "Your approval is recorded", "revert goes to Git")
}

func TestClickByAnAllowedGroup(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	w.click(slackstub.Mallory, card.Approve)
	w.hears(slackstub.Mallory, 1, "You may not decide here", "Policy `production/apps` lets <@U0JANE>, <!subteam^S0ONCALL> decide",
		"`backstop approve backend-1 -n production`")
	w.click(slackstub.Omar, card.Approve)
	w.recorded(omarApproves)
}

func TestClickByTheAuthorOfTheChange(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	// Mallory wrote the commit, as far as the commit says: that gives no say.
	w.store.change(func(r *v1alpha1.Rollback) { r.Status.Suspect.Author = "Mallory Smith <mallory@acme.example>" })
	w.click(slackstub.Mallory, card.Approve)
	w.hears(slackstub.Mallory, 1, "You may not decide here")
	w.recorded()
	// Jane did, and the policy lists her: it takes none away. To revert one's own change is no approval of it.
	w.store.change(func(r *v1alpha1.Rollback) { r.Status.Suspect.Author = "Jane Doe <jane@acme.example>" })
	w.click(slackstub.Jane, card.Approve)
	w.recorded(janeApproves)
}

func TestClickByAGuest(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.rules[0].Users = append(w.rules[0].Users, slackstub.Guest)
	w.connect(quick)
	w.click(slackstub.Guest, card.Approve)
	w.hears(slackstub.Guest, 1, "Guests of this workspace do not decide: nothing was recorded")
	w.recorded()
}

func TestClickFromAnotherTeam(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.rules[0].ChannelMembers = true
	w.connect(quick)
	w.click(slackstub.Stranger, card.Approve)
	w.hears(slackstub.Stranger, 1, "Only people of this workspace decide")
	w.click(slackstub.Mallory, card.Approve, alter(func(p map[string]any) { p["team"] = map[string]any{"id": "T0OTHER"} }))
	w.hears(slackstub.Mallory, 1, "another workspace")
	// Slack's word in the payload is not enough: users.info has to agree.
	w.slack.Change(func(team *slackstub.Team) { team.Users[slackstub.Omar].TeamID = "T0OTHER" })
	w.click(slackstub.Omar, card.Approve, alter(func(p map[string]any) { p["user"] = map[string]any{"id": slackstub.Omar, "team_id": slackstub.TeamID} }))
	w.hears(slackstub.Omar, 1, "Only people of this workspace decide")
	w.recorded()
}

func alter(f func(map[string]any)) func(*slackstub.Click) {
	return func(c *slackstub.Click) { c.Alter = f }
}

func TestClickInAnotherChannel(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	elsewhere := w.post("C0RANDOM")
	w.click(slackstub.Jane, card.Approve, func(c *slackstub.Click) { c.Channel, c.TS = "C0RANDOM", elsewhere })
	w.hears(slackstub.Jane, 1, "This is not where Backstop keeps the card of `backend-1`")
	// A copy in the right channel is not the card either.
	again := w.post(slackstub.ChannelID)
	w.click(slackstub.Jane, card.Approve, func(c *slackstub.Click) { c.TS = again })
	w.hears(slackstub.Jane, 2, "This is not where")
	w.recorded()
}

func TestClickOnAStaleCard(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	w.store.change(func(r *v1alpha1.Rollback) {
		r.Status.Target.Image, r.Status.Target.Values[0].Value = "reg/backend:v0", "v0"
		r.Status.Question.ID = "0123456789ab"
	})
	w.click(slackstub.Jane, card.Approve)
	w.hears(slackstub.Jane, 1, "What is asked has changed since this card was drawn")
	// Nor is a new Rollback of the same name the one that was asked about.
	w.store.change(func(r *v1alpha1.Rollback) { *r = *asked(); r.UID = "another" })
	w.click(slackstub.Jane, card.Approve)
	w.hears(slackstub.Jane, 2, "is gone, or is another cluster's")
	w.recorded()
}

func TestClickForAnotherApp(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	w.click(slackstub.Jane, card.Approve, alter(func(p map[string]any) { p["api_app_id"] = "A0OTHER" }))
	w.hears(slackstub.Jane, 1, "another Slack app's")
	w.recorded()
}

func TestDoubleClick(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if r := w.click(slackstub.Jane, card.Approve); !r.Acked {
				t.Errorf("not acknowledged: %+v", r)
			}
		})
	}
	both.Wait()
	w.recorded(janeApproves)
	w.hears(slackstub.Jane, 2)
	said := []string{w.slack.Ephemerals(slackstub.Jane)[0].Text, w.slack.Ephemerals(slackstub.Jane)[1].Text}
	slices.Sort(said)
	if !strings.HasPrefix(said[0], "You approved this already") || !strings.HasPrefix(said[1], "Your approval is recorded") {
		t.Errorf("Jane hears %q", said)
	}
}

func TestTwoApproversAtOnce(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	// Both have read the Rollback before either writes.
	var mu sync.Mutex
	read, together := 0, make(chan struct{})
	w.store.before = func() {
		mu.Lock()
		if read++; read == 2 {
			close(together)
		}
		mu.Unlock()
		<-together
	}
	w.connect(quick)
	var both sync.WaitGroup
	for user, action := range map[string]string{slackstub.Jane: card.Approve, slackstub.Omar: card.Reject} {
		both.Go(func() {
			if r := w.click(user, action); !r.Acked {
				t.Errorf("%s is not acknowledged: %+v", user, r)
			}
		})
	}
	both.Wait()
	got := w.store.decisions()
	if len(got) != 1 || w.store.attempts != 2 {
		t.Fatalf("recorded %q in %d attempts, want one of two", got, w.store.attempts)
	}
	winner, loser, says := slackstub.Jane, slackstub.Omar, "<@U0JANE> approved this already"
	if strings.Contains(got[0], slackstub.Omar) {
		winner, loser, says = slackstub.Omar, slackstub.Jane, "<@U0OMAR> rejected this already"
	}
	w.hears(winner, 1, "is recorded")
	w.hears(loser, 1, says, "your click changes nothing")
}

func TestClickAfterExpiry(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	// A decision still counts after an expiry: it is the one end that it changes.
	w.store.change(func(r *v1alpha1.Rollback) {
		r.Status.Waiting, r.Status.Outcome = nil, &v1alpha1.Outcome{Result: v1alpha1.ResultExpired, Message: "nobody decided", At: v1alpha1.NewTime(time.Now())}
	})
	w.click(slackstub.Jane, card.Approve)
	w.recorded(janeApproves)
	w.hears(slackstub.Jane, 1, "Your approval is recorded")
	// Every other end is one.
	w.store.change(func(r *v1alpha1.Rollback) {
		r.Spec.Decisions, r.Status.Outcome.Result, r.Status.Question = nil, v1alpha1.ResultRecovered, nil
	})
	w.click(slackstub.Jane, card.Approve)
	w.hears(slackstub.Jane, 2, "This has ended", "(Recovered): nothing was recorded")
	w.recorded()
}

func TestConfirmDenied(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	if r := w.click(slackstub.Jane, card.Approve, func(c *slackstub.Click) { c.Deny = true }); r.Sent {
		t.Errorf("a denied dialog sends %+v", r)
	}
	w.recorded()
	w.click(slackstub.Jane, card.View)
	w.recorded()
	if got := w.slack.Ephemerals(""); len(got) != 0 {
		t.Errorf("answered %+v", got)
	}
}

func TestRejectOnTheCard(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	if r := w.click(slackstub.Omar, card.Reject); !r.Acked {
		t.Errorf("not acknowledged: %+v", r)
	}
	w.recorded("slack:T0ACME/U0OMAR Reject")
	w.hears(slackstub.Omar, 1, "Your answer is recorded. Git stays as it is.")
}

func TestClickDuringARefresh(t *testing.T) {
	w := newWorld(t, slackstub.Options{AckWithin: 500 * time.Millisecond})
	w.connect(quick)
	w.slack.Refresh(slackstub.AppID, "refresh_requested")
	// People click until it takes: a click that a closing connection swallowed warned them.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for acked := false; !acked; {
		r, err := w.slack.Click(ctx, slackstub.Click{User: slackstub.Jane, Channel: slackstub.ChannelID, TS: w.ts, Action: card.Approve})
		if ctx.Err() != nil {
			t.Fatalf("never acknowledged: %v\n%s", err, w.log)
		}
		acked = err == nil && r.Acked
	}
	w.recorded(janeApproves)
	w.await("both lines are open again", func() bool { return w.hub.open() == 2 && w.slack.Connections(slackstub.AppID) == 2 })
}

// Who may decide is judged on what the policies say when the decision is written, and not when the button was pressed.
func TestWhoLosesTheRightBeforeTheDecisionIsWrittenDecidesNothing(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	reads := 0
	w.store.before = func() {
		switch reads++; reads {
		case 1:
			// Somebody writes the record while Jane's press is judged.
			w.store.change(func(r *v1alpha1.Rollback) { r.Status.Question.Doubts[0].Message = "the policy asks" })
		case 2:
			w.rules = []Rule{{Policy: "production/apps"}}
		}
	}
	w.connect(quick)
	w.click(slackstub.Jane, card.Approve)
	w.hears(slackstub.Jane, 1, "You may not decide here", "lets nobody decide on Slack")
	w.recorded()
	if w.store.attempts != 1 || reads != 2 {
		t.Errorf("it was read %d times and written %d times", reads, w.store.attempts)
	}
}
