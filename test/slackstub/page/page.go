// Package page shows a channel of the stand-in for Slack in the browser, so that cards can be seen, threads read and
// buttons clicked by hand, as any person of the workspace.
//
//	browser ──► /            the page, which asks nothing of any other host
//	        ──► /state       what one person sees: cards, threads, answers for that person's eyes only
//	        ──► /events      says when to ask again
//	        ──► /click       what that person does
//
// Text is shown as text: nothing of a message ever becomes HTML.
package page

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/test/slackstub"
)

//go:embed static
var static embed.FS

// Handler shows one channel of a workspace.
func Handler(w *slackstub.Workspace, channel string) http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	p := &page{workspace: w, channel: channel}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /state", p.state)
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("POST /click", p.click)
	return http.NewCrossOriginProtection().Handler(onLoopback(mux))
}

// onLoopback answers only who knows the address as one: a name that somebody else points to this machine is refused.
func onLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		host, _, err := net.SplitHostPort(req.Host)
		if err != nil {
			host = req.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(rw, "this page is for the machine that it runs on", http.StatusMisdirectedRequest)
			return
		}
		h := rw.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(rw, req)
	})
}

type page struct {
	workspace *slackstub.Workspace
	channel   string
}

// State is what one person sees.
type State struct {
	Team    string           `json:"team"`
	Channel Channel          `json:"channel"`
	People  map[string]Name  `json:"people"`
	Groups  map[string]Group `json:"groups"`
	// May are the people of the channel whom the browser can be.
	May      []string  `json:"may"`
	Messages []Message `json:"messages"`
}

// Channel is the one that is shown.
type Channel struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Members int    `json:"members"`
}

// Name is how a person or app is called.
type Name struct {
	Name string `json:"name"`
	Bot  bool   `json:"bot,omitempty"`
	// Note is what the page says beside the name: guest, or another workspace.
	Note string `json:"note,omitempty"`
}

// Group is a user group.
type Group struct {
	Members []string `json:"members"`
}

// Message is a card, a line of a thread, or an answer for one person.
type Message struct {
	TS        string          `json:"ts"`
	ThreadTS  string          `json:"thread_ts,omitempty"`
	By        string          `json:"by"`
	Text      string          `json:"text"`
	Blocks    json.RawMessage `json:"blocks,omitempty"`
	At        time.Time       `json:"at"`
	Versions  int             `json:"versions,omitempty"`
	Broadcast bool            `json:"broadcast,omitempty"`
	Ephemeral bool            `json:"ephemeral,omitempty"`
	Thread    []Message       `json:"thread,omitempty"`
}

// See is what a person sees of the channel.
func (p *page) see(user string) State {
	s := State{People: map[string]Name{}, Groups: map[string]Group{}}
	bots := map[string]string{}
	p.workspace.Look(func(t *slackstub.Team) {
		s.Team = t.Name
		for _, a := range t.Apps {
			bots[a.ID] = a.BotUser
		}
		for id, members := range t.Groups {
			s.Groups[id] = Group{Members: slices.Clone(members)}
		}
		for id, u := range t.Users {
			s.People[id] = Name{Name: u.RealName, Bot: u.Bot, Note: note(t, u)}
		}
		if ch := t.Channels[p.channel]; ch != nil {
			s.Channel = Channel{ID: ch.ID, Name: ch.Name, Members: len(ch.Members)}
			for _, m := range ch.Members {
				if u := t.Users[m]; u != nil && !u.Bot {
					s.May = append(s.May, m)
				}
			}
		}
	})
	convert := func(m slackstub.Message) Message {
		return Message{TS: m.TS, ThreadTS: m.ThreadTS, By: bots[m.App], Text: m.Text, Blocks: m.Blocks, At: m.At,
			Versions: len(m.Versions), Broadcast: m.Broadcast}
	}
	for _, m := range p.workspace.Messages(p.channel) {
		shown := convert(m)
		for _, line := range p.workspace.Thread(p.channel, m.TS) {
			shown.Thread = append(shown.Thread, convert(line))
		}
		s.Messages = append(s.Messages, shown)
	}
	for i, e := range p.workspace.Ephemerals(user) {
		if e.Channel == p.channel && user != "" {
			s.put(Message{TS: fmt.Sprintf("only-you-%d", i), ThreadTS: e.ThreadTS, By: first(bots), Text: e.Text,
				Blocks: e.Blocks, At: e.At, Ephemeral: true})
		}
	}
	slices.SortStableFunc(s.Messages, func(a, b Message) int { return a.At.Compare(b.At) })
	return s
}

// put places an answer in its thread, or in the channel.
func (s *State) put(m Message) {
	for i := range s.Messages {
		if m.ThreadTS != "" && s.Messages[i].TS == m.ThreadTS {
			s.Messages[i].Thread = append(s.Messages[i].Thread, m)
			return
		}
	}
	s.Messages = append(s.Messages, m)
}

func first(bots map[string]string) string {
	for _, b := range bots {
		return b
	}
	return ""
}

func note(t *slackstub.Team, u *slackstub.User) string {
	switch {
	case u.TeamID != t.ID:
		return "from another workspace"
	case u.Restricted, u.Single:
		return "guest"
	}
	for id, members := range t.Groups {
		if slices.Contains(members, u.ID) {
			return "in @" + strings.ToLower(strings.TrimLeft(id, "S0"))
		}
	}
	return ""
}

func (p *page) state(rw http.ResponseWriter, req *http.Request) {
	answer(rw, http.StatusOK, p.see(req.URL.Query().Get("user")))
}

// events reports that something happened, as often as it does.
func (p *page) events(rw http.ResponseWriter, req *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(rw)
	for {
		// Asked for before the browser is told, so that nothing is missed while it looks.
		changed := p.workspace.Changed()
		if _, err := io.WriteString(rw, "data: look\n\n"); err != nil {
			return
		}
		if err := flush.Flush(); err != nil {
			return
		}
		select {
		case <-req.Context().Done():
			return
		case <-changed:
		}
	}
}

// Clicked is what the browser says of a click.
type Clicked struct {
	User   string `json:"user"`
	TS     string `json:"ts"`
	Action string `json:"action"`
	Deny   bool   `json:"deny"`
}

func (p *page) click(rw http.ResponseWriter, req *http.Request) {
	var c Clicked
	if err := json.NewDecoder(http.MaxBytesReader(rw, req.Body, 1<<16)).Decode(&c); err != nil {
		http.Error(rw, "that is no click", http.StatusBadRequest)
		return
	}
	r, err := p.workspace.Click(req.Context(), slackstub.Click{
		User: c.User, Channel: p.channel, TS: c.TS, Action: c.Action, Deny: c.Deny,
	})
	switch {
	case errors.Is(err, slackstub.ErrNoApp):
		answer(rw, http.StatusOK, map[string]any{"warning": "Backstop is not connected to Slack: nothing happened"})
	case err != nil:
		answer(rw, http.StatusConflict, map[string]any{"warning": strings.ToUpper(err.Error()[:1]) + err.Error()[1:]})
	case r.Sent && !r.Acked:
		answer(rw, http.StatusOK, map[string]any{"warning": "Backstop did not answer in time"})
	default:
		answer(rw, http.StatusOK, map[string]any{})
	}
}

func answer(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v)
}
