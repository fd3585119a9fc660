package clicks

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// mallorys is the app of another tenant's Provider, with a Slack of his own that says what he likes: that everybody is
// of the team, and that nobody is a guest.
func mallorys(w *world) App {
	w.t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		answer := map[string]any{"ok": true}
		if strings.HasSuffix(r.URL.Path, "users.info") {
			answer["user"] = map[string]any{"id": r.Form.Get("user"), "team_id": slackstub.TeamID}
		}
		_ = json.NewEncoder(rw).Encode(answer)
	}))
	w.t.Cleanup(api.Close)
	return App{
		Provider: "team-a/slack", Team: slackstub.TeamID, Way: "mallory", AppToken: "xapp-mallory",
		SigningSecret: "mallory's", API: slack.New("xoxb-mallory", slack.OptionAPIURL(api.URL+"/api/")),
	}
}

// pressed is what Slack would send when Jane presses approve.
func (w *world) pressed() []byte {
	w.t.Helper()
	raw, _, err := w.slack.Payload(slackstub.Click{User: slackstub.Jane, Channel: slackstub.ChannelID, TS: w.ts, Action: card.Approve})
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// send signs a click with a secret and sends it over HTTP.
func (w *world) send(to, secret string, payload []byte) int {
	w.t.Helper()
	body := url.Values{"payload": {string(payload)}}.Encode()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	slackstub.Sign(req.Header, secret, time.Now(), []byte(body))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestAnotherProvidersAppDecidesNothingOverHTTP(t *testing.T) {
	for name, arrange := range map[string]func(w *world, evil *App){
		"an app of his own":                    func(*world, *App) {},
		"that stands first":                    func(_ *world, evil *App) { evil.Provider = "a/slack" },
		"that says it is the card's app":       func(_ *world, evil *App) { evil.ID = slackstub.AppID },
		"that has the platform's name":         func(_ *world, evil *App) { evil.Provider = "backstop-system/slack" },
		"beside a card whose Provider is gone": func(w *world, _ *App) { w.poster = "production/gone" },
		"beside a card of no Provider":         func(w *world, _ *App) { w.poster = "" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, slackstub.Options{})
			w.handler.Platform = func(provider string) bool { return strings.HasPrefix(provider, "backstop-system/") }
			evil := mallorys(w)
			arrange(w, &evil)
			srv := w.serve(evil, w.app)
			if status := w.send(srv.URL, evil.SigningSecret, w.pressed()); status != http.StatusOK {
				t.Errorf("answered %d", status)
			}
			w.recorded()
			if n := testutil.ToFloat64(w.handler.Metrics.clicks.WithLabelValues(string(WrongApp))); n != 1 {
				t.Errorf("counted %v times as %s", n, WrongApp)
			}
		})
	}
}

func TestWhatAnotherAppSignsDoesNotSpendAClick(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	evil := mallorys(w)
	srv := w.serve(evil, w.app)
	click := w.pressed()
	w.send(srv.URL, evil.SigningSecret, click)
	w.send(srv.URL, w.app.SigningSecret, click)
	w.recorded(janeApproves)
}

func TestTwoProvidersOfOneAppOverHTTP(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	second := w.app
	second.Provider = "staging/slack"
	w.serve(second, w.app)
	w.click(slackstub.Jane, card.Approve)
	w.recorded(janeApproves)
}

// judge hands a click to the handler as it comes over the lines of the first app, beside the others.
func (w *world) judge(over App, others ...App) Answer {
	w.t.Helper()
	w.hub = NewHub(w.handler, quick)
	apps := append([]App{over}, others...)
	w.hub.apps.Store(&apps)
	c, err := parse(w.pressed())
	if err != nil {
		w.t.Fatal(err)
	}
	over.ID = c.App
	a, _ := w.handler.take(w.t.Context(), (&listener{hub: w.hub, app: over}).heard(), c)
	return a
}

