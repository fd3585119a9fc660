package alerts_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/watcher/alerts"
)

// world is a receiver with a key, and what it woke.
type world struct {
	*alerts.Receiver
	key   []byte
	leads bool

	mu    sync.Mutex
	woken []string
}

func newWorld(key string) *world {
	w := &world{key: []byte(key), leads: true}
	w.Receiver = alerts.New(alerts.Options{
		Key: func() ([]byte, error) { return w.key, nil }, Ready: func() bool { return w.leads },
		Wake: func(ref v1alpha1.ObjectRef) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.woken = append(w.woken, ref.String())
		},
		Log: slog.New(slog.DiscardHandler),
	})
	return w
}

// post sends a body as notification-controller does, and gives the status.
func (w *world) post(body []byte, sign string) int {
	req := httptest.NewRequest(http.MethodPost, alerts.Path, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Gotk-Component", "kustomize-controller")
	if sign != "" {
		req.Header.Set("X-Signature", sign)
	}
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, req)
	return answer.Code
}

func signed(key string, body []byte) string {
	sum := hmac.New(sha256.New, []byte(key))
	_, _ = sum.Write(body)
	return "sha256=" + hex.EncodeToString(sum.Sum(nil))
}

const (
	v1beta1 = `{"involvedObject":{"kind":"Kustomization","namespace":"flux-system","name":"apps","uid":"1","apiVersion":"kustomize.toolkit.fluxcd.io/v1",` +
		`"resourceVersion":"7"},"severity":"error","timestamp":"2026-11-28T10:00:00Z","message":"health check failed after 1m30s: timeout waiting for: ` +
		`[Deployment/prod/web status: 'InProgress']","reason":"HealthCheckFailed","metadata":{"revision":"main@sha1:0123"},` +
		`"reportingController":"kustomize-controller","reportingInstance":"kustomize-controller-1"}`
	// A version of the event that nobody has seen yet: other types, more fields.
	v1 = `{"apiVersion":"event.toolkit.fluxcd.io/v1","involvedObject":{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","namespace":"prod",` +
		`"name":"web"},"severity":3,"timestamp":1764324000,"metadata":["x"],"note":"Helm upgrade failed"}`
	regarding = `{"regarding":{"kind":"HelmRelease","namespace":"prod","name":"web"}}`
)

func TestAnEventWakesTheObjectThatItNames(t *testing.T) {
	for name, c := range map[string]struct {
		key, signKey, body, sign string
		status                   int
		result                   string
		woken                    []string
	}{
		"right": {body: v1beta1, status: http.StatusAccepted, result: "taken",
			woken: []string{"Kustomization/flux-system/apps"}},
		"wrong signature": {body: v1beta1, signKey: "another", status: http.StatusUnauthorized, result: "signature"},
		"trailing newline in the key": {key: "secret\n", signKey: "secret\n", body: v1beta1, status: http.StatusAccepted,
			result: "taken", woken: []string{"Kustomization/flux-system/apps"}},
		"a newline that the key does not have": {key: "secret", signKey: "secret\n", body: v1beta1,
			status: http.StatusUnauthorized, result: "signature"},
		"v1 body":             {body: v1, status: http.StatusAccepted, result: "taken", woken: []string{"HelmRelease/prod/web"}},
		"an object elsewhere": {body: regarding, status: http.StatusAccepted, result: "taken", woken: []string{"HelmRelease/prod/web"}},
		"no signature":        {body: v1beta1, sign: "-", status: http.StatusUnauthorized, result: "signature"},
		"another algorithm":   {body: v1beta1, sign: "sha1=00", status: http.StatusUnauthorized, result: "signature"},
		"a short signature":   {body: v1beta1, sign: "sha256=00", status: http.StatusUnauthorized, result: "signature"},
		"no JSON":             {body: "x", status: http.StatusBadRequest, result: "no-event"},
		"no object":           {body: `{"message":"x"}`, status: http.StatusBadRequest, result: "no-event"},
		"an object of no type of ours": {body: `{"involvedObject":["x"]}`, status: http.StatusBadRequest,
			result: "no-event"},
		"a kind that is not watched": {body: `{"involvedObject":{"kind":"Bucket","namespace":"a","name":"b"}}`,
			status: http.StatusAccepted, result: "not-watched"},
		"another's Kustomization": {
			body:   `{"involvedObject":{"kind":"Kustomization","apiVersion":"example.com/v1","namespace":"a","name":"b"}}`,
			status: http.StatusAccepted, result: "not-watched"},
		"a name that no object has": {body: `{"involvedObject":{"kind":"Kustomization","namespace":"a","name":"../b"}}`,
			status: http.StatusAccepted, result: "not-watched"},
		"a namespace that is none": {body: `{"involvedObject":{"kind":"Kustomization","namespace":"","name":"b"}}`,
			status: http.StatusAccepted, result: "not-watched"},
		"4 MiB": {body: `{"message":"` + strings.Repeat("x", 4<<20) + `"}`, status: http.StatusRequestEntityTooLarge,
			result: "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.key == "" {
					c.key = "secret"
				}
				if c.signKey == "" {
					c.signKey = c.key
				}
				w := newWorld(c.key)
				sign := signed(c.signKey, []byte(c.body))
				if c.sign != "" {
					sign = strings.TrimPrefix(c.sign, "-")
				}
				if got := w.post([]byte(c.body), sign); got != c.status {
					t.Errorf("status %d, want %d", got, c.status)
				}
				if diff := cmp.Diff(c.woken, w.run(t)); diff != "" {
					t.Errorf("woken (-want +got):\n%s", diff)
				}
				if n := counted(t, w, c.result); n != 1 {
					t.Errorf("%v events are counted as %s", n, c.result)
				}
			})
		})
	}
}

