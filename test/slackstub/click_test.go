package slackstub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// card posts a message with a button that asks first, and gives its address.
func card(t *testing.T, api *slack.Client) string {
	t.Helper()
	plain := func(s string) *slack.TextBlockObject {
		return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
	}
	go1 := slack.NewButtonBlockElement("go", "1", plain("Go")).
		WithConfirm(slack.NewConfirmationBlockObject(plain("Go?"), plain("It goes."), plain("Go"), plain("Cancel")))
	return post(t, api, ChannelID, slack.MsgOptionText("card", false), slack.MsgOptionBlocks(slack.NewActionBlock("v1", go1)))
}

// ear is a client in Socket Mode.
type ear struct {
	heard chan slack.InteractionCallback
	hello chan socketmode.Request
}

// next waits for something on a channel.
func next[T any](t *testing.T, from <-chan T) (out T) {
	t.Helper()
	select {
	case out = <-from:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within ten seconds")
	}
	return out
}

// connect runs a client in Socket Mode, which acknowledges if asked to, and waits for its hello.
func connect(t *testing.T, w *Workspace, api *slack.Client, ack bool) ear {
	t.Helper()
	before := w.Connections(AppID)
	c := socketmode.New(api)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.RunContext(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	e := ear{heard: make(chan slack.InteractionCallback, 16), hello: make(chan socketmode.Request, 16)}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case event := <-c.Events:
				switch event.Type {
				case socketmode.EventTypeHello:
					e.hello <- *event.Request
				case socketmode.EventTypeInteractive:
					if ack {
						_ = c.AckCtx(ctx, event.Request.EnvelopeID, nil)
					}
					e.heard <- event.Data.(slack.InteractionCallback)
				default:
				}
			}
		}
	}()
	if got := next(t, e.hello); got.NumConnections != before+1 || got.ConnectionInfo.AppID != AppID {
		t.Errorf("hello says %+v", got)
	}
	return e
}

func TestAClickReachesTheAppAndIsAcknowledged(t *testing.T) {
	w, api := start(t, Options{})
	ts := card(t, api)
	app := connect(t, w, api, true)
	r, err := w.Click(t.Context(), Click{User: Jane, Channel: ChannelID, TS: ts, Action: "go"})
	if err != nil || !r.Acked {
		t.Fatalf("%+v: %v", r, err)
	}
	got := next(t, app.heard)
	a := got.ActionCallback.BlockActions[0]
	if got.Type != slack.InteractionTypeBlockActions || got.User.ID != Jane || got.User.TeamID != TeamID || got.Team.ID != TeamID ||
		got.APIAppID != AppID || got.Container.MessageTs != ts || got.Container.ChannelID != ChannelID || got.MessageTs != "" ||
		a.ActionID != "go" || a.BlockID != "v1" || a.Value != "1" || a.ActionTs == "" {
		t.Errorf("the app heard %+v, action %+v", got, a)
	}
	if r, err := w.Click(t.Context(), Click{User: Jane, Channel: ChannelID, TS: ts, Action: "go", Deny: true}); err != nil || r.Sent {
		t.Errorf("a denied dialog: %+v, %v", r, err)
	}
	if n := len(w.Receipts()); n != 2 {
		t.Errorf("%d receipts, want 2", n)
	}
}

