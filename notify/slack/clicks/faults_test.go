package clicks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

func TestWhatSlackDoesNotSayLetsNobody(t *testing.T) {
	tests := map[string]struct {
		method string
		fault  slackstub.Fault
		user   string
		says   string
	}{
		"who it is": {"users.info", slackstub.Fault{Error: "missing_scope", Needed: "users:read"}, slackstub.Jane,
			"Slack did not say who you are (the Slack app lacks the scope `users:read`)"},
		"a user that it does not know": {"users.info", slackstub.Fault{Error: "user_not_found"}, slackstub.Jane, "(`user_not_found`)"},
		"who is in the group": {"usergroups.users.list", slackstub.Fault{Error: "plan_upgrade_required"}, slackstub.Omar,
			"whether you are in <!subteam^S0ONCALL> (`plan_upgrade_required`)"},
		"a server error": {"usergroups.users.list", slackstub.Fault{Status: 503}, slackstub.Omar, "(it did not answer)"},
		"a rate limit":   {"users.info", slackstub.RateLimited(30 * time.Second), slackstub.Jane, "(it did not answer)"},
		"no answer":      {"users.info", slackstub.Fault{Cut: slackstub.CutBefore}, slackstub.Jane, "(it did not answer)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slackstub.Options{})
			w.connect(quick)
			w.slack.Fail(tt.method, tt.fault)
			if r := w.click(tt.user, card.Approve); !r.Acked {
				t.Errorf("not acknowledged: %+v", r)
			}
			w.hears(tt.user, 1, tt.says, "nothing was recorded", "backstop approve backend-1 -n production")
			w.recorded()
			// What went wrong is not remembered.
			w.slack.Mend()
			w.click(tt.user, card.Approve)
			w.recorded("slack:T0ACME/" + tt.user + " Approve")
		})
	}
}

func TestGroupsAreAskedAgainWhenSomebodyIsMissing(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	now := time.Now()
	people := newPeople(w.app.API, func() time.Time { return now })
	member := func(user string) bool {
		return must(people.member(t.Context(), slackstub.GroupID, user))(t)
	}
	asked := func() int { return len(w.slack.Requests("usergroups.users.list")) }
	member(slackstub.Omar)
	if !member(slackstub.Omar) || member(slackstub.Jane) || asked() != 1 {
		t.Errorf("asked %d times, want once", asked())
	}
	w.slack.Change(func(team *slackstub.Team) { team.Groups[slackstub.GroupID] = []string{slackstub.Jane} })
	if now = now.Add(againAfter); !member(slackstub.Jane) || asked() != 2 {
		t.Errorf("asked %d times, want again for who was missing", asked())
	}
	if member(slackstub.Omar) {
		t.Error("Omar is not in the group any more")
	}
	w.slack.Change(func(team *slackstub.Team) { team.Groups[slackstub.GroupID] = nil })
	if now = now.Add(againAfter - time.Second); !member(slackstub.Jane) {
		t.Error("a member is asked for again too soon")
	}
	if now = now.Add(2 * time.Second); member(slackstub.Jane) {
		t.Error("a group is believed for too long")
	}
}

// must ends a test that was not answered.
func must[T any](what T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return what
	}
}

func TestWhoLeftDecidesNothingMore(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	now := time.Now()
	people := newPeople(w.app.API, func() time.Time { return now })
	person := func(user string) Person { return must(people.person(t.Context(), user))(t) }
	if !person(slackstub.Jane).decides() {
		t.Error("Jane does not decide")
	}
	w.slack.Change(func(team *slackstub.Team) { team.Users[slackstub.Jane].Deleted = true })
	if now = now.Add(againAfter); person(slackstub.Jane).decides() {
		t.Error("Jane's account was deactivated, and she decides")
	}
	// Who does not decide is not asked for with each press.
	asked := len(w.slack.Requests("users.info"))
	for range 100 {
		now = now.Add(time.Second)
		person(slackstub.Jane)
	}
	if more := len(w.slack.Requests("users.info")) - asked; more > 0 {
		t.Errorf("asked %d times more", more)
	}
}

func TestWhatCannotBeRecordedIsNotAcknowledged(t *testing.T) {
	w := newWorld(t, slackstub.Options{AckWithin: 300 * time.Millisecond})
	w.connect(quick)
	w.store.failing = errors.New("connection refused")
	if r := w.click(slackstub.Jane, card.Approve); r.Acked {
		t.Errorf("acknowledged: %+v", r)
	}
	w.hears(slackstub.Jane, 1, "could not be recorded in time. Press the button again")
	// An API server that takes its time is given up on while Slack still waits.
	w.store.failing = nil
	w.handler.Budget = 50 * time.Millisecond
	w.store.before = func() { time.Sleep(100 * time.Millisecond) }
	if r := w.click(slackstub.Jane, card.Approve); r.Acked {
		t.Errorf("acknowledged: %+v", r)
	}
}

