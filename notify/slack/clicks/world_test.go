package clicks

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// store keeps Rollbacks as the API server does: a write on what was read before another write is a conflict.
type store struct {
	mu       sync.Mutex
	all      map[string]v1alpha1.Rollback
	version  int
	failing  error
	before   func() // between a read and what follows it
	attempts int
}

func (s *store) Get(_ context.Context, namespace, name string) (*v1alpha1.Rollback, error) {
	s.mu.Lock()
	before, failing := s.before, s.failing
	r, ok := s.all[namespace+"/"+name]
	s.mu.Unlock()
	if failing != nil {
		return nil, failing
	}
	if before != nil {
		before()
	}
	if !ok {
		return nil, nil
	}
	return r.DeepCopy(), nil
}

func (s *store) SaveDecisions(ctx context.Context, r *v1alpha1.Rollback) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	key := r.Namespace + "/" + r.Name
	if s.all[key].ResourceVersion != r.ResourceVersion {
		return ErrConflict
	}
	s.put(r)
	return ctx.Err()
}

func (s *store) put(r *v1alpha1.Rollback) {
	s.version++
	c := *r.DeepCopy()
	c.ResourceVersion = fmt.Sprint(s.version)
	s.all[r.Namespace+"/"+r.Name] = c
}

func (s *store) change(f func(*v1alpha1.Rollback)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all["production/backend-1"]
	f(&r)
	s.put(&r)
}

func (s *store) decisions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, d := range s.all["production/backend-1"].Spec.Decisions {
		out = append(out, fmt.Sprintf("%s %s", d.By, d.Answer))
	}
	return out
}

// world is a workspace with a card in it, and a handler that hears its clicks.
type world struct {
	t       *testing.T
	slack   *slackstub.Workspace
	app     App
	store   *store
	handler *Handler
	hub     *Hub
	rules   []Rule
	ts      string
	// poster is the Provider that posted the card.
	poster string
	log    *lockedLog
}

// asked is a Rollback that asks.
func asked() *v1alpha1.Rollback {
	at := v1alpha1.NewTime(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	return &v1alpha1.Rollback{
		ObjectMeta: metav1.ObjectMeta{Namespace: "production", Name: "backend-1", UID: "6f1c2b"},
		Spec:       v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject("reg/backend:v2")},
		Status: v1alpha1.RollbackStatus{
			Failures: []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend"}, Container: "app",
				Cause: v1alpha1.CauseNotFound, Message: "manifest unknown", Since: at}},
			Suspect: &v1alpha1.Suspect{Commit: strings.Repeat("a1", 20), Branch: "main", Author: "Jane Doe <jane@acme.example>", When: at},
			Target:  &v1alpha1.Target{Image: "reg/backend:v1", Proved: true, Values: []v1alpha1.PlaceValue{{Value: "v1"}}, At: at},
			Waiting: &v1alpha1.Waiting{Since: at},
			Question: &v1alpha1.Question{ID: "3fa9c1d2e4b5", Until: at, Answers: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject},
				Doubts: []v1alpha1.Doubt{{Type: v1alpha1.DoubtPolicyAsks, Message: "the policy asks for an approval"}}},
		},
	}
}

// quick are times that a test can wait for.
var quick = HubOptions{Stagger: time.Millisecond, Again: 20 * time.Millisecond, Ping: 5 * time.Second}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

// String is what was logged so far.
func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// newWorld posts the card of a Rollback that Jane may decide on, and those of the on-call group.
func newWorld(t *testing.T, o slackstub.Options) *world {
	t.Helper()
	ws, err := slackstub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, slack: ws, store: &store{all: map[string]v1alpha1.Rollback{}}, log: &lockedLog{}, poster: "production/slack",
	}
	w.rules = []Rule{{Policy: "production/apps", SlackApproval: v1alpha1.SlackApproval{
		Users: []string{slackstub.Jane}, UserGroups: []string{slackstub.GroupID},
	}}}
	w.app = App{
		Provider: "production/slack", Team: slackstub.TeamID, AppToken: slackstub.AppToken, SigningSecret: slackstub.SigningSecret,
		API: slack.New(slackstub.BotToken, slack.OptionAPIURL(ws.APIURL()), slack.OptionAppLevelToken(slackstub.AppToken)),
	}
	w.handler = NewHandler(Options{
		Records: w.store, Rules: func(context.Context, *v1alpha1.Rollback) ([]Rule, error) { return w.rules, nil },
		Places: func(*v1alpha1.Rollback) []Place { return []Place{{w.poster, slackstub.ChannelID, w.ts}} },
		Log:    slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	w.store.put(asked())
	w.ts = w.post(slackstub.ChannelID)
	t.Cleanup(func() {
		if w.hub != nil {
			w.hub.Close()
		}
		w.handler.Wait()
		ws.Close()
		w.secretless()
	})
	return w
}

// post posts the card as it is now, and gives its address.
func (w *world) post(channel string) string {
	w.t.Helper()
	r := w.store.all["production/backend-1"]
	c := card.Of(card.Facts{Rollback: &r, Cluster: "prod-eu-1", Links: card.Links{Repository: "https://github.com/acme/fleet"}})
	w.slack.Change(func(t *slackstub.Team) {
		if ch := t.Channels[channel]; ch.Members[0] != slackstub.BotUser {
			ch.Members = append([]string{slackstub.BotUser}, ch.Members...)
		}
	})
	_, ts, err := w.app.API.PostMessageContext(w.t.Context(), channel, slack.MsgOptionText(c.Text, false), slack.MsgOptionBlocks(c.Blocks...))
	if err != nil {
		w.t.Fatal(err)
	}
	return ts
}

// connect opens Socket Mode and waits for both lines.
func (w *world) connect(o HubOptions) {
	w.t.Helper()
	w.hub = NewHub(w.handler, o)
	w.hub.Set(w.t.Context(), []App{w.app})
	w.await("both lines are open", func() bool { return w.hub.open() == 2 })
}

// open counts the lines that said hello.
func (h *Hub) open() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, l := range h.listeners {
		l.mu.Lock()
		for _, s := range l.lines {
			if s.open {
				n++
			}
		}
		l.mu.Unlock()
	}
	return n
}

// await waits for something that has no event of its own.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited for: %s\n%s", what, w.log)
		}
	}
}

// click clicks as a person does.
func (w *world) click(user, action string, more ...func(*slackstub.Click)) slackstub.Receipt {
	w.t.Helper()
	c := slackstub.Click{User: user, Channel: slackstub.ChannelID, TS: w.ts, Action: action}
	for _, m := range more {
		m(&c)
	}
	r, err := w.slack.Click(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// hears waits for the nth answer to a person, which says all of these words.
func (w *world) hears(user string, n int, words ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	if err := w.slack.Await(ctx, func() bool { return len(w.slack.Ephemerals(user)) >= n }); err != nil {
		w.t.Fatalf("%s hears nothing: %v\n%s", user, err, w.log)
	}
	got := w.slack.Ephemerals(user)[n-1].Text
	for _, word := range words {
		if !strings.Contains(got, word) {
			w.t.Errorf("%s hears %q, which lacks %q", user, got, word)
		}
	}
}

// secretless greps what was logged for secrets.
func (w *world) secretless() {
	for _, secret := range []string{slackstub.BotToken, slackstub.AppToken, slackstub.SigningSecret, "ticket-", "/actions/", "trigger-"} {
		if strings.Contains(w.log.String(), secret) {
			w.t.Errorf("the log has %q:\n%s", secret, w.log)
		}
	}
}
