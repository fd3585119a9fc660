package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
	"github.com/backstop-dev/backstop/test/slackstub/page"
)

// chat is a stand-in for Slack, and the page that shows its channel. Nothing in the sidecar knows that it is a
// stand-in.
func (w *world) chat(ctx context.Context) error {
	var err error
	if w.slack, err = slackstub.Start(slackstub.Options{}); err != nil {
		return fmt.Errorf("start a stand-in for Slack: %w", err)
	}
	w.later(w.slack.Close)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for browsers: %w", err)
	}
	srv := &http.Server{Handler: page.Handler(w.slack, slackstub.ChannelID), ReadHeaderTimeout: 5 * time.Second}
	w.later(func() { _ = srv.Close() })
	go w.complain("page", func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	w.page = "http://" + l.Addr().String()
	w.say("starting a stand-in for Slack; its channel is at %s", w.page)
	return nil
}

// provider is what a team adds that has Slack: a Provider of Flux's own kind, its Secret, and the Role to read it.
func provider(api string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Secret
metadata: {name: slack, namespace: %[1]s}
stringData: {token: %[2]s, appToken: %[3]s}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: slack, namespace: %[1]s}
spec: {type: slack, channel: %[4]s, address: %[5]s, secretRef: {name: slack}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: backstop-credentials, namespace: %[1]s}
rules: [{apiGroups: [""], resources: [secrets], resourceNames: [slack], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: backstop-credentials, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: backstop-credentials}
subjects: [{kind: ServiceAccount, name: backstop, namespace: backstop-system}]
`, ns, slackstub.BotToken, slackstub.AppToken, slackstub.ChannelID, api)
}

// card finds the card of a Rollback where its record says that it stands.
func (w *world) card(s *v1alpha1.RollbackStatus) (slackstub.Message, bool) {
	if s.Card == nil {
		return slackstub.Message{}, false
	}
	for _, m := range w.slack.Messages(s.Card.Channel) {
		if m.TS == s.Card.TS {
			return m, true
		}
	}
	return slackstub.Message{}, false
}

// approval has the card posted, and a person decide: in the browser when somebody is there, else by two clicks, of
// which only one may count. It gives false when the person kept the image.
func (w *world) approval(ctx context.Context, image string) (bool, error) {
	var asked slackstub.Message
	err := w.tell(ctx, w.rollback(image, func(s *v1alpha1.RollbackStatus) (string, bool) {
		m, ok := w.card(s)
		if _, has := m.Button(card.Approve); !ok || !has || w.slack.Connections(slackstub.AppID) == 0 {
			return "no card asks for an approval", false
		}
		asked = m
		return "Slack: " + m.Text, true
	}))
	if err != nil {
		return false, err
	}
	limit := time.Minute
	if w.byHand {
		limit = time.Hour
		w.say("it is your turn: open %s, and press a button as Jane Doe; as Mallory Smith you will be refused", w.page)
	} else if err := w.clicks(ctx, asked, image); err != nil {
		return false, err
	}
	approved := false
	decided := w.rollback(image, func(s *v1alpha1.RollbackStatus) (string, bool) {
		v := s.Verdict
		if v == nil {
			return s.Phase, false
		}
		approved = v.Answer == v1alpha1.Approve
		return fmt.Sprintf("decided: %s by %s", v.Answer, v.By), true
	})
	decided.limit = limit
	return approved, w.tell(ctx, decided)
}

// clicks are those of two people: Mallory may not decide, Jane may.
func (w *world) clicks(ctx context.Context, asked slackstub.Message, image string) error {
	for _, user := range []string{slackstub.Mallory, slackstub.Jane} {
		if user == slackstub.Mallory && len(w.slack.Ephemerals(user)) > 0 {
			// She was told before.
			continue
		}
		r, err := w.slack.Click(ctx, slackstub.Click{User: user, Channel: asked.Channel, TS: asked.TS, Action: card.Approve})
		if err == nil && !r.Acked {
			err = errors.New("nobody acknowledged it")
		}
		if err != nil {
			return fmt.Errorf("%s clicks: %w", user, err)
		}
		if user == slackstub.Jane {
			w.say("Jane Doe presses %s; acknowledged after %s", w.button(), r.Took.Round(time.Millisecond))
			continue
		}
		if err := w.tell(ctx, w.refused(user)); err != nil {
			return err
		}
		var list v1alpha1.RollbackList
		if err := w.client.List(ctx, &list); err != nil {
			return fmt.Errorf("list Rollbacks: %w", err)
		}
		for _, rb := range list.Items {
			if rb.Spec.Subject.Name == image && len(rb.Spec.Decisions) > 0 {
				return fmt.Errorf("a click of %s was taken for a decision: %v", user, rb.Spec.Decisions)
			}
		}
	}
	return nil
}

// button is what the card's first one says.
func (w *world) button() string {
	if w.forge != nil {
		return "Merge"
	}
	return "Revert in Git, and then Revert"
}

// refused waits for the answer that only the person who clicked sees.
func (w *world) refused(user string) chapter {
	return chapter{limit: time.Minute, until: func(context.Context) (string, bool, error) {
		for _, e := range w.slack.Ephemerals(user) {
			return "Mallory Smith presses it too, and alone sees: " + w.named(e.Text), true, nil
		}
		return "nobody told " + user, false, nil
	}}
}

// named is mrkdwn for a terminal: people by their names, times as they are.
func (w *world) named(text string) string {
	text = regexp.MustCompile(`<!date[^|>]*\|([^>]*)>`).ReplaceAllString(text, "$1")
	w.slack.Look(func(t *slackstub.Team) {
		for id, u := range t.Users {
			text = strings.ReplaceAll(text, "<@"+id+">", u.RealName)
		}
	})
	return strings.NewReplacer("*", "", "\n", " · ").Replace(text)
}

// isRecord waits for the card to have become the record of how it ended. A person may have decided without Slack.
func (w *world) isRecord(image string) chapter {
	return w.rollback(image, func(s *v1alpha1.RollbackStatus) (string, bool) {
		m, ok := w.card(s)
		if !ok || s.Outcome == nil || len(m.Buttons()) > 0 || !strings.Contains(m.Says(), string(s.Outcome.Result)) {
			return "the card is no record yet: " + m.Text, false
		}
		thread := ""
		for _, line := range w.slack.Thread(m.Channel, m.TS) {
			thread += w.named(line.Text) + " · "
		}
		return fmt.Sprintf("Slack: the card is a record now: %s; its thread says: %s", m.Header(),
			strings.TrimSuffix(thread, " · ")), w.byHand || strings.Contains(thread, "Jane Doe")
	})
}