func TestMalformedEnvelopes(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	// slack-go refuses the whole click for one field of the message that it reads otherwise.
	r := w.click(slackstub.Jane, card.Approve, alter(func(p map[string]any) {
		p["message"].(map[string]any)["ts"] = map[string]any{"not": "a string"}
	}))
	if !r.Acked {
		t.Errorf("not acknowledged: %+v", r)
	}
	w.recorded(janeApproves)
	for _, frame := range []string{
		`{"type":"interactive","envelope_id":"e1","payload":{"type":"view_submission"}}`,
		`{"type":"interactive","envelope_id":"e2","payload":[]}`,
		`{"type":"interactive","envelope_id":"e3","payload":{"type":"block_actions","actions":[]}}`,
		`{"type":"party","envelope_id":"e4","payload":{}}`,
		`{"type":"slash_commands","envelope_id":"e5","payload":{"command":"/x"}}`,
		`{"type":7}`, `not JSON`, ``,
	} {
		w.slack.SendRaw(slackstub.AppID, []byte(frame))
	}
	want := map[string]float64{"no-click": 6, "unknown": 2, "slash_commands": 2, "malformed": 2}
	for kind, n := range want {
		w.await(kind, func() bool { return testutil.ToFloat64(w.handler.Metrics.ignored.WithLabelValues(kind)) == n })
	}
	w.click(slackstub.Mallory, "backstop.approve")
	w.hears(slackstub.Mallory, 1, "You may not decide here")
	w.recorded(janeApproves)
}

func TestAValueOfAnotherHand(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	for i, value := range []string{"", "v1/production/backend-1", "v1/../x/y/000000000000", strings.Repeat("A", 3000)} {
		r := w.click(slackstub.Jane, card.Approve, alter(func(p map[string]any) {
			p["actions"].([]any)[0].(map[string]any)["value"] = value
		}))
		if !r.Acked {
			t.Errorf("%q is not acknowledged", value)
		}
		w.hears(slackstub.Jane, i+1, "not one that this Backstop draws")
	}
	w.recorded()
}

func TestTokensThatAreRefused(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	w.slack.Change(func(team *slackstub.Team) { team.Apps[0].AppToken = "xapp-1-replaced" })
	w.slack.Drop(slackstub.AppID)
	w.await("the trouble is said", func() bool {
		return strings.Contains(w.hub.Troubles()["production/slack"], "Slack does not connect (invalid_auth): clicks are not heard; check appToken")
	})
	// The replaced Secret is another app for the Hub.
	w.app.AppToken = "xapp-1-replaced"
	w.app.API = slack.New(slackstub.BotToken, slack.OptionAPIURL(w.slack.APIURL()), slack.OptionAppLevelToken(w.app.AppToken))
	w.hub.Set(t.Context(), []App{w.app})
	w.await("both lines are open", func() bool { return w.hub.open() == 2 })
	if got := w.hub.Troubles(); len(got) != 0 {
		t.Errorf("troubles: %v", got)
	}
	w.click(slackstub.Jane, card.Approve)
	w.recorded(janeApproves)
}

func TestTokensThatAreLetInAgain(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	w.slack.Fail("apps.connections.open", slackstub.Fault{Error: "token_revoked"})
	w.slack.Drop(slackstub.AppID)
	w.await("the trouble is said", func() bool { return strings.Contains(w.hub.Troubles()["production/slack"], "token_revoked") })
	w.slack.Mend()
	w.await("both lines are open", func() bool { return w.hub.open() == 2 && len(w.hub.Troubles()) == 0 })
}

func TestSlackThatIsAway(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.connect(quick)
	w.slack.Leave()
	w.await("the trouble is said", func() bool { return strings.Contains(w.hub.Troubles()["production/slack"], "Slack does not connect") })
	if why := w.hub.Troubles()["production/slack"]; strings.Contains(why, "xapp") || strings.Contains(why, "ticket") {
		t.Errorf("a secret in %q", why)
	}
	if n := testutil.ToFloat64(w.handler.Metrics.connections.WithLabelValues("production/slack")); n != 0 {
		t.Errorf("%v connections", n)
	}
	w.slack.Mend()
	w.await("both lines are open", func() bool { return w.hub.open() == 2 })
	if n := testutil.ToFloat64(w.handler.Metrics.connections.WithLabelValues("production/slack")); n != 2 {
		t.Errorf("%v connections, want 2", n)
	}
}

func TestSlackThatDoesNotPing(t *testing.T) {
	w := newWorld(t, slackstub.Options{PingEvery: time.Hour})
	w.connect(HubOptions{Stagger: time.Millisecond, Again: time.Hour, Ping: 100 * time.Millisecond})
	w.await("dead connections are opened anew", func() bool { return len(w.slack.Requests("apps.connections.open")) >= 4 })
	if testutil.ToFloat64(w.handler.Metrics.ended.WithLabelValues("production/slack")) == 0 {
		t.Error("the ends are not counted")
	}
	if at := testutil.ToFloat64(w.handler.Metrics.heard.WithLabelValues("production/slack")); time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("last heard at %v", at)
	}
}

