package integration

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/proxy"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// What goes wrong between a click and its end, and between Backstop and Slack. Git gets one revert, and the card ends
// right.

// clickedAndKilled asks on Slack, lets Jane approve while a hook kills the sidecar, starts it again, and waits for the
// end.
func clickedAndKilled(t *testing.T, acked bool, kills func(request proxy.Request, when proxy.When, record string) bool) {
	t.Helper()
	w := world(t, quick, func(s *setup) { s.Tapped = true })
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	w.Settle()
	image, r, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	c.heard()
	killed := make(chan struct{})
	w.Tap.Hook(func(request proxy.Request, when proxy.When) bool {
		select {
		case <-killed:
			return false
		default:
		}
		if !kills(request, when, "/rollbacks/"+r.Name) {
			return false
		}
		s.Kill()
		close(killed)
		return true
	})
	receipt, err := c.click(slackstub.Jane, m, card.Approve)
	if err != nil || receipt.Acked != acked {
		t.Errorf("the click: %+v, %v; want it acknowledged: %v", receipt, err, acked)
	}
	await(t, "the sidecar is killed", killed)
	if r = Object(w, r); len(r.Spec.Decisions) != 1 {
		t.Fatalf("%d decisions are recorded, want one", len(r.Spec.Decisions))
	}
	w.Tap.Hook(nil)
	again := startSidecar(t, w)
	w.ends(prod, image, v1alpha1.ResultVerified)
	w.revertedOnce(prod, "backend", image, fleet.Tag(prod, 0))
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	c.oneCard(r, "is healthy on", "<@U0JANE>")
	if r = Object(w, r); len(r.Spec.Decisions) != 1 {
		t.Errorf("decisions: %+v", r.Spec.Decisions)
	}
	c.silent(s)
	c.silent(again)
}

func TestKillBetweenRecordAndAcknowledge(t *testing.T) {
	t.Parallel()
	// Slack warns Jane; nothing else is wrong.
	clickedAndKilled(t, false, func(r proxy.Request, when proxy.When, record string) bool {
		return when == proxy.After && r.Method == "PUT" && strings.HasSuffix(r.Path, record)
	})
}

func TestKillBetweenAcknowledgeAndPush(t *testing.T) {
	t.Parallel()
	clickedAndKilled(t, true, func(r proxy.Request, when proxy.When, _ string) bool {
		return when == proxy.Before && strings.HasSuffix(r.Path, push)
	})
}

func TestKillBetweenPushAndUpdate(t *testing.T) {
	t.Parallel()
	clickedAndKilled(t, true, func(r proxy.Request, when proxy.When, _ string) bool {
		return when == proxy.After && strings.HasSuffix(r.Path, push)
	})
}

func TestSlackAwayForAnHour(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.auto(prod, onSlack)
	w.Settle()
	c.heard()
	c.slack.Leave()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	// The hour ends when all is done: nothing waits for Slack.
	r := w.ends(prod, bad, v1alpha1.ResultVerified)
	w.revertedOnce(prod, "backend", bad, fleet.Tag(prod, 0))
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if len(c.slack.Everything()) > 0 || r.Status.Card != nil {
		t.Errorf("a card was posted to nobody: %+v", r.Status.Card)
	}
	c.condition("SlackReady", "False", "reverts do not wait for them")
	c.slack.Mend()
	c.oneCard(r, "is healthy on", "policy")
	for _, v := range c.card(r).Versions {
		t.Errorf("the card first said: %s", v.Text)
	}
	c.condition("SlackReady", "True", "cards go to "+slackstub.ChannelID)
	c.silent(s)
}

// condition waits for a condition of the policy.
func (c *room) condition(kind, status string, words ...string) {
	c.t.Helper()
	c.patiently("condition "+kind+" is "+status, patience+patience, func() error {
		p := &v1alpha1.RollbackPolicy{}
		p.Namespace, p.Name = c.Fleet.Namespace(prod), "apps"
		got := meta.FindStatusCondition(Object(c.World, p).Status.Conditions, kind)
		if got == nil || string(got.Status) != status {
			return fmt.Errorf("it is %+v", got)
		}
		for _, word := range words {
			if !strings.Contains(got.Message, word) {
				return fmt.Errorf("it says %q", got.Message)
			}
		}
		return nil
	})
}

func TestTokenRevokedAndReplaced(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	w.Settle()
	image, _, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	c.heard()
	// Somebody revokes both tokens: Slack closes the connections.
	const bot, app = "xoxb-100-200-replacedbottoken", "xapp-1-A0BACKSTOP-300-replacedapptoken"
	c.slack.Change(func(t *slackstub.Team) { t.Apps[0].BotToken, t.Apps[0].AppToken = bot, app })
	c.slack.Drop(slackstub.AppID)
	c.condition("SlackReady", "False", "Slack does not connect (invalid_auth): clicks are not heard; check appToken")
	// The Secret is replaced, and nothing restarted.
	c.tokens("appToken", app)
	c.condition("SlackReady", "True", "cards go to")
	c.pressed(slackstub.Jane, m, card.Approve)
	r := w.ends(prod, image, v1alpha1.ResultVerified)
	c.oneCard(r, "is healthy on", "<@U0JANE>")
	c.silent(s)
	c.secretNowhere(s, slackstub.BotToken, slackstub.AppToken)
}

func TestMessageDeleted(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	alice := w.user("alice", prod, "backstop-approver")
	w.Settle()
	image, r, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	c.slack.Delete(m.Channel, m.TS)
	// The way without Slack stays, and the card comes back with the news.
	_, err := alice.backstop("approve", r.Name)
	w.must(err)
	r = w.ends(prod, image, v1alpha1.ResultVerified)
	c.patiently("there is a new card", 2*patience, func() error {
		if at := Object(w, r).Status.Card; at.TS == m.TS {
			return fmt.Errorf("it is still %s", at.TS)
		}
		return nil
	})
	c.card(r, "is healthy on", alice.name)
	if n := len(c.slack.Messages(slackstub.ChannelID)); n != 1 {
		t.Errorf("%d messages, want the new card alone", n)
	}
	c.silent(s)
}

func TestChannelArchived(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.auto(prod, onSlack)
	w.Settle()
	c.heard()
	c.slack.Change(func(t *slackstub.Team) { t.Channels[slackstub.ChannelID].Archived = true })
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultVerified)
	c.condition("SlackReady", "False", "channel "+slackstub.ChannelID+" is archived: name another one in spec.channel")
	c.slack.Change(func(t *slackstub.Team) {
		t.Channels["C0RANDOM"].Members = append(t.Channels["C0RANDOM"].Members, slackstub.BotUser)
	})
	c.provider("C0RANDOM")
	c.oneCard(r, "is healthy on")
	if at := Object(w, r).Status.Card; at.Channel != "C0RANDOM" {
		t.Errorf("the card stands in %s", at.Channel)
	}
	w.revertedOnce(prod, "backend", bad, fleet.Tag(prod, 0))
	c.silent(s)
}