// run hands over what was posted, within a synctest bubble.
func (w *world) run(t *testing.T) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	synctest.Wait()
	cancel()
	running.Wait()
	return w.woken
}

// counted is how many events had a result.
func counted(t *testing.T, w *world, result string) float64 {
	t.Helper()
	all := prometheus.NewPedanticRegistry()
	all.MustRegister(w)
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "backstop_alerts_total" && m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestABodyOfUnknownLengthIsLimitedToo(t *testing.T) {
	w := newWorld("secret")
	req := httptest.NewRequest(http.MethodPost, alerts.Path, io.LimitReader(zeros{}, 4<<20))
	req.ContentLength = -1
	req.Header.Set("X-Signature", signed("secret", nil))
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, req)
	if answer.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", answer.Code)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestAReplayWakesTheObjectAgainAndDoesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("secret")
		go w.Run(t.Context())
		for range 3 {
			if got := w.post([]byte(v1beta1), signed("secret", []byte(v1beta1))); got != http.StatusAccepted {
				t.Errorf("status %d", got)
			}
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		if diff := cmp.Diff(strings.Fields(strings.Repeat("Kustomization/flux-system/apps ", 3)), w.woken); diff != "" {
			t.Errorf("woken (-want +got):\n%s", diff)
		}
	})
}

func TestAFloodOfAThousandInASecondWakesAnObjectOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("secret")
		go w.Run(t.Context())
		body := []byte(v1beta1)
		for range 1000 {
			if got := w.post(body, signed("secret", body)); got != http.StatusAccepted {
				t.Fatalf("status %d", got)
			}
			time.Sleep(900 * time.Microsecond)
		}
		// Another object does not wait behind it.
		other := []byte(regarding)
		if got := w.post(other, signed("secret", other)); got != http.StatusAccepted {
			t.Fatalf("status %d", got)
		}
		synctest.Wait()
		want := []string{"Kustomization/flux-system/apps", "HelmRelease/prod/web"}
		w.mu.Lock()
		first := w.woken[:len(w.woken):len(w.woken)]
		w.mu.Unlock()
		if diff := cmp.Diff(want, first); diff != "" {
			t.Errorf("woken within a second (-want +got):\n%s", diff)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := len(w.woken); n > 3 {
			t.Errorf("woken %d times: %v", n, w.woken)
		}
	})
}

func TestTheQueueTakesNoMoreThanItsRoom(t *testing.T) {
	w := newWorld("secret")
	refused := 0
	for i := range 5000 {
		body := fmt.Appendf(nil, `{"involvedObject":{"kind":"Kustomization","namespace":"a","name":"k%d"}}`, i)
		if w.post(body, signed("secret", body)) == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused != 5000-4096 {
		t.Errorf("%d were refused", refused)
	}
}

func TestWhoDoesNotLeadOrHasNoKeyAsksForAnotherTry(t *testing.T) {
	w := newWorld("secret")
	body := []byte(v1beta1)
	w.leads = false
	if got := w.post(body, signed("secret", body)); got != http.StatusServiceUnavailable {
		t.Errorf("while it does not lead: %d", got)
	}
	// An empty key would sign for everybody.
	w.leads, w.key = true, nil
	if got := w.post(body, signed("", body)); got != http.StatusServiceUnavailable {
		t.Errorf("without a key: %d", got)
	}
	req := httptest.NewRequest(http.MethodGet, alerts.Path, nil)
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, req)
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", answer.Code)
	}
}

// A receiver that was down is tried again by notification-controller for 15 s; what it lost then is found by watching,
// which needs no event at all.
func TestADownReceiverLosesNothingButTheHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("secret")
		w.leads = false
		body := []byte(v1beta1)
		for _, at := range []time.Duration{0, 2, 4, 8} {
			time.Sleep(at * time.Second)
			if got := w.post(body, signed("secret", body)); got != http.StatusServiceUnavailable {
				t.Errorf("status %d", got)
			}
		}
		w.leads = true
		if got := w.run(t); len(got) > 0 {
			t.Errorf("woken by what was refused: %v", got)
		}
	})
}

// Anybody who reaches the port may look as if he had signed.
func TestSlowStrangersDoNotKeepEventsOut(t *testing.T) {
	w := newWorld("secret")
	srv := httptest.NewServer(w.Receiver)
	defer srv.Close()
	for range 3 * 8 {
		c, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = io.WriteString(c, "POST "+alerts.Path+" HTTP/1.1\r\nHost: x\r\nX-Signature: sha256="+strings.Repeat("0", 64)+
			"\r\nContent-Length: 900\r\n\r\n{")
		if err != nil {
			t.Fatal(err)
		}
	}
	// They are read by then.
	time.Sleep(100 * time.Millisecond)
	for i := range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+alerts.Path, strings.NewReader(v1beta1))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Signature", signed("secret", []byte(v1beta1)))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			t.Errorf("event %d: %s", i, res.Status)
		}
	}
}
