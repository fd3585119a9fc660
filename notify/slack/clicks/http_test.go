package clicks

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// serve puts the world's app into HTTP mode.
func (w *world) serve(apps ...App) *httptest.Server {
	w.t.Helper()
	w.hub = NewHub(w.handler, quick)
	for i := range apps {
		apps[i].AppToken = ""
	}
	w.hub.Set(w.t.Context(), apps)
	srv := httptest.NewServer(NewInteractivity(w.hub))
	w.t.Cleanup(srv.Close)
	w.slack.Change(func(t *slackstub.Team) { t.Apps[0].RequestURL = srv.URL })
	return srv
}

func TestInteractivityOverHTTP(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	other := w.app
	other.Provider, other.SigningSecret = "staging/slack", "another"
	w.serve(other, w.app)
	if r := w.click(slackstub.Mallory, card.Approve); !r.Acked || len(r.Payload) != 0 {
		t.Errorf("%+v", r)
	}
	w.hears(slackstub.Mallory, 1, "You may not decide here")
	if r := w.click(slackstub.Jane, card.Approve); !r.Acked {
		t.Errorf("%+v", r)
	}
	w.hears(slackstub.Jane, 1, "Your approval is recorded")
	w.recorded(janeApproves)
}

func TestBadInputOverHTTP(t *testing.T) {
	now := time.Now()
	click := func(action string) string { return "payload=" + url.QueryEscape(action) }
	valid := click(`{"type":"block_actions","api_app_id":"A0BACKSTOP","actions":[{"action_id":"somebody.elses","value":"x"}]}`)
	sign := func(secret string, at time.Time) func(*http.Request, []byte) {
		return func(r *http.Request, body []byte) { slackstub.Sign(r.Header, secret, at, body) }
	}
	good := sign(slackstub.SigningSecret, now)
	tests := map[string]struct {
		body   string
		method string
		sign   func(*http.Request, []byte)
		status int
		reason string
	}{
		"too large":                  {"payload=" + strings.Repeat("a", maxBody), "POST", good, 413, "too-large"},
		"not a form":                 {`{"type":"block_actions"}`, "POST", func(r *http.Request, b []byte) { good(r, b); r.Header.Set("Content-Type", "application/json") }, 415, "no-form"},
		"a form that cannot be read": {"payload=%zz", "POST", good, 400, "no-form"},
		"a form without a payload":   {"ssl_check=1", "POST", good, 400, "no-form"},
		"a payload that is no click": {click(`{"type":"view_submission"}`), "POST", good, 400, "no-click"},
		"a payload that is no JSON":  {click(`<xml/>`), "POST", good, 400, "no-click"},
		"an unknown action":          {valid, "POST", good, 422, "unknown-action"},
		"not signed":                 {valid, "POST", func(*http.Request, []byte) {}, 401, "signature"},
		"signed with another secret": {valid, "POST", sign("another", now), 401, "signature"},
		"another body than signed":   {valid, "POST", func(r *http.Request, _ []byte) { good(r, []byte("payload={}")) }, 401, "signature"},
		"signed by hand":             {valid, "POST", func(r *http.Request, b []byte) { good(r, b); r.Header.Set("X-Slack-Signature", "v0=zz") }, 401, "signature"},
		"six minutes old":            {valid, "POST", sign(slackstub.SigningSecret, now.Add(-6*time.Minute)), 401, "skew"},
		"six minutes ahead":          {valid, "POST", sign(slackstub.SigningSecret, now.Add(6*time.Minute)), 401, "skew"},
		"not posted":                 {"", "GET", good, 405, "method"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slackstub.Options{})
			srv := w.serve(w.app)
			send := func() (int, string) {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL, strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				tt.sign(req, []byte(tt.body))
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				said, _ := io.ReadAll(res.Body)
				return res.StatusCode, string(said)
			}
			if status, said := send(); status != tt.status || said != "" {
				t.Errorf("answered %d %q, want %d and nothing", status, said, tt.status)
			}
			if n := testutil.ToFloat64(w.handler.Metrics.refused.WithLabelValues(tt.reason)); n != 1 {
				t.Errorf("counted %v times as %s", n, tt.reason)
			}
			w.recorded()
			if got := w.slack.Ephemerals(""); len(got) != 0 || w.store.attempts != 0 {
				t.Errorf("something else happened: %+v, %d attempts", got, w.store.attempts)
			}
		})
	}
}

func TestReplayOverHTTP(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	srv := w.serve(w.app)
	payload, _, err := w.slack.Payload(slackstub.Click{User: slackstub.Jane, Channel: slackstub.ChannelID, TS: w.ts, Action: card.Approve})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(url.Values{"payload": {string(payload)}}.Encode())
	headers := http.Header{}
	slackstub.Sign(headers, slackstub.SigningSecret, time.Now(), body)
	for i, want := range []int{200, 401, 401} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = headers.Clone()
		if i == 2 { // the same signature in other letters
			req.Header.Set("X-Slack-Signature", "v0="+strings.ToUpper(headers.Get("X-Slack-Signature")[3:]))
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("request %d: %s, want %d", i, res.Status, want)
		}
	}
	if n := testutil.ToFloat64(w.handler.Metrics.refused.WithLabelValues("replay")); n != 2 {
		t.Errorf("%v replays counted, want 2", n)
	}
	w.hears(slackstub.Jane, 1, "Your approval is recorded")
	w.recorded(janeApproves)
	if n := len(w.slack.Ephemerals(slackstub.Jane)); n != 1 {
		t.Errorf("Jane hears %d answers, want 1", n)
	}
}

func TestOnlyTheLeaderTakesClicks(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.serve()
	if r := w.click(slackstub.Jane, card.Approve); r.Acked || r.Status != http.StatusServiceUnavailable {
		t.Errorf("%+v", r)
	}
	w.recorded()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"block_actions","api_app_id":"A","team":{"id":"T"},"user":{"id":"U","team_id":"T"},"enterprise":null,` +
		`"container":{"channel_id":"C","message_ts":"1.2"},"actions":[{"action_id":"backstop.approve","value":"v","action_ts":"1"}]}`))
	f.Add([]byte(`{"type":"block_actions","team":null,"actions":[{}]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parse(payload)
		if err != nil && c != (Click{}) {
			t.Errorf("an error, and a click: %+v", c)
		}
		// Nobody is let without facts, whatever the click says.
		if err == nil && authorize(c, facts{}) == nil {
			t.Errorf("let: %+v", c)
		}
	})
}
