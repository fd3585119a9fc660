package integration

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// overHTTP has Slack post clicks to a sidecar that was started with --slack-http-addr, and gives the URL.
func (c *room) overHTTP(s *Sidecar) string {
	c.t.Helper()
	for _, m := range listens.FindAllStringSubmatch(s.Log(), -1) {
		at := "http://" + m[1] + "/slack/interactivity"
		res, err := http.Get(at)
		c.must(err)
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			c.slack.Change(func(t *slackstub.Team) { t.Apps[0].RequestURL = at })
			return at
		}
	}
	c.t.Fatal("nothing takes clicks over HTTP")
	return ""
}

// refused posts what Slack did not sign, with secrets in it.
func (c *room) refused(at string, m slackstub.Message, status int) {
	c.t.Helper()
	payload, _, err := c.slack.Payload(slackstub.Click{User: slackstub.Jane, Channel: m.Channel, TS: m.TS, Action: card.Approve})
	c.must(err)
	body := url.Values{"payload": {string(payload)}}.Encode()
	res, err := http.Post(at, "application/x-www-form-urlencoded", strings.NewReader(body))
	c.must(err)
	defer res.Body.Close()
	if said, _ := io.ReadAll(res.Body); res.StatusCode != status || len(said) > 0 {
		c.t.Errorf("what nobody signed is answered %s: %q", res.Status, said)
	}
}

func TestSlackSecretsNowhereInLogsEventsStatusOrErrors(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	c.tokens("signingSecret", slackstub.SigningSecret)
	s := startSidecar(t, w, "--slack-http-addr=127.0.0.1:0")
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	w.Settle()
	at := c.overHTTP(s)
	c.condition("SlackReady", "True", "cards go to")
	image, _, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	tip := w.Tip()
	c.refused(at, m, http.StatusUnauthorized)

	// Slack cuts the answer to who may not decide, the question of who is in the group, and every update.
	c.slack.Fail("chat.postEphemeral", slackstub.Fault{Cut: slackstub.CutBefore, Times: 1})
	c.slack.Fail("usergroups.users.list", slackstub.Fault{Cut: slackstub.CutBefore, Times: 1})
	for _, user := range []string{slackstub.Mallory, slackstub.Guest} {
		if receipt, err := c.click(user, m, card.Approve); err != nil || !receipt.Acked {
			t.Errorf("%s: %+v, %v", user, receipt, err)
		}
	}
	w.unmoved(prod, tip)
	w.says(s, `"msg":"slack: the answer to a click could not be posted"`)

	// Somebody names a webhook, which is a secret by itself, and then what was there before.
	const hook = "https://hooks.slack.com/services/T0ACME/B0HOOK/a-webhook-s-secret"
	c.tokens("signingSecret", slackstub.SigningSecret, "address", hook)
	c.condition("SlackReady", "False", "incoming webhook")
	c.tokens("signingSecret", slackstub.SigningSecret, "address", "")
	c.condition("SlackReady", "True", "cards go to")

	if receipt, err := c.click(slackstub.Jane, m, card.Approve); err != nil || !receipt.Acked {
		t.Errorf("%+v, %v", receipt, err)
	}
	r := w.ends(prod, image, v1alpha1.ResultVerified)
	c.oneCard(r, "is healthy on", "<@U0JANE>")
	c.told(r, "Decided", "slack:"+slackstub.TeamID+"/"+slackstub.Jane)
	c.silent(s)
	c.secretNowhere(s, slackstub.BotToken, slackstub.AppToken, slackstub.SigningSecret, hook, "a-webhook-s-secret")
}
