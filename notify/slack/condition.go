package slack

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// Ready is the type of the condition that a policy has on what becomes of its cards.
const Ready = "SlackReady"

// ProviderOf is the Provider that a policy names, or the controller's default; the zero value names no Provider.
func ProviderOf(p *v1alpha1.RollbackPolicy, otherwise types.NamespacedName) types.NamespacedName {
	if ref := p.Spec.ProviderRef; ref != nil {
		return types.NamespacedName{Namespace: p.Namespace, Name: ref.Name}
	}
	return otherwise
}

// Condition reports whether the cards of a policy reach Slack and clicks are heard. deaf says by the Provider's
// namespace/name why they are not.
func (a *Apps) Condition(name types.NamespacedName, deaf map[string]string) *metav1.Condition {
	c := metav1.Condition{Type: Ready, Status: metav1.ConditionFalse}
	if t := a.Trouble(name); t != nil {
		c.Reason, c.Message = t.Reason, text.Cut(t.Sentence, 1000)
		return &c
	}
	if why := deaf[name.String()]; why != "" {
		c.Reason, c.Message = "NotHeard", text.Cut(text.Mask(why), 1000)
		return &c
	}
	app := a.Get(name)
	if app == nil {
		c.Reason, c.Message = "Unread", "Provider "+name.String()+" was not read yet"
		return &c
	}
	c.Status, c.Reason = metav1.ConditionTrue, "Ready"
	c.Message = "cards go to " + text.Cut(app.Channel, 100) + " as @" + text.Cut(app.Bot, 80)
	return &c
}
