package clicks

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/slack-go/slack"
)

// App is what it takes to hear the clicks of one Slack app. It prints without its secrets.
type App struct {
	// Provider is the namespace/name of the Flux Provider that brought it.
	Provider string
	// API speaks for the app. It carries the bot token, and the app-level token in Socket Mode. One API stands for one
	// pair of tokens: another one replaces it.
	API *slack.Client
	// ID of the app; empty until Slack answers it.
	ID string
	// Team and Enterprise that the bot token is installed in, from auth.test.
	Team, Enterprise string
	// AppToken opens Socket Mode; empty for an app that sends its clicks over HTTP.
	AppToken string
	// Way tells apart how Slack is reached: by which address, proxy and certificates. Who chose them could answer in
	// Slack's place.
	Way string
	// Allows reports whether a WebSocket may be opened to an address; nil allows all.
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

// hearsFor reports whether what came over the connection of a counts for b too: it is the connection that b would have
// opened, or b's own namespace or the platform chose its way. Who was given the tokens of an app cannot press a button
// in another's name, and by a proxy of his own he could.
func (h *Handler) hearsFor(a, b App) bool {
	of, _, _ := strings.Cut(a.Provider, "/")
	in, _, _ := strings.Cut(b.Provider, "/")
	return a.AppToken != "" && a.AppToken == b.AppToken &&
		(a.Way == b.Way || of == in || h.Platform != nil && h.Platform(a.Provider))
}

// listening are the apps that a connection is opened for, by key. None is opened where another one counts for the app
// as well: Slack would hand to it what it is not believed.
func (h *Handler) listening(apps []App) map[[sha256.Size]byte]App {
	out := map[[sha256.Size]byte]App{}
	for n, a := range apps {
		heard := false
		for m, b := range apps {
			heard = heard || m != n && h.hearsFor(b, a) && (m < n || !h.hearsFor(a, b))
		}
		if a.AppToken != "" && !heard {
			out[a.key()] = a
		}
	}
	return out
}
