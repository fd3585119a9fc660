package slack

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// objects is an API server that holds Providers and Secrets.
type objects struct {
	mu      sync.Mutex
	version string // in which Providers are served
	specs   map[types.NamespacedName]map[string]any
	secrets map[types.NamespacedName]map[string]string
	denied  map[types.NamespacedName]bool
}

func (o *objects) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return fmt.Errorf("nobody lists")
}

func (o *objects) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	resource := schema.GroupResource{Resource: "secrets"}
	if o.denied[key] {
		return apierrors.NewForbidden(resource, key.Name, fmt.Errorf("RBAC"))
	}
	switch into := obj.(type) {
	case *unstructured.Unstructured:
		if kind := into.GroupVersionKind(); kind.Version != o.version {
			return &meta.NoKindMatchError{GroupKind: kind.GroupKind(), SearchedVersions: []string{kind.Version}}
		}
		spec, ok := o.specs[key]
		if !ok {
			return apierrors.NewNotFound(schema.GroupResource{Resource: "providers"}, key.Name)
		}
		into.Object["spec"] = runtimeCopy(spec)
	case *corev1.Secret:
		data, ok := o.secrets[key]
		if !ok {
			return apierrors.NewNotFound(resource, key.Name)
		}
		into.Data = map[string][]byte{}
		for k, v := range data {
			into.Data[k] = []byte(v)
		}
	}
	return nil
}

func runtimeCopy(in map[string]any) map[string]any {
	return (&unstructured.Unstructured{Object: in}).DeepCopy().Object
}

var provider1 = types.NamespacedName{Namespace: "production", Name: "slack"}

// acme is the Provider and Secret of the stand-in's workspace.
func acme(address string) *objects {
	return &objects{
		version: "v1beta3",
		specs: map[types.NamespacedName]map[string]any{provider1: {
			"type": "slack", "channel": slackstub.ChannelID, "address": address, "secretRef": map[string]any{"name": "tokens"},
		}},
		secrets: map[types.NamespacedName]map[string]string{{Namespace: "production", Name: "tokens"}: {
			"token": slackstub.BotToken + "\n", "appToken": slackstub.AppToken,
		}},
		denied: map[types.NamespacedName]bool{},
	}
}

func (o *objects) change(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

// store keeps Rollbacks as the API server does.
type store struct {
	mu      sync.Mutex
	all     map[string]*v1alpha1.Rollback
	version int
	stale   bool // what is listed has no cards yet
	failing error
	saves   int
}

func (s *store) Get(_ context.Context, namespace, name string) (*v1alpha1.Rollback, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.all[namespace+"/"+name]; r != nil && s.failing == nil {
		return r.DeepCopy(), nil
	}
	return nil, s.failing
}

func (s *store) SaveCard(_ context.Context, r *v1alpha1.Rollback, c *v1alpha1.Card) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return s.failing
	}
	s.saves++
	s.version++
	now := s.all[r.Namespace+"/"+r.Name]
	now.Status.Card, now.ResourceVersion = c.DeepCopy(), fmt.Sprint(s.version)
	return nil
}

func (s *store) list() []v1alpha1.Rollback {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []v1alpha1.Rollback
	for _, r := range s.all {
		c := *r.DeepCopy()
		if s.stale {
			c.Status.Card = nil
		}
		out = append(out, c)
	}
	return out
}

// world is a Poster between a store and the stand-in, in a bubble.
type world struct {
	t       *testing.T
	slack   *slackstub.Workspace
	objects *objects
	store   *store
	log     *bytes.Buffer
	apps    *Apps
	poster  *Poster
	options Options
	// provider that the policies name; all are those that some policy names.
	provider types.NamespacedName
	all      []types.NamespacedName
	stop     func()
}

// bubble runs a test where time only passes when everybody waits.
func bubble(t *testing.T, o slackstub.Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, slack: slackstub.New(o), objects: acme("http://slack.test/api/chat.postMessage"),
			store: &store{all: map[string]*v1alpha1.Rollback{}}, log: &bytes.Buffer{}, provider: provider1,
			all: []types.NamespacedName{provider1},
		}
		w.start()
		f(w)
		w.stop()
		for _, secret := range []string{slackstub.BotToken, slackstub.AppToken, slackstub.SigningSecret, "xoxb-new"} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the log holds the secret %s", secret)
			}
		}
	})
}

// start starts a Poster, as a new process does.
func (w *world) start() {
	log := slog.New(slog.NewTextHandler(&locked{w: w.log}, nil))
	ctx, cancel := context.WithCancel(w.t.Context())
	w.apps = &Apps{Reader: w.objects, Hosts: Hosts{"slack.test"}, Now: time.Now, Log: log, http: func(*Settings) *http.Client { return w.slack.Client() }}
	w.apps.Refresh(ctx, w.all)
	o := w.options
	o.Cluster, o.Apps, o.Records, o.All, o.Log = "prod-eu-1", w.apps, w.store, w.store.list, log
	o.Plan = func(_ context.Context, r *v1alpha1.Rollback) (Plan, error) {
		return Plan{Facts: card.Facts{Rollback: r, Cluster: "prod-eu-1"}, Provider: w.names()}, nil
	}
	w.poster = New(o)
	var running sync.WaitGroup
	running.Go(func() { w.poster.Run(ctx) })
	running.Go(func() {
		tick := time.NewTicker(15 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.apps.Refresh(ctx, w.all)
			}
		}
	})
	w.stop = func() {
		cancel()
		running.Wait()
	}
}

