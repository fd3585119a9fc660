package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// The rival has an app, a channel and a Provider of its own in the workspace of the other tenant.
const (
	rivalApp, rivalChannel, rivalBot = "A0RIVAL", "C0RIVAL", "xoxb-900-rivalbottoken"
)

func (c *room) rivalMovesIn() {
	c.t.Helper()
	c.slack.Change(func(t *slackstub.Team) {
		t.Apps = append(t.Apps, &slackstub.App{ID: rivalApp, BotToken: rivalBot, AppToken: "xapp-1-" + rivalApp + "-900-rivalapptoken",
			SigningSecret: "the rival's", BotUser: "U0RIVALBOT", BotID: "B0RIVAL", Scopes: t.Apps[0].Scopes})
		t.Users["U0RIVALBOT"] = &slackstub.User{ID: "U0RIVALBOT", Name: "rival", TeamID: slackstub.TeamID, Bot: true}
		t.Channels[rivalChannel] = &slackstub.Channel{ID: rivalChannel, Name: "rival", Members: []string{"U0RIVALBOT", slackstub.Jane, slackstub.Mallory}}
	})
	ns := c.Fleet.Namespace(rival)
	c.grantSecrets(ns, "slack-tokens")
	c.must(c.Env.Apply(c.t.Context(), fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {namespace: %[1]s, name: slack-tokens}
stringData: {token: %[2]q, appToken: xapp-1-%[3]s-900-rivalapptoken}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {namespace: %[1]s, name: slack}
spec: {type: slack, channel: %[4]s, address: %[5]schat.postMessage, secretRef: {name: slack-tokens}}
`, ns, rivalBot, rivalApp, rivalChannel, c.slack.APIURL())))
}

// copies has the rival's app post somebody else's card, buttons and all, and gives where it stands.
func (c *room) copies(m slackstub.Message) slackstub.Message {
	c.t.Helper()
	form := url.Values{"channel": {rivalChannel}, "text": {m.Text}, "blocks": {string(m.Blocks)}}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.slack.APIURL()+"chat.postMessage", strings.NewReader(form.Encode()))
	c.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+rivalBot)
	res, err := http.DefaultClient.Do(req)
	c.must(err)
	defer func() { _ = res.Body.Close() }()
	var said struct {
		OK    bool
		Error string
		TS    string
	}
	c.must(json.NewDecoder(res.Body).Decode(&said))
	if !said.OK {
		c.t.Fatalf("the rival's app may not post: %s", said.Error)
	}
	return slackstub.Message{Channel: rivalChannel, TS: said.TS}
}

// TestEachTenantDecidesInItsOwnSlackApp: what one tenant's app sends decides on its own cards alone, although it shows
// the other's card with the other's buttons, in the workspace of both.
func TestEachTenantDecidesInItsOwnSlackApp(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Fleet.Environments, s.Fleet.Apps = []string{prod, rival}, []string{"backend"} })
	c := w.room(slackstub.Options{})
	c.rivalMovesIn()
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	w.auto(rival, mode(v1alpha1.ModeApprove), onSlack, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Approval.Slack = v1alpha1.SlackApproval{Users: []string{slackstub.Mallory, slackstub.Jane}}
	})
	w.Settle()
	asks := func(env string) (string, *v1alpha1.Rollback) {
		image := w.publishBad("backend", fleet.Tag(env, 1))
		w.wroteBack(env, "backend", fleet.Tag(env, 1))
		return image, w.waits(env, image, "a person decides by")
	}
	ours, r := asks(prod)
	theirs, other := asks(rival)
	m, copied := c.card(r, card.Approve), c.card(other, card.Approve)
	if m.Channel != slackstub.ChannelID || copied.Channel != rivalChannel {
		t.Errorf("the cards stand in %s and %s", m.Channel, copied.Channel)
	}
	w.Until("Backstop hears the rival's clicks too", func() error {
		if c.slack.Connections(rivalApp) == 0 {
			return fmt.Errorf("no connection")
		}
		return nil
	})

	// Whoever presses the other's button in the rival's app decides nothing.
	forged := c.copies(m)
	for _, user := range []string{slackstub.Mallory, slackstub.Jane} {
		c.pressed(user, forged, card.Approve)
		c.hears(user, "nothing was recorded")
	}
	if got := Object(w, r).Spec.Decisions; len(got) > 0 {
		t.Fatalf("another tenant's app decided: %+v", got)
	}
	// Each decides on its own.
	c.pressed(slackstub.Mallory, copied, card.Approve)
	verdict := w.ends(rival, theirs, v1alpha1.ResultVerified).Status.Verdict
	if verdict.By != "slack:"+slackstub.TeamID+"/"+slackstub.Mallory {
		t.Errorf("the rival's verdict is %+v", verdict)
	}
	if s := Object(w, r); s.Status.Verdict != nil || len(s.Spec.Decisions) > 0 {
		t.Errorf("it decided on the other's: %+v", s.Status.Verdict)
	}
	c.pressed(slackstub.Jane, m, card.Approve)
	if verdict := w.ends(prod, ours, v1alpha1.ResultVerified).Status.Verdict; verdict.By != "slack:"+slackstub.TeamID+"/"+slackstub.Jane {
		t.Errorf("the verdict is %+v", verdict)
	}
	for _, said := range c.slack.Everything() {
		if said.Channel == slackstub.ChannelID && strings.Contains(string(said.Blocks), w.Fleet.Namespace(rival)) {
			t.Errorf("the rival's news are in the other's channel: %s", said.Blocks)
		}
	}
}
