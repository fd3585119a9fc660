package fluxevent

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

var now = time.Date(2026, 11, 21, 9, 13, 26, 5, time.UTC)

func rollback(change ...func(*v1alpha1.RollbackStatus)) *v1alpha1.Rollback {
	r := &v1alpha1.Rollback{}
	r.Namespace, r.Name = "production", "backend-1"
	r.Spec.Subject = v1alpha1.ImageSubject("reg/backend:v2")
	for _, c := range change {
		c(&r.Status)
	}
	return r
}

func failing(s *v1alpha1.RollbackStatus) {
	s.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend"}, Cause: "NotFound", Message: "unknown"}}
}

func suspect(s *v1alpha1.RollbackStatus) {
	failing(s)
	s.Suspect = &v1alpha1.Suspect{
		Commit: "0123456789abcdef", Branch: "main", Source: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"},
		Reconciler: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"},
		Automation: &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: "flux-system", Name: "auto"},
	}
}

func failed(s *v1alpha1.RollbackStatus) {
	suspect(s)
	s.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultFailed, Message: "it failed"}
}

func TestEventsAreAboutFluxObjects(t *testing.T) {
	if got := Events(rollback(), rollback(failing), "prod", now); got != nil {
		t.Errorf("events about nothing that an Alert could select: %+v", got)
	}
	got := Events(rollback(failing), rollback(suspect), "prod", now)
	if len(got) != 2 || got[0].Reason != "ImageFailing" || got[1].Reason != "SuspectFound" {
		t.Fatalf("what could not be told before is missing: %+v", got)
	}
	want := Event{
		InvolvedObject: Object{"image.toolkit.fluxcd.io/v1", "ImageUpdateAutomation", "flux-system", "auto"},
		Severity:       "error", Timestamp: now.Truncate(time.Second), Reason: "ImageFailing", Action: "Rollback",
		Message: "Deployment/backend cannot have reg/backend:v2 (NotFound): unknown",
		Metadata: map[string]string{
			"event.toolkit.fluxcd.io/cluster": "prod", "event.toolkit.fluxcd.io/rollback": "production/backend-1",
			"image.toolkit.fluxcd.io/token":    "production/backend-1/ImageFailing",
			"image.toolkit.fluxcd.io/revision": "main@sha1:0123456789abcdef",
		},
		ReportingController: "backstop",
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	person := rollback(suspect)
	person.Status.Suspect.Automation = nil
	if o := Events(rollback(), person, "prod", now)[0].InvolvedObject; o.Kind != "Kustomization" {
		t.Errorf("a person's change is about %+v", o)
	}
	person.Status.Suspect.Reconciler.Kind = "Unheard"
	if o := Events(rollback(), person, "prod", now)[0].InvolvedObject; o.Kind != "GitRepository" {
		t.Errorf("without an applier that Alerts know it is about %+v", o)
	}
	long := rollback(failed)
	long.Status.Outcome.Message = strings.Repeat("ö", 40000)
	if e := Events(rollback(suspect), long, "prod", now)[0]; len([]rune(e.Message)) > maxMessage+1 {
		t.Errorf("a message of %d characters", len([]rune(e.Message)))
	}
}

// controller answers as notification-controller does, without a network.
type controller struct {
	mu     sync.Mutex
	codes  []int // answers, then 202
	events []Event
	away   bool
}

func (c *controller) RoundTrip(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, io.ErrUnexpectedEOF
	}
	code := http.StatusAccepted
	if len(c.codes) > 0 {
		code, c.codes = c.codes[0], c.codes[1:]
	}
	var e Event
	if err := json.NewDecoder(req.Body).Decode(&e); err != nil {
		code = http.StatusBadRequest
	}
	c.events = append(c.events, e)
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: http.NoBody, Request: req}, nil
}

func TestDelivery(t *testing.T) {
	for name, tt := range map[string]struct {
		codes    []int
		requests int
		said     string
	}{
		"is accepted":                           {nil, 1, ""},
		"a duplicate is no error":               {[]int{429}, 1, ""},
		"is refused for good":                   {[]int{400}, 1, "refuses it"},
		"comes back":                            {[]int{503, 502}, 3, ""},
		"is away for too long, and is given up": {[]int{500, 500, 500, 500, 500, 500, 500, 500}, tries, "dropped"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				c := &controller{codes: tt.codes}
				teller, err := New(Options{Addr: "http://user:secret@nc.test/", Cluster: "prod", Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				teller.client.Transport = c
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { teller.Run(ctx); close(done) }()
				teller.Tell(rollback(suspect), rollback(failed))
				time.Sleep(5 * time.Minute)
				cancel()
				<-done
				if len(c.events) != tt.requests {
					t.Errorf("%d requests, want %d", len(c.events), tt.requests)
				}
				if said := log.String(); (tt.said == "") != (said == "") || !strings.Contains(said, tt.said) || strings.Contains(said, "secret") {
					t.Errorf("the log says %q, want …%s…", said, tt.said)
				}
			})
		})
	}
}

func TestTellingNeverWaits(t *testing.T) {
	var log bytes.Buffer
	teller, err := New(Options{Addr: "http://nc.test/", Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range waiting + 1 { // nobody runs it
		teller.Tell(rollback(suspect), rollback(failed))
	}
	if !strings.Contains(log.String(), "too many wait") {
		t.Error("a dropped event is not said")
	}
}

func TestOverALoopback(t *testing.T) {
	got := make(chan Event, 1)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var e Event
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(&e) != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		rw.WriteHeader(http.StatusAccepted)
		got <- e
	}))
	defer server.Close()
	teller, err := New(Options{Addr: server.URL, Cluster: "prod", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	teller.Tell(rollback(suspect), rollback(failed))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // what is queued is sent although the sidecar stops
	teller.Run(ctx)
	if e := <-got; e.Reason != "Failed" || e.Severity != "error" {
		t.Errorf("the peer got %+v", e)
	}
}

// What a controller redirects to is nobody whom an event is for.
func TestAnEventIsNotCarriedElsewhere(t *testing.T) {
	for _, code := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		asked := make(chan string, 10)
		stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Method }))
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, stranger.URL, code)
		}))
		var log bytes.Buffer
		teller, err := New(Options{Addr: server.URL, Cluster: "prod", Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		teller.Tell(rollback(suspect), rollback(failed))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		teller.Run(ctx)
		server.Close()
		stranger.Close()
		if len(asked) > 0 || !strings.Contains(log.String(), "refuses it") {
			t.Errorf("%d: a stranger was asked %d times, and the log says %q", code, len(asked), log.String())
		}
	}
}

func TestTheAddressIsChecked(t *testing.T) {
	for _, addr := range []string{"", "notification-controller", "ftp://nc/"} {
		if _, err := New(Options{Addr: addr}); err == nil {
			t.Errorf("%q was taken", addr)
		}
	}
}
