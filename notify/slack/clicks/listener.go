package clicks

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slack-go/slack/socketmode"
)

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

// listener hears one app over several lines.
type listener struct {
	hub    *Hub
	app    App
	cancel context.CancelFunc
	done   chan struct{}
	room   chan struct{}

	mu    sync.Mutex
	lines []lineState
}

// line is one connection at a time.
type line struct {
	*listener
	n      int
	client *socketmode.Client
	// judging are the clicks that are under way.
	judging sync.WaitGroup
	// left is how many bytes its connection may bring yet.
	left atomic.Int64
}

// lineState is what one line knows.
type lineState struct {
	open  bool
	tries int
	// why it is not open, of the last try.
	why string
	// hellos counts connections. others is how many of the app's are not ours, as Slack counted at the last hello, and
	// shared says that this is believed: Slack may count for a moment what it has just closed.
	hellos, others int
	shared         bool
}
