package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/notify/slack/clicks"
	"github.com/backstop-dev/backstop/reconcile/record"
	"github.com/backstop-dev/backstop/test/slackstub"
	"github.com/backstop-dev/backstop/test/testenv"
)

// counter is a handler that hears a workspace's clicks and records them in a real API server.
type counter struct {
	b       *testing.B
	slack   *slackstub.Workspace
	api     *slackgo.Client
	records *record.Records
	hub     *clicks.Hub
}

// newCounter makes one. Its rules cost what the sidecar's do: the policies and the failing pods are read live.
func newCounter(b *testing.B) *counter {
	b.Helper()
	plane, err := testenv.Start(b.Context(), testenv.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(plane.Stop)
	config := *plane.Config
	config.QPS = -1
	if err := v1alpha1.AddToScheme(clientgoscheme.Scheme); err != nil {
		b.Fatal(err)
	}
	live, err := client.New(&config, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		b.Fatal(err)
	}
	// Discovery lags behind the definitions.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if err = live.List(b.Context(), &v1alpha1.RollbackList{}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
	c := &counter{b: b, records: &record.Records{Client: live}}
	if c.slack, err = slackstub.Start(slackstub.Options{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.slack.Close)
	c.api = slackgo.New(slackstub.BotToken, slackgo.OptionAPIURL(c.slack.APIURL()), slackgo.OptionAppLevelToken(slackstub.AppToken))
	rule := clicks.Rule{Policy: "default/apps", SlackApproval: v1alpha1.SlackApproval{UserGroups: []string{slackstub.GroupID}}}
	c.hub = clicks.NewHub(clicks.NewHandler(clicks.Options{
		Records: c.records,
		Rules: func(ctx context.Context, r *v1alpha1.Rollback) ([]clicks.Rule, error) {
			if err := live.List(ctx, &v1alpha1.RollbackPolicyList{}, client.InNamespace(r.Namespace)); err != nil {
				return nil, err
			}
			return []clicks.Rule{rule}, live.List(ctx, &corev1.PodList{}, client.InNamespace(r.Namespace))
		},
		Places: func(r *v1alpha1.Rollback) []clicks.Place {
			return []clicks.Place{{Provider: r.Status.Card.Provider, Channel: r.Status.Card.Channel, Message: r.Status.Card.TS}}
		},
	}), clicks.HubOptions{Stagger: time.Millisecond})
	b.Cleanup(c.hub.Close)
	return c
}

func (c *counter) must(err error) {
	c.b.Helper()
	if err != nil {
		c.b.Fatal(err)
	}
}

// connect opens both lines.
func (c *counter) connect() {
	c.b.Helper()
	c.hub.Set(c.b.Context(), []clicks.App{{
		Provider: "default/slack", API: c.api, Team: slackstub.TeamID, AppToken: slackstub.AppToken,
	}})
	c.must(c.slack.Await(c.b.Context(), func() bool { return c.slack.Connections(slackstub.AppID) == 2 }))
}

// ask makes a Rollback that asks, and its card.
func (c *counter) ask(n int) *v1alpha1.Rollback {
	c.b.Helper()
	ctx, at := c.b.Context(), v1alpha1.NewTime(time.Now().Truncate(time.Microsecond))
	r := &v1alpha1.Rollback{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("app-%04d-1", n)},
		Spec:       v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject(fmt.Sprintf("reg/app-%04d:v2", n))},
	}
	c.must(c.records.Create(ctx, r))
	r.Status.Failures = []v1alpha1.Failure{{
		Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: fmt.Sprintf("app-%04d", n)},
		Container: "app", Cause: v1alpha1.CauseNotFound, Message: "manifest unknown", Since: at, ID: "3fa9c1d2e4b5", Pull: &v1alpha1.Pull{},
	}}
	r.Status.Target = &v1alpha1.Target{Image: fmt.Sprintf("reg/app-%04d:v1", n), Proved: true, At: at,
		Values: []v1alpha1.PlaceValue{{Value: "v1"}}}
	r.Status.Waiting = &v1alpha1.Waiting{Why: "a person decides", Since: at}
	r.Status.Question = &v1alpha1.Question{ID: "3fa9c1d2e4b5", Until: at, Answers: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject}}
	drawn := card.Of(card.Facts{Rollback: r, Cluster: "bench"})
	channel, ts, err := c.api.PostMessageContext(ctx, slackstub.ChannelID, slackgo.MsgOptionText(drawn.Text, false),
		slackgo.MsgOptionBlocks(drawn.Blocks...))
	c.must(err)
	r.Status.Card = &v1alpha1.Card{Provider: "default/slack", Channel: channel, TS: ts}
	c.must(c.records.SaveStatus(ctx, r))
	return r
}

func BenchmarkClick(b *testing.B) {
	const n = 300
	c := newCounter(b)
	var all []*v1alpha1.Rollback
	for i := range n {
		all = append(all, c.ask(i))
	}
	c.connect()
	for b.Loop() {
		var took []time.Duration
		for _, r := range all {
			got, err := c.slack.Click(b.Context(), slackstub.Click{
				User: slackstub.Omar, Channel: r.Status.Card.Channel, TS: r.Status.Card.TS, Action: card.Approve,
			})
			c.must(err)
			now, err := c.records.Get(b.Context(), r.Namespace, r.Name)
			c.must(err)
			if !got.Acked || len(now.Spec.Decisions) != 1 {
				b.Fatalf("%+v, and %d decisions", got, len(now.Spec.Decisions))
			}
			took = append(took, got.Took)
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
		b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
		b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
	}
}

// BenchmarkIdleConnection holds both lines, and the workspace's ends of them: Backstop's share is less.
func BenchmarkIdleConnection(b *testing.B) {
	c := newCounter(b)
	held := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc + m.StackInuse)
	}
	for b.Loop() {
		before := held()
		c.connect()
		b.ReportMetric((held()-before)/(1<<20), "MiB")
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		b.Logf("load %s", load)
	}
}