func TestWhoCannotClick(t *testing.T) {
	w, api := start(t, Options{})
	ts := card(t, api)
	if _, _, _, err := api.UpdateMessageContext(t.Context(), ChannelID, ts, slack.MsgOptionText("over", false)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		click Click
		want  error
	}{
		"no such message":             {Click{User: Jane, Channel: ChannelID, TS: "1.000001", Action: "go"}, ErrNoMessage},
		"not in the channel":          {Click{User: "U0NOBODY", Channel: ChannelID, TS: ts, Action: "go"}, ErrNotHere},
		"the button is gone":          {Click{User: Jane, Channel: ChannelID, TS: ts, Action: "go"}, ErrNoButton},
		"an old screen, but no app":   {Click{User: Jane, Channel: ChannelID, TS: ts, Action: "go", Version: 1}, ErrNoApp},
		"a screen that there was not": {Click{User: Jane, Channel: ChannelID, TS: ts, Action: "go", Version: 2}, ErrNoMessage},
	} {
		if _, err := w.Click(t.Context(), tt.click); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestAClickThatNobodyAcknowledgesWarns(t *testing.T) {
	w, api := start(t, Options{AckWithin: 20 * time.Millisecond})
	ts := card(t, api)
	app := connect(t, w, api, false)
	r, err := w.Click(t.Context(), Click{User: Jane, Channel: ChannelID, TS: ts, Action: "go"})
	if err != nil || !r.Sent || r.Acked {
		t.Errorf("%+v: %v", r, err)
	}
	next(t, app.heard)
}

func TestClicksGoToOneOfSeveralConnections(t *testing.T) {
	w, api := start(t, Options{})
	ts := card(t, api)
	connect(t, w, api, true)
	connect(t, w, api, true)
	seen := map[int]int{}
	for range 16 {
		r, err := w.Click(t.Context(), Click{User: Jane, Channel: ChannelID, TS: ts, Action: "go"})
		if err != nil || !r.Acked {
			t.Fatalf("%+v: %v", r, err)
		}
		seen[r.Connection]++
	}
	if len(seen) != 2 {
		t.Errorf("clicks went to connections %v, want two of them", seen)
	}
}

func TestTheClientComesBack(t *testing.T) {
	for name, end := range map[string]func(*Workspace){
		"after a refresh": func(w *Workspace) { w.Refresh(AppID, "refresh_requested") },
		"after a cut":     func(w *Workspace) { w.Drop(AppID) },
	} {
		t.Run(name, func(t *testing.T) {
			w, api := start(t, Options{})
			ts := card(t, api)
			app := connect(t, w, api, true)
			end(w)
			next(t, app.hello)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := w.Await(ctx, func() bool { return w.Connections(AppID) == 1 }); err != nil {
				t.Fatal(err)
			}
			if r, err := w.Click(t.Context(), Click{User: Jane, Channel: ChannelID, TS: ts, Action: "go"}); err != nil || !r.Acked {
				t.Errorf("%+v: %v", r, err)
			}
			next(t, app.heard)
		})
	}
}

func TestARevokedTokenEndsTheClient(t *testing.T) {
	w, api := start(t, Options{})
	w.Change(func(t *Team) { t.Apps[0].AppToken = "xapp-new" })
	if err := socketmode.New(api).RunContext(t.Context()); err == nil || err.Error() != "invalid_auth" {
		t.Errorf("ended with %v", err)
	}
}

func TestTicketsOpenOnce(t *testing.T) {
	w, api := start(t, Options{})
	_, url, err := api.StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, first, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer first.Body.Close()
	// The connection counts from its hello on.
	if _, _, err := conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	_, second, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err == nil || second == nil || second.StatusCode != http.StatusUnauthorized || w.Connections(AppID) != 1 {
		t.Errorf("the second use got %v, %v", second, err)
	}
	if second != nil {
		_ = second.Body.Close()
	}
}

func TestClicksOverHTTPAreSigned(t *testing.T) {
	w, api := start(t, Options{})
	ts := card(t, api)
	var heard slack.InteractionCallback
	app := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		v, err := slack.NewSecretsVerifier(r.Header, SigningSecret)
		if err == nil {
			_, _ = v.Write(raw)
			err = v.Ensure()
		}
		if err != nil {
			http.Error(rw, err.Error(), http.StatusUnauthorized)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		heard, _ = slack.InteractionCallbackParse(r)
	}))
	defer app.Close()
	w.Change(func(t *Team) { t.Apps[0].RequestURL = app.URL })
	r, err := w.Click(t.Context(), Click{User: Omar, Channel: ChannelID, TS: ts, Action: "go", Alter: func(p map[string]any) { p["api_app_id"] = "A0X" }})
	if err != nil || !r.Acked || r.Status != http.StatusOK || heard.User.ID != Omar || heard.APIAppID != "A0X" {
		t.Fatalf("%+v, %+v: %v", r, heard, err)
	}
	w.Change(func(t *Team) { t.Apps[0].SigningSecret = "another" })
	if r, err := w.Click(t.Context(), Click{User: Omar, Channel: ChannelID, TS: ts, Action: "go"}); err != nil || r.Acked || r.Status != http.StatusUnauthorized {
		t.Errorf("signed with another secret: %+v, %v", r, err)
	}
}

func TestAResponseURLAnswersFiveTimes(t *testing.T) {
	w, api := start(t, Options{})
	ts := card(t, api)
	raw, _, err := w.Payload(Click{User: Mallory, Channel: ChannelID, TS: ts, Action: "go"})
	if err != nil {
		t.Fatal(err)
	}
	var ic slack.InteractionCallback
	if err := json.Unmarshal(raw, &ic); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, ic.ResponseURL, strings.NewReader(`{"text":"no","response_type":"ephemeral"}`))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if ok := res.StatusCode == http.StatusOK; ok != (i < 5) {
			t.Errorf("use %d: %s", i+1, res.Status)
		}
	}
	if got := w.Ephemerals(Mallory); len(got) != 5 || got[0].Text != "no" {
		t.Errorf("Mallory saw %+v", got)
	}
}
