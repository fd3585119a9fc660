package clicks

import (
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

const (
	// maxBody is more than any press of a button on a card of ours: Slack sends the card along.
	maxBody = 1 << 20
	// atOnce is how many requests are read at a time; there is nobody to serve but Slack.
	atOnce = 16
	// slowest is how long a request may take to arrive.
	slowest = 5 * time.Second
	// signedFor is how long a signature is good: five minutes before and after its time.
	signedFor = 10 * time.Minute
)

// Interactivity serves Slack's interactivity requests. Whoever is not Slack learns nothing but a status.
type Interactivity struct {
	desk *Desk
	// apps that may sign.
	apps func() []App
	room chan struct{}

	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time
}

// NewInteractivity makes the handler for the apps of a Hub that have a signing secret. A Hub has none while its replica
// does not lead.
func NewInteractivity(h *Hub) *Interactivity {
	return &Interactivity{
		desk: h.desk, apps: h.signers, room: make(chan struct{}, atOnce), seen: map[[sha256.Size]byte]time.Time{},
	}
}

// refused is a request that is not served: its status, and the reason for the counter.
type refused struct {
	status int
	reason string
}

// ServeHTTP judges one request: its signature first, over the bytes as they came.
func (i *Interactivity) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	heard, c, no := i.admit(w, r)
	if no != nil {
		i.desk.Metrics.refused.WithLabelValues(no.reason).Inc()
		i.desk.Log.Debug("slack request refused", "reason", no.reason)
		w.WriteHeader(no.status)
		return
	}
	a, app := i.desk.take(r.Context(), heard, c)
	switch {
	case a.Result == Unknown:
		i.desk.Metrics.refused.WithLabelValues("unknown-action").Inc()
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case !a.Acknowledge():
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusOK)
	}
	i.desk.reply(r.Context(), app, c, a)
}

func (i *Interactivity) admit(w http.ResponseWriter, r *http.Request) ([]App, Click, *refused) {
	select {
	case i.room <- struct{}{}:
		defer func() { <-i.room }()
	default:
		return nil, Click{}, &refused{http.StatusTooManyRequests, "too-many"}
	}
	if r.Method != http.MethodPost {
		return nil, Click{}, &refused{http.StatusMethodNotAllowed, "method"}
	}
	apps := i.apps()
	if len(apps) == 0 {
		return nil, Click{}, &refused{http.StatusServiceUnavailable, "not-leading"}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(slowest))
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return nil, Click{}, &refused{http.StatusRequestEntityTooLarge, "too-large"}
	case err != nil:
		return nil, Click{}, &refused{http.StatusBadRequest, "unreadable"}
	}
	signed, no := i.signer(apps, r.Header, raw)
	if no != nil {
		return nil, Click{}, no
	}
	c, no := form(r.Header, raw)
	if no != nil {
		return nil, Click{}, no
	}
	// The signing secret is the app's own.
	for n := range signed {
		signed[n].ID = c.App
	}
	return signed, c, nil
}

// signer finds the app whose secret signed the request, once, as each Provider brought it.
func (i *Interactivity) signer(apps []App, h http.Header, raw []byte) ([]App, *refused) {
	why := "signature"
	for _, app := range apps {
		v, err := slack.NewSecretsVerifier(h, app.SigningSecret)
		if err == nil {
			_, _ = v.Write(raw)
			err = v.Ensure()
		}
		switch {
		case errors.Is(err, slack.ErrExpiredTimestamp):
			why = "skew"
		case err == nil && !i.first(app, h, raw):
			return nil, &refused{http.StatusUnauthorized, "replay"}
		case err == nil:
			// Several Providers may have brought this app.
			return slices.DeleteFunc(slices.Clone(apps), func(a App) bool { return a.SigningSecret != app.SigningSecret }), nil
		}
	}
	return nil, &refused{http.StatusUnauthorized, why}
}

// first remembers what was signed for as long as the signature is good, and says whether it is new. Only what Slack
// signed is remembered, so that nobody else can fill the memory, and each app for itself, so that none spends
// another's.
func (i *Interactivity) first(app App, h http.Header, raw []byte) bool {
	sum := sha256.New()
	_, _ = io.WriteString(sum, app.SigningSecret+":")
	_, _ = io.WriteString(sum, h.Get("X-Slack-Request-Timestamp")+":")
	_, _ = sum.Write(raw)
	key := [sha256.Size]byte(sum.Sum(nil))
	now := i.desk.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	for k, at := range i.seen {
		if now.Sub(at) > signedFor {
			delete(i.seen, k)
		}
	}
	if _, again := i.seen[key]; again {
		return false
	}
	i.seen[key] = now
	return true
}

// form reads the payload of a form.
func form(h http.Header, raw []byte) (Click, *refused) {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return Click{}, &refused{http.StatusUnsupportedMediaType, "no-form"}
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil || !values.Has("payload") {
		return Click{}, &refused{http.StatusBadRequest, "no-form"}
	}
	c, err := parse([]byte(values.Get("payload")))
	if err != nil {
		return Click{}, &refused{http.StatusBadRequest, "no-click"}
	}
	return c, nil
}
