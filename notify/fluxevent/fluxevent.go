// Package fluxevent sends the news to Flux's notification-controller. Every provider that this knows (Teams, Discord,
// PagerDuty, the commit's status) gets them through its Alerts.
//
//	engine ── Tell ──► queue ──► POST http://notification-controller…/ ──► Alert ──► Provider
//
// An Alert cannot select a Rollback or a Deployment, so an event is about the Flux object that stands behind: the
// ImageUpdateAutomation, else what applies the workload, else the source. Until one is known nothing can be told; what
// happened before is told then. Metadata survives only under the group of Flux's events or of that object.
// notification-controller drops what it heard in the last five minutes, by message and token, and says 429: that is
// no error. It keeps nothing while it is away; an event is tried for a while and then dropped, since the Rollback is
// the record.
package fluxevent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/notify"
)

// Event is the body of a request, in the fields that both versions of Flux's event have.
type Event struct {
	InvolvedObject      Object            `json:"involvedObject"`
	Severity            string            `json:"severity"`
	Timestamp           time.Time         `json:"timestamp"`
	Message             string            `json:"message"`
	Reason              string            `json:"reason"`
	Action              string            `json:"action"`
	Metadata            map[string]string `json:"metadata,omitempty"`
	ReportingController string            `json:"reportingController"`
	ReportingInstance   string            `json:"reportingInstance,omitempty"`
}

// Object is what an event is about.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

const (
	// eventGroup is the prefix of metadata that every event may carry.
	eventGroup = "event.toolkit.fluxcd.io"
	// maxMessage is far below what notification-controller takes, and more than a person reads.
	maxMessage = 4000
	// waiting is how many events are kept while notification-controller is away; tries is how often one is sent.
	waiting = 256
	tries   = 6
	// timeout of one request.
	timeout = 10 * time.Second
)

// Options of a Teller.
type Options struct {
	// Addr is where notification-controller listens, as Flux's own controllers take it.
	Addr string
	// Cluster names this cluster in the events.
	Cluster string
	// Now is the clock.
	Now func() time.Time
	// Log describes what could not be told.
	Log *slog.Logger
}

// Teller posts events.
type Teller struct {
	Options
	queue  chan Event
	client *http.Client
}

// New makes a Teller, which sends while Run runs. Addr is checked.
func New(o Options) (*Teller, error) {
	u, err := url.Parse(o.Addr)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is no URL such as http://notification-controller.flux-system.svc.cluster.local./", o.Addr)
	}
	return &Teller{Options: o, queue: make(chan Event, waiting), client: &http.Client{Timeout: timeout,
		CheckRedirect: stay}}, nil
}

// stay follows no redirect: notification-controller sends none, and nobody else is to learn of an event.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Tell queues what is new. When the queue is full the event is dropped and said so.
func (t *Teller) Tell(before, after *v1alpha1.Rollback) {
	for _, e := range Events(before, after, t.Cluster, t.Now()) {
		select {
		case t.queue <- e:
		default:
			t.Log.Warn("flux event dropped: too many wait for notification-controller", "reason", e.Reason,
				"rollback", after.Namespace+"/"+after.Name)
		}
	}
}

// Events are what a change says to Flux.
func Events(before, after *v1alpha1.Rollback, cluster string, now time.Time) []Event {
	about, group, ok := involved(after)
	if !ok {
		return nil
	}
	if _, _, known := involved(before); !known {
		// What could not be told before is told now.
		earlier := before.DeepCopy()
		earlier.Status = v1alpha1.RollbackStatus{}
		before = earlier
	}
	var out []Event
	for _, n := range notify.WhatsNew(before, after) {
		e := Event{
			InvolvedObject: about, Severity: "info", Timestamp: now.UTC().Truncate(time.Second),
			Message: text.Cut(n.Text(), maxMessage),
			Reason:  n.Reason, Action: "Rollback", ReportingController: "backstop", Metadata: metadata(after, group, cluster, n),
		}
		if n.Warning {
			e.Severity = "error"
		}
		out = append(out, e)
	}
	return out
}

func metadata(r *v1alpha1.Rollback, group, cluster string, n notify.News) map[string]string {
	out := map[string]string{
		eventGroup + "/cluster":  cluster,
		eventGroup + "/rollback": r.Namespace + "/" + r.Name,
		// The duplicate filter looks at the token: one for each news of a Rollback.
		group + "/token": r.Namespace + "/" + r.Name + "/" + n.Reason,
	}
	s := r.Status.Suspect
	commit := s.Commit
	if c := r.Status.Change; c != nil {
		commit = c.Commit
	}
	out[group+"/revision"] = s.Branch + "@sha1:" + commit
	return out
}

// involved is the Flux object that an event is about, and its group.
func involved(r *v1alpha1.Rollback) (Object, string, bool) {
	s := r.Status.Suspect
	if s == nil {
		return Object{}, "", false
	}
	refs := []v1alpha1.ObjectRef{s.Reconciler, s.Source}
	if s.Automation != nil {
		refs = append([]v1alpha1.ObjectRef{*s.Automation}, refs...)
	}
	for _, ref := range refs {
		if version := apiVersion(ref.Kind); version != "" && ref.Name != "" {
			group, _, _ := strings.Cut(version, "/")
			return Object{APIVersion: version, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}, group, true
		}
	}
	return Object{}, "", false
}

func apiVersion(kind string) string {
	switch kind {
	case "ImageUpdateAutomation":
		return "image.toolkit.fluxcd.io/v1"
	case "Kustomization":
		return "kustomize.toolkit.fluxcd.io/v1"
	case "HelmRelease":
		return "helm.toolkit.fluxcd.io/v2"
	case "GitRepository":
		return "source.toolkit.fluxcd.io/v1"
	}
	return ""
}

// Run sends until ctx ends, then what is still queued, once.
func (t *Teller) Run(ctx context.Context) {
	for {
		select {
		case e := <-t.queue:
			t.deliver(ctx, e)
		case <-ctx.Done():
			for {
				select {
				case e := <-t.queue:
					t.deliver(ctx, e)
				default:
					return
				}
			}
		}
	}
}

// deliver tries an event a few times, once when ctx has ended.
func (t *Teller) deliver(ctx context.Context, e Event) {
	wait := time.Second
	for n := 1; ; n++ {
		again, err := t.post(ctx, e)
		if err == nil {
			return
		}
		if !again || n == tries || ctx.Err() != nil {
			t.Log.Warn("flux event dropped", "reason", e.Reason, "rollback", e.Metadata[eventGroup+"/rollback"], "error", err)
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		wait *= 2
	}
}

// post sends an event. again reports whether another try may help.
func (t *Teller) post(ctx context.Context, e Event) (again bool, err error) {
	body, err := json.Marshal(e)
	if err != nil {
		return false, fmt.Errorf("encode the event: %w", err)
	}
	// An event that is on its way is sent although the sidecar stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.Addr, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := t.client.Do(req)
	if err != nil {
		// The address may hold a password.
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return true, fmt.Errorf("post to notification-controller: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	switch {
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode < 300:
		return false, nil
	case res.StatusCode >= 500:
		return true, fmt.Errorf("notification-controller answers %s", res.Status)
	}
	return false, fmt.Errorf("notification-controller refuses it: %s", res.Status)
}
