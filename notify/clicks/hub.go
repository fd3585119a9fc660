package clicks

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slack-go/slack"
)

// App is what it takes to hear the clicks of one Slack app. It prints without its secrets.
type App struct {
	// Provider is the namespace/name of the Flux Provider that brought it.
	Provider string
	// API speaks for the app. It carries the bot token, and the app-level token in Socket Mode. One API stands for one
	// pair of tokens: another one replaces it.
	API *slack.Client
	// ID of the app; empty until Slack says it.
	ID string
	// Team and Enterprise that the bot token is installed in, from auth.test.
	Team, Enterprise string
	// BotToken is what API speaks with. It only tells apps apart.
	BotToken string
	// AppToken opens Socket Mode; empty for an app that sends its clicks over HTTP.
	AppToken string
	// Way tells apart how Slack is reached: by which address, proxy and certificates. Who chose them could answer in
	// Slack's place.
	Way string
	// Allows says whether a WebSocket may be opened to an address; nil allows all.
	Allows func(*url.URL) bool
	// SigningSecret is what the app signs HTTP requests with.
	SigningSecret string
	// Transport's proxy and TLS configuration are the WebSocket's too; nil for the default.
	Transport *http.Transport
}

// String names the Provider and keeps the secrets.
func (a App) String() string { return "Slack app of Provider " + a.Provider }

// Format keeps the secrets out of every print.
func (a App) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// LogValue keeps the secrets out of structured logs.
func (a App) LogValue() slog.Value { return slog.StringValue(a.String()) }

// key tells connections in Socket Mode apart: Slack hands each click to one of an app's connections, whichever Provider
// it was opened for. Two ways to one app are two connections, since only one of them may be Slack's own.
func (a App) key() [sha256.Size]byte { return sha256.Sum256([]byte(a.AppToken + "\x00" + a.Way)) }

// hearsFor says whether what came over the connection of a counts for b too: it is the connection that b would have
// opened, or whoever made a holds all tokens of b.
func (a App) hearsFor(b App) bool {
	return a.AppToken != "" && a.AppToken == b.AppToken && (a.Way == b.Way || a.BotToken != "" && a.BotToken == b.BotToken)
}

// Hub holds the Socket Mode connections of all apps, two for each: Slack renews a connection by closing it, and what
// is pressed in between goes to the other one.
//
//	Set(apps) ─► listener of an app ─► line 1 ── hello · click · refresh ─► the next connection
//	                               └─► line 2 …
type Hub struct {
	handler *Handler
	opts    HubOptions

	mu        sync.Mutex
	listeners map[[sha256.Size]byte]*listener
	// apps are read while Set waits for clicks, so mu does not guard them.
	apps atomic.Pointer[[]App]
}

// all are the apps that there are now.
func (h *Hub) all() []App {
	if apps := h.apps.Load(); apps != nil {
		return *apps
	}
	return nil
}

// HubOptions are the times of a Hub; each has its default.
type HubOptions struct {
	// Lines of an app; 2 when zero.
	Lines int
	// Stagger is how much later the second line begins, so that both are not renewed at once; 10 s when zero.
	Stagger time.Duration
	// Ping is how long Slack may be silent before a connection counts as dead; 30 s when zero.
	Ping time.Duration
	// Again is how long to wait after tokens were refused; 1 min when zero. New tokens are tried at once.
	Again time.Duration
}

// NewHub makes a Hub without apps.
func NewHub(d *Handler, o HubOptions) *Hub {
	if o.Lines <= 0 {
		o.Lines = 2
	}
	if o.Stagger <= 0 {
		o.Stagger = 10 * time.Second
	}
	if o.Ping <= 0 {
		o.Ping = 30 * time.Second
	}
	if o.Again <= 0 {
		o.Again = time.Minute
	}
	return &Hub{handler: d, opts: o, listeners: map[[sha256.Size]byte]*listener{}}
}

// Set says which apps there are now. Connections of apps that stay are left alone; those of others are closed once
// their clicks are recorded. The context is that of the leadership: its end closes all.
func (h *Hub) Set(ctx context.Context, apps []App) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.apps.Store(&apps)
	wanted := map[[sha256.Size]byte]App{}
	for _, a := range apps {
		if _, twice := wanted[a.key()]; a.AppToken != "" && !twice {
			wanted[a.key()] = a
		}
	}
	for key, l := range h.listeners {
		if a, stays := wanted[key]; !stays || a.API != l.app.API {
			l.stop()
			delete(h.listeners, key)
		}
	}
	for key, a := range wanted {
		if h.listeners[key] == nil && ctx.Err() == nil {
			h.listeners[key] = listen(ctx, h, a)
		}
	}
}

// signers are the apps that sign HTTP requests.
func (h *Hub) signers() []App {
	var out []App
	for _, a := range h.all() {
		if a.SigningSecret != "" {
			out = append(out, a)
		}
	}
	return out
}

// Troubles says by Provider why clicks are not heard, or may be heard by others; a Provider without trouble is missing.
func (h *Hub) Troubles() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]string{}
	for key, l := range h.listeners {
		why := l.trouble()
		if why == "" {
			continue
		}
		for _, a := range h.all() {
			if a.AppToken != "" && a.key() == key {
				out[a.Provider] = why
			}
		}
	}
	return out
}

// Close ends all connections, and waits for the clicks and answers that are under way.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ending sync.WaitGroup
	for key, l := range h.listeners {
		ending.Go(l.stop)
		delete(h.listeners, key)
	}
	ending.Wait()
	h.apps.Store(nil)
	h.handler.Wait()
}
