package page_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/test/slackstub"
	"github.com/backstop-dev/backstop/test/slackstub/page"
)

func serve(t *testing.T) (*slackstub.Workspace, *slack.Client, *httptest.Server) {
	t.Helper()
	w, err := slackstub.Start(slackstub.Options{AckWithin: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	server := httptest.NewServer(page.Handler(w, slackstub.ChannelID))
	t.Cleanup(server.Close)
	return w, slack.New(slackstub.BotToken, slack.OptionAPIURL(w.APIURL())), server
}

func see(t *testing.T, server *httptest.Server, user string) page.State {
	t.Helper()
	res, err := http.Get(server.URL + "/state?user=" + user)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var s page.State
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAPersonSeesCardsThreadsAndOnlyTheirOwnAnswers(t *testing.T) {
	_, api, server := serve(t)
	_, ts, err := api.PostMessage(slackstub.ChannelID, slack.MsgOptionText("a card", false))
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range [][]slack.MsgOption{
		{slack.MsgOptionText("a line", false), slack.MsgOptionTS(ts)},
		{slack.MsgOptionText("a loud line", false), slack.MsgOptionTS(ts), slack.MsgOptionBroadcast()},
	} {
		if _, _, err := api.PostMessage(slackstub.ChannelID, opts...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := api.PostEphemeral(slackstub.ChannelID, slackstub.Mallory, slack.MsgOptionText("not you", false)); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string][]string{
		slackstub.Jane:    {"a card", "a loud line"},
		slackstub.Mallory: {"a card", "a loud line", "not you"},
		"":                {"a card", "a loud line"},
	} {
		s := see(t, server, user)
		var got []string
		for _, m := range s.Messages {
			got = append(got, m.Text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q sees -want +got:\n%s", user, diff)
		}
		if lines := s.Messages[0].Thread; len(lines) != 2 || lines[0].Text != "a line" {
			t.Errorf("%q sees the thread %+v", user, lines)
		}
		if s.Channel.Name != "deploys" || len(s.May) != 5 || s.People[slackstub.Guest].Note != "guest" {
			t.Errorf("%q sees %+v, %q, %+v", user, s.Channel, s.May, s.People)
		}
	}
}

func TestTheBrowserIsToldOfEveryChange(t *testing.T) {
	_, api, server := serve(t)
	res, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	told := func() {
		t.Helper()
		if !lines.Scan() || lines.Text() != "data: look" || !lines.Scan() {
			t.Fatalf("told %q, %v", lines.Text(), lines.Err())
		}
	}
	told()
	if _, _, err := api.PostMessage(slackstub.ChannelID, slack.MsgOptionText("a card", false)); err != nil {
		t.Fatal(err)
	}
	told()
}

func TestThePageIsForItsOwnMachine(t *testing.T) {
	_, _, server := serve(t)
	click := `{"user":"U0JANE","ts":"1.1","action":"backstop.approve"}`
	for name, tt := range map[string]struct {
		method, path, body, host, origin string
		want                             int
	}{
		"the page itself":                   {method: "GET", path: "/", want: http.StatusOK},
		"a name that points here":           {method: "GET", path: "/state", host: "evil.example", want: http.StatusMisdirectedRequest},
		"localhost":                         {method: "GET", path: "/state", host: "localhost:1234", want: http.StatusOK},
		"a click from another site":         {method: "POST", path: "/click", body: click, origin: "https://evil.example", want: http.StatusForbidden},
		"a click on what is not there":      {method: "POST", path: "/click", body: click, want: http.StatusConflict},
		"no click":                          {method: "POST", path: "/click", body: "{", want: http.StatusBadRequest},
		"a click that is asked for by link": {method: "GET", path: "/click", want: http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != tt.want {
				t.Errorf("got %s, want %d", res.Status, tt.want)
			}
			if csp := res.Header.Get("Content-Security-Policy"); tt.want == http.StatusOK && !strings.HasPrefix(csp, "default-src 'self'") {
				t.Errorf("the page may load from elsewhere: %q", csp)
			}
		})
	}
}