func TestWhichLinesCountOverSocketMode(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	evil, own := mallorys(w), w.app
	own.Way = "straight"
	w.handler.Platform = func(provider string) bool { return provider == "backstop-system/slack" }
	for name, tt := range map[string]struct {
		over func(App) App
		want Result
	}{
		"the card's own":                             {func(a App) App { return a }, Recorded},
		"another app's":                              {func(App) App { return evil }, WrongApp},
		"another Provider's of the same app":         {func(a App) App { a.Provider = "staging/slack"; return a }, Recorded},
		"another's of it, in another workspace":      {func(a App) App { a.Provider, a.Team = "staging/slack", "T2"; return a }, Recorded},
		"the platform's of it, through a proxy":      {func(a App) App { a.Provider, a.Way = "backstop-system/slack", "proxy"; return a }, Recorded},
		"one of its namespace, through a proxy":      {func(a App) App { a.Provider, a.Way = "production/slack2", "proxy"; return a }, Recorded},
		"a proxy of who was given the app's tokens":  {func(a App) App { a.Provider, a.Way = "team-a/slack", "mallory"; return a }, WrongApp},
		"of a namespace whose name begins as its":    {func(a App) App { a.Provider, a.Way = "production-2/slack", "mallory"; return a }, WrongApp},
		"of an app that has no token for the socket": {func(a App) App { a.Provider, a.AppToken = "team-a/slack", ""; return a }, WrongApp},
	} {
		t.Run(name, func(t *testing.T) {
			w.store.put(asked())
			if got := w.judge(tt.over(own), own).Result; got != tt.want {
				t.Errorf("the click is %s, want %s", got, tt.want)
			}
		})
	}
}

// Two tenants with apps of their own: what each may decide, and what the other's Slack says of people.
func TestEachAppDecidesOnItsOwnCards(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	second := w.app
	second.Provider, second.Way, second.AppToken = "staging/slack", "other", "xapp-2"
	w.slack.Change(func(team *slackstub.Team) {
		team.Apps = append(team.Apps, &slackstub.App{ID: "A0SECOND", BotToken: "xoxb-2", AppToken: "xapp-2", BotUser: "U0SECOND"})
	})
	second.API = slack.New("xoxb-2", slack.OptionAPIURL(w.slack.APIURL()), slack.OptionAppLevelToken("xapp-2"))
	w.hub = NewHub(w.handler, quick)
	w.hub.Set(t.Context(), []App{w.app, second})
	w.await("all lines are open", func() bool { return w.hub.open() == 4 })
	w.click(slackstub.Jane, card.Approve, alter(func(p map[string]any) { p["api_app_id"] = "A0SECOND" }))
	w.recorded()
	w.poster = "staging/slack"
	w.click(slackstub.Jane, card.Approve)
	w.recorded()
	w.poster = "production/slack"
	w.click(slackstub.Jane, card.Approve)
	w.recorded(janeApproves)
}

// The platform's app, whose Secret a tenant was given too: by his own proxy he would hear what Slack sends, and could
// say what it did not.
func TestWhoseConnectionsOfOneAppAreOpened(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.handler.Platform = func(provider string) bool { return provider == "backstop-system/slack" }
	platform, tenant := w.app, w.app
	platform.Provider, tenant.Way = "backstop-system/slack", "mallory"
	w.hub = NewHub(w.handler, quick)
	w.hub.Set(t.Context(), []App{platform, tenant})
	w.await("the platform's lines are open", func() bool { return w.hub.open() == 2 })
	if n := len(w.hub.listeners); n != 1 {
		t.Errorf("%d apps are listened for, want the platform's alone", n)
	}
	w.click(slackstub.Jane, card.Approve)
	w.recorded(janeApproves)
	other := tenant
	other.Provider, other.Way = "team-b/slack", "eve"
	if n := len(w.handler.listening([]App{tenant, other})); n != 2 {
		t.Errorf("without the platform's %d are opened, want each tenant's", n)
	}
}

func TestTheWebSocketIsSlacksToo(t *testing.T) {
	w := newWorld(t, slackstub.Options{})
	w.app.Allows = func(u *url.URL) bool { return u.Hostname() == "slack.com" }
	w.hub = NewHub(w.handler, quick)
	w.hub.Set(t.Context(), []App{w.app})
	w.await("it is said", func() bool {
		return strings.Contains(w.hub.Troubles()["production/slack"], "which is not a host of Slack")
	})
	if n := w.slack.Connections(slackstub.AppID); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}
