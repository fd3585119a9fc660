package integration

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// room is a world whose production has a Slack workspace: a Provider and its Secret, as Flux has them.
type room struct {
	*World
	slack *slackstub.Workspace
}

// room starts a workspace, and lets Backstop read the Secret.
func (w *World) room(o slackstub.Options) *room {
	w.t.Helper()
	ws, err := slackstub.Start(o)
	w.must(err)
	w.t.Cleanup(ws.Close)
	c := &room{w, ws}
	w.grantSecrets(w.Fleet.Namespace(prod), "slack-tokens")
	c.tokens("appToken", slackstub.AppToken)
	c.provider(slackstub.ChannelID)
	return c
}

// tokens writes the Secret, with the bot's token that the workspace knows now.
func (c *room) tokens(keysAndValues ...string) {
	c.t.Helper()
	bot := ""
	c.slack.Change(func(t *slackstub.Team) { bot = t.Apps[0].BotToken })
	more := ""
	for i := 0; i < len(keysAndValues); i += 2 {
		more += fmt.Sprintf(", %s: %q", keysAndValues[i], keysAndValues[i+1])
	}
	c.must(c.Env.Apply(c.t.Context(), fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {namespace: %s, name: slack-tokens}, stringData: {token: %q%s}}`,
		c.Fleet.Namespace(prod), bot, more)))
}

// provider writes the Provider, as somebody would who used Flux's own alerts.
func (c *room) provider(channel string) {
	c.t.Helper()
	c.must(c.Env.Apply(c.t.Context(), fmt.Sprintf(`
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {namespace: %s, name: slack}
spec: {type: slack, channel: %s, address: %schat.postMessage, secretRef: {name: slack-tokens}}
`, c.Fleet.Namespace(prod), channel, c.slack.APIURL())))
}

// onSlack is a change of a policy: Jane may decide, and who is on call.
func onSlack(p *v1alpha1.RollbackPolicy) {
	p.Spec.ProviderRef = &v1alpha1.LocalRef{Name: "slack"}
	p.Spec.Approval.Slack = v1alpha1.SlackApproval{Users: []string{slackstub.Jane}, UserGroups: []string{slackstub.GroupID}}
}

// heard waits until Backstop has its connections.
func (c *room) heard() {
	c.t.Helper()
	c.Until("Backstop hears clicks", func() error {
		if n := c.slack.Connections(slackstub.AppID); n == 0 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
}

// readable undoes what JSON makes of mentions.
var readable = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

// card waits for the card of a Rollback to say all of these words, and gives it.
func (c *room) card(r *v1alpha1.Rollback, words ...string) slackstub.Message {
	c.t.Helper()
	var out slackstub.Message
	c.patiently("the card of "+r.Name+" says "+strings.Join(words, ", "), patience+20*time.Second, func() error {
		at := Object(c.World, r).Status.Card
		if at == nil {
			return fmt.Errorf("it has none")
		}
		for _, m := range c.slack.Everything() {
			if m.TS != at.TS || m.Channel != at.Channel {
				continue
			}
			text := m.Text + readable.Replace(string(m.Blocks))
			for _, word := range words {
				if !strings.Contains(text, word) {
					return fmt.Errorf("it lacks %q: %s", word, text)
				}
			}
			out = m
			return nil
		}
		return fmt.Errorf("there is no message %+v", at)
	})
	return out
}

// asksOnSlack waits for the card of a bad image to have its buttons.
func (c *room) asksOnSlack(app, tag string) (image string, r *v1alpha1.Rollback, m slackstub.Message) {
	c.t.Helper()
	image, r = c.asked(app, tag)
	m = c.card(r, card.Approve, "Approval needed")
	return image, r, m
}

// click presses a button as a person does.
func (c *room) click(user string, m slackstub.Message, action string) (slackstub.Receipt, error) {
	return c.slack.Click(c.t.Context(), slackstub.Click{User: user, Channel: m.Channel, TS: m.TS, Action: action})
}

// pressed presses a button until that is acknowledged, as people do whom Slack shows that it was not: Slack waits for
// seconds alone, and a machine may be busy for longer.
func (c *room) pressed(user string, m slackstub.Message, action string) {
	c.t.Helper()
	c.heard()
	c.Until(user+" presses "+action, func() error {
		if r, err := c.click(user, m, action); err != nil || !r.Acked {
			return fmt.Errorf("%+v: %w", r, cmp.Or(err, errors.New("not acknowledged")))
		}
		return nil
	})
}

// hears waits for a person's newest answer to say all of these words.
func (c *room) hears(user string, words ...string) {
	c.t.Helper()
	c.Until(user+" hears "+strings.Join(words, ", "), func() error {
		all := c.slack.Ephemerals(user)
		if len(all) == 0 {
			return fmt.Errorf("nothing")
		}
		for _, word := range words {
			if got := all[len(all)-1].Text; !strings.Contains(got, word) {
				return fmt.Errorf("%q", got)
			}
		}
		return nil
	})
}

// oneCard reports that a Rollback has one message, the one that the record names, without a button, and that it says
// these words.
func (c *room) oneCard(r *v1alpha1.Rollback, words ...string) {
	c.t.Helper()
	m := c.card(r, words...)
	if len(m.Buttons()) > 0 && m.Buttons()[0].ActionID != card.View {
		c.t.Errorf("the card of %s still has buttons: %s", r.Name, m.Blocks)
	}
	n := 0
	for _, other := range c.slack.Everything() {
		if other.ThreadTS == "" && strings.Contains(string(other.Blocks), r.Name) {
			n++
		}
	}
	if n != 1 {
		c.t.Errorf("%s has %d messages, want one", r.Name, n)
	}
}

// told waits for a Kubernetes Event on the Rollback with these words.
func (c *room) told(r *v1alpha1.Rollback, reason, words string) {
	c.t.Helper()
	c.Until("an Event says "+words, func() error {
		var list corev1.EventList
		c.must(c.Client.List(c.t.Context(), &list, client.InNamespace(r.Namespace)))
		for _, e := range list.Items {
			if e.InvolvedObject.Name == r.Name && e.Reason == reason && strings.Contains(e.Message, words) {
				return nil
			}
		}
		return fmt.Errorf("none of %d does", len(list.Items))
	})
}

// silent reports that none of what Slack keeps secret is anywhere.
func (c *room) silent(s *Sidecar) {
	c.t.Helper()
	c.secretNowhere(s, "ticket-", "/actions/", "trigger-", "deprecated-verification-token")
}

// soon is an approval that nobody gives.
const soon = 2 * time.Second