func TestAnotherInstallationOnTheSameApp(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	other := NewHub(NewHandler(w.handler.Options), HubOptions{Stagger: time.Millisecond, Again: time.Hour, Ping: time.Hour})
	defer other.Close()
	other.Set(t.Context(), []App{w.app})
	w.await("the other one is there", func() bool { return other.open() == 2 })
	w.hub = NewHub(w.handler, quick)
	w.hub.Set(t.Context(), []App{w.app})
	w.await("it is said", func() bool {
		why := w.hub.Troubles()["production/slack"]
		return strings.Contains(why, "another installation uses this Slack app too") && strings.Contains(why, "make an app for each cluster")
	})
	other.Close()
	w.await("it is over when the other one has gone", func() bool { return w.hub.open() == 2 && len(w.hub.Troubles()) == 0 })
}

func TestTwoProvidersOfOneAppShareItsLines(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	second := w.app
	second.Provider = "staging/slack"
	w.hub = NewHub(w.handler, quick)
	w.hub.Set(t.Context(), []App{w.app, second})
	w.await("both lines are open", func() bool { return w.hub.open() == 2 })
	w.hub.Set(t.Context(), []App{w.app, second})
	if n := len(w.slack.Requests("apps.connections.open")); n != 2 {
		t.Errorf("%d connections were opened, want 2", n)
	}
	w.hub.Set(t.Context(), nil)
	if err := w.slack.Await(t.Context(), func() bool { return w.slack.Connections(slackstub.AppID) == 0 }); err != nil {
		t.Error(err)
	}
}

// A sidecar that stops, or loses the lease, ends what it took.
func TestAClickWhileStopping(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	reading, write := make(chan struct{}), make(chan struct{})
	w.store.before = func() { close(reading); <-write }
	w.hub = NewHub(w.handler, quick)
	ctx, stop := context.WithCancel(t.Context())
	w.hub.Set(ctx, []App{w.app})
	w.await("both lines are open", func() bool { return w.hub.open() == 2 })
	acked := make(chan slackstub.Receipt)
	go func() { acked <- w.click(slackstub.Jane, card.Approve) }()
	<-reading
	stop()
	close(write)
	if r := <-acked; !r.Acked {
		t.Errorf("recorded but not acknowledged: %+v", r)
	}
	w.recorded(janeApproves)
	w.hub.Close()
	if n := w.slack.Connections(slackstub.AppID); n != 0 {
		w.await("the connections are gone", func() bool { return w.slack.Connections(slackstub.AppID) == 0 })
	}
}

func TestMaskAndPrints(t *testing.T) {
	for in, want := range map[string]string{
		"Post \"https://hooks.slack.com/actions/T0/1/abc\": EOF":          `Post "[redacted]": EOF`,
		"dial wss://wss-primary.slack.com/link/?ticket=1-2&app_id=A0: no": "dial [redacted] no",
		"token xoxb-1-2-abc and xapp-1-A0-3-def were refused":             "token [redacted] and [redacted] were refused",
		"invalid_auth": "invalid_auth",
	} {
		if got := text.Mask(in); got != want {
			t.Errorf("text.Mask(%q) = %q, want %q", in, got, want)
		}
	}
	a := App{Provider: "p/slack", AppToken: "xapp-secret", SigningSecret: "hush"}
	if got := fmt.Sprintf("%v %+v %#v %s", a, a, a, a); strings.Contains(got, "xapp") || strings.Contains(got, "hush") {
		t.Errorf("an App prints %q", got)
	}
}

// Who makes a Provider chooses the proxy on its way to Slack.
func TestAProxyEndsItsOwnConnectionAlone(t *testing.T) {
	const most = 64 << 20
	for name, begin := range map[string]string{
		"a header without an end": "HTTP/1.1 200 OK\r\nX: ", "a status without an end": "HTTP/1.1 200 ", "a status without words": "HTTP/1.1 400\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slackstub.Options{})
			var taken atomic.Int64
			proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				c, _, err := http.NewResponseController(rw).Hijack()
				if err != nil {
					return
				}
				defer c.Close()
				_, err = io.WriteString(c, begin)
				sent := 0
				for part := bytes.Repeat([]byte("x"), 64<<10); err == nil && sent < most; {
					var n int
					n, err = c.Write(part)
					sent += n
				}
				taken.Store(max(taken.Load(), int64(sent)))
			}))
			t.Cleanup(proxy.Close)
			address, err := url.Parse(proxy.URL)
			if err != nil {
				t.Fatal(err)
			}
			w.app.Transport = &http.Transport{Proxy: http.ProxyURL(address)}
			w.hub = NewHub(w.handler, HubOptions{Lines: 1, Again: time.Hour})
			w.hub.Set(t.Context(), []App{w.app})
			w.await("it is given up", func() bool { return w.hub.Troubles()["production/slack"] != "" || taken.Load() >= most })
			if n := taken.Load(); n >= most {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}
