package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// TestACardOverARestartAndWithoutSlack decides by CLI what a card asks: the card is one message before and after a
// restart, and ends as a record; what is wrong with the Provider is a condition of the policy.
func TestACardOverARestartAndWithoutSlack(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("api"))
	slack, err := slackstub.Start(slackstub.Options{PostEvery: time.Second})
	w.must(err)
	t.Cleanup(slack.Close)
	ns := w.Fleet.Namespace(prod)
	w.grantSecrets(ns, "slack-cards")
	w.must(w.Env.Apply(t.Context(), fmt.Sprintf(`
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {namespace: %[1]s, name: cards}
spec: {type: slack, channel: %[2]s, address: %[3]schat.postMessage, secretRef: {name: slack-cards}}
`, ns, slackstub.ChannelID, slack.APIURL())))
	s := startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), func(p *v1alpha1.RollbackPolicy) {
		p.Spec.ProviderRef = &v1alpha1.LocalRef{Name: "cards"}
	})
	w.Settle()
	ready := func(reason string, words ...string) {
		t.Helper()
		w.patiently("the policy says "+reason, time.Minute, func() error {
			var all v1alpha1.RollbackPolicyList
			w.must(w.Client.List(t.Context(), &all))
			i := slices.IndexFunc(all.Items, func(p v1alpha1.RollbackPolicy) bool { return p.Namespace == ns })
			if i < 0 {
				return fmt.Errorf("no policy")
			}
			c := meta.FindStatusCondition(all.Items[i].Status.Conditions, "SlackReady")
			if c == nil || c.Reason != reason {
				return fmt.Errorf("the condition is %+v", c)
			}
			for _, word := range words {
				if !strings.Contains(c.Message, word) {
					return fmt.Errorf("it lacks %q: %s", word, c.Message)
				}
			}
			return nil
		})
	}
	ready("NoSecret", "slack-cards")
	w.must(w.Client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "slack-cards"},
		StringData: map[string]string{"token": slackstub.BotToken, "appToken": slackstub.AppToken},
	}))
	ready("Ready", "C0DEPLOYS")

	image, r := w.asked("api", fleet.Tag(prod, 1))
	card := func(header string) (m slackstub.Message) {
		t.Helper()
		w.patiently("the card says "+header, time.Minute, func() error {
			cards := slack.Messages(slackstub.ChannelID)
			if len(cards) != 1 {
				return fmt.Errorf("%d messages stand in the channel", len(cards))
			}
			if m = cards[0]; !strings.Contains(m.Header(), header) {
				return fmt.Errorf("it says %q", m.Header())
			}
			at := Object(w, r).Status.Card
			if at == nil || at.TS != m.TS || at.Provider != ns+"/cards" {
				return fmt.Errorf("the record says %+v", at)
			}
			return nil
		})
		return m
	}
	asked := card("Approval needed")
	s.Stop(10 * time.Second)
	next := startSidecar(t, w)
	alice := w.user("alice", prod, "backstop-approver")
	_, err = alice.backstop("approve", r.Name)
	w.must(err)
	w.ends(prod, image, v1alpha1.ResultVerified)
	if ended := card("healthy"); ended.TS != asked.TS {
		t.Errorf("the card moved from %s to %s", asked.TS, ended.TS)
	}
	w.patiently("the thread tells the decision", time.Minute, func() error {
		var lines []string
		for _, m := range slack.Thread(slackstub.ChannelID, asked.TS) {
			lines = append(lines, m.Text)
		}
		if said := strings.Join(lines, "\n"); !strings.Contains(said, "Approve") || !strings.Contains(said, "reverts") {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	w.keepsSlackSecrets(ns, s.Log()+next.Log())
}

// keepsSlackSecrets looks for Slack's tokens and tickets in logs, and in everything that Backstop wrote in a namespace.
func (w *World) keepsSlackSecrets(ns, text string) {
	w.t.Helper()
	for _, list := range []client.ObjectList{
		&v1alpha1.RollbackList{}, &v1alpha1.RollbackPolicyList{}, &corev1.EventList{},
	} {
		w.must(w.Client.List(w.t.Context(), list, client.InNamespace(ns)))
		raw, err := json.Marshal(list)
		w.must(err)
		text += string(raw)
	}
	for _, secret := range []string{
		slackstub.BotToken, slackstub.AppToken, slackstub.SigningSecret, "xoxb-", "xapp-", "ticket=", "/actions/" + slackstub.TeamID,
	} {
		if strings.Contains(text, secret) {
			w.t.Errorf("%q stands in a log, an event or a status", secret)
		}
	}
}