// names is the Provider that the policies name now.
func (w *world) names() types.NamespacedName {
	w.objects.mu.Lock()
	defer w.objects.mu.Unlock()
	return w.provider
}

type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// after lets time pass.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// put saves a state of a Rollback as the engine does, and tells of it.
func (w *world) put(name string, change func(*v1alpha1.Rollback)) {
	w.store.mu.Lock()
	key := "production/" + name
	r := w.store.all[key]
	if r == nil {
		r = &v1alpha1.Rollback{}
		r.Namespace, r.Name, r.UID = "production", name, types.UID("uid-"+name)
		r.CreationTimestamp = metav1.NewTime(time.Now().Truncate(time.Second))
		r.Spec.OpenedFor, r.Spec.Subject = v1alpha1.TriggerImagePull, v1alpha1.ImageSubject("reg.example/"+name+":v2")
	}
	old := r.DeepCopy()
	r = r.DeepCopy()
	change(r)
	w.store.version++
	r.ResourceVersion = fmt.Sprint(w.store.version)
	// A copy: cards are saved into what the store has, while r is told of.
	w.store.all[key] = r.DeepCopy()
	w.store.mu.Unlock()
	w.poster.Tell(old, r)
}

// The states of a Rollback.
func asking(r *v1alpha1.Rollback) {
	s := &r.Status
	s.Failures = []v1alpha1.Failure{{
		Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: r.Name}, Container: "app", Cause: v1alpha1.CauseNotFound,
		Message: "manifest unknown", Since: v1alpha1.NewTime(time.Now()),
	}}
	s.Suspect = &v1alpha1.Suspect{Commit: strings.Repeat("4be1c2d0", 5), Branch: "main", Author: "flux", When: v1alpha1.NewTime(time.Now()),
		Places: []v1alpha1.Place{{File: "app.yaml", Pointer: "0/image", Part: "Tag", Bad: "v2", Former: "v1"}}}
	s.Target = &v1alpha1.Target{Values: []v1alpha1.PlaceValue{{Value: "v1"}}, Image: "reg.example/" + r.Name + ":v1", Proved: true, BadProved: true, Proof: "reg.example has v1"}
	s.Waiting = &v1alpha1.Waiting{Why: "approval", Since: v1alpha1.NewTime(time.Now())}
	s.Question = &v1alpha1.Question{ID: "3fa9c1d2e4b5", Until: v1alpha1.NewTime(time.Now().Add(time.Hour)),
		Answers: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject}, Doubts: []v1alpha1.Doubt{{Message: "policy production/web asks"}}}
}

func approved(r *v1alpha1.Rollback) {
	asking(r)
	r.Status.Waiting, r.Status.Question = nil, nil
	r.Spec.Decisions = []v1alpha1.Decision{{Question: "3fa9c1d2e4b5", By: "slack:T0ACME/U0JANE", Answer: v1alpha1.Approve, At: v1alpha1.NewTime(time.Now())}}
	r.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Approve, Source: v1alpha1.VerdictByPerson, By: "slack:T0ACME/U0JANE", At: v1alpha1.NewTime(time.Now())}
}

func changed(r *v1alpha1.Rollback) {
	approved(r)
	r.Status.Change = &v1alpha1.Change{Commit: strings.Repeat("a", 40), Branch: "main", At: v1alpha1.NewTime(time.Now())}
}

func ended(result v1alpha1.Result) func(*v1alpha1.Rollback) {
	return func(r *v1alpha1.Rollback) {
		changed(r)
		r.Status.Outcome = &v1alpha1.Outcome{Result: result, Message: "it ended as " + string(result), At: v1alpha1.NewTime(time.Now())}
	}
}

// cards are what stands in the channel.
func (w *world) cards() []slackstub.Message { return w.slack.Messages(slackstub.ChannelID) }

// one is the only card.
func (w *world) one() slackstub.Message {
	w.t.Helper()
	cards := w.cards()
	if len(cards) != 1 {
		w.t.Fatalf("%d messages stand in the channel, want one:\n%s", len(cards), w.log)
	}
	return cards[0]
}

func (w *world) thread(ts string) string {
	var lines []string
	for _, m := range w.slack.Thread(slackstub.ChannelID, ts) {
		lines = append(lines, m.Text)
	}
	return strings.Join(lines, "\n--\n")
}

// posts are the cards that were ever posted, by the names of their Rollbacks.
func (w *world) posts() map[string]int {
	out := map[string]int{}
	for _, m := range w.slack.Everything() {
		if s := string(m.Metadata); s != "" {
			_, after, _ := strings.Cut(s, `"rollback":"production/`)
			name, _, _ := strings.Cut(after, `"`)
			out[name]++
		}
	}
	return out
}

func calls(w *world, method string) int { return len(w.slack.Requests(method)) }

func requireContains(t *testing.T, what, in string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(in, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, in)
		}
	}
}

func key1(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "production", Name: name}
}
