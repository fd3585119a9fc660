package clicks

import (
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/internal/body"
)

const (
	// maxBody is more than any press of a button on a card of ours: Slack sends the card along.
	maxBody = 1 << 20
	// atOnce is how many requests are read at a time; there is nobody to serve but Slack.
	atOnce = 32
	// slowest is how long a request may take to arrive, and refusedFor how long one that is refused already may.
	slowest    = 5 * time.Second
	refusedFor = 250 * time.Millisecond
	// appAtOnce is how many clicks of one app are judged at a time, and turnWithin how long another one waits: Slack
	// waits for three seconds.
	appAtOnce  = 8
	turnWithin = time.Second
	// maxSeen is how many signed requests of one app are remembered.
	maxSeen = 10000
	// signedFor is how long a signature is good: five minutes before and after its time.
	signedFor = 10 * time.Minute
)

// Interactivity serves Slack's interactivity requests. Whoever is not Slack learns nothing but a status.
//
//	headers ── unsigned ──► refused, unread
//	   │ may be signed
//	   ▼
//	a place to be read ── all taken ──► who reads for the longest gives his up
//	   │ whole, in time
//	   ▼
//	signature ── wrong ──► refused
//	   │ Slack's
//	   ▼
//	a turn of that app ──► Handler
//
// A stranger holds no place that Slack has to wait for: Slack's requests arrive whole within a moment.
type Interactivity struct {
	handler *Handler
	// apps that may sign.
	apps   func() []App
	bodies body.Reader

	mu sync.Mutex
	// signed is what is kept of each app, by its signing secret.
	signed map[string]*signedApp
}

// signedApp is what is kept of an app that signs requests.
type signedApp struct {
	// turns are taken by the clicks that are judged.
	turns chan struct{}
	seen  map[[sha256.Size]byte]time.Time
}

// NewInteractivity makes the handler for the apps of a Hub that have a signing secret. A Hub has none while its replica
// does not lead.
func NewInteractivity(h *Hub) *Interactivity {
	return &Interactivity{handler: h.handler, apps: h.signers, signed: map[string]*signedApp{},
		bodies: body.Reader{AtOnce: atOnce, Most: maxBody, Slowest: slowest}}
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
		i.refuse(w, no)
		return
	}
	prove(r.Context())
	done, no := i.turn(r, heard[0])
	if no != nil {
		i.refuse(w, no)
		return
	}
	a, app := i.handler.take(r.Context(), heard, c)
	done()
	switch {
	case a.Result == Unknown:
		i.handler.Metrics.refused.WithLabelValues("unknown-action").Inc()
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case !a.Acknowledge():
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusOK)
	}
	i.handler.reply(r.Context(), app, c, a)
}

// refuse answers with a status, and ends the connection without waiting for what still comes.
func (i *Interactivity) refuse(w http.ResponseWriter, no *refused) {
	i.handler.Metrics.refused.WithLabelValues(no.reason).Inc()
	i.handler.Log.Debug("slack request refused", "reason", no.reason)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedFor))
	w.Header().Set("Connection", "close")
	w.WriteHeader(no.status)
}

func (i *Interactivity) admit(w http.ResponseWriter, r *http.Request) ([]App, Click, *refused) {
	if r.Method != http.MethodPost {
		return nil, Click{}, &refused{http.StatusMethodNotAllowed, "method"}
	}
	apps := i.apps()
	if len(apps) == 0 {
		return nil, Click{}, &refused{http.StatusServiceUnavailable, "not-leading"}
	}
	// Who names no signature that could be Slack's is not read at all.
	if _, err := slack.NewSecretsVerifier(r.Header, apps[0].SigningSecret); err != nil {
		return nil, Click{}, &refused{http.StatusUnauthorized, whyUnsigned(err)}
	}
	if r.ContentLength > maxBody {
		return nil, Click{}, &refused{http.StatusRequestEntityTooLarge, "too-large"}
	}
	raw, no := i.read(w, r)
	if no != nil {
		return nil, Click{}, no
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

// read takes the body, in a place that is given up when others come.
func (i *Interactivity) read(w http.ResponseWriter, r *http.Request) ([]byte, *refused) {
	raw, err := i.bodies.Read(w, r)
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return nil, &refused{http.StatusRequestEntityTooLarge, "too-large"}
	case errors.Is(err, body.ErrTooSlow):
		return nil, &refused{http.StatusRequestTimeout, "too-slow"}
	case err != nil:
		return nil, &refused{http.StatusBadRequest, "unreadable"}
	}
	return raw, nil
}

// turn waits for one of the app's turns: who floods with clicks of his own app delays nobody else's.
func (i *Interactivity) turn(r *http.Request, app App) (done func(), no *refused) {
	turns := i.of(app).turns
	timer := time.NewTimer(turnWithin)
	defer timer.Stop()
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-timer.C:
	case <-r.Context().Done():
	}
	return nil, &refused{http.StatusTooManyRequests, "too-many"}
}

// of gives what is kept of an app, and forgets the apps that sign no more.
func (i *Interactivity) of(app App) *signedApp {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ofLocked(app)
}

func (i *Interactivity) ofLocked(app App) *signedApp {
	if s := i.signed[app.SigningSecret]; s != nil {
		return s
	}
	signs := map[string]bool{}
	for _, a := range i.apps() {
		signs[a.SigningSecret] = true
	}
	maps.DeleteFunc(i.signed, func(secret string, _ *signedApp) bool { return !signs[secret] })
	s := &signedApp{turns: make(chan struct{}, appAtOnce), seen: map[[sha256.Size]byte]time.Time{}}
	i.signed[app.SigningSecret] = s
	return s
}

func whyUnsigned(err error) string {
	if errors.Is(err, slack.ErrExpiredTimestamp) {
		return "skew"
	}
	return "signature"
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
		if err != nil {
			why = whyUnsigned(err)
			continue
		}
		if no := i.first(app, h, raw); no != nil {
			return nil, no
		}
		// Several Providers may have brought this app.
		return slices.DeleteFunc(slices.Clone(apps), func(a App) bool { return a.SigningSecret != app.SigningSecret }), nil
	}
	return nil, &refused{http.StatusUnauthorized, why}
}

// first remembers what was signed for as long as the signature is good, and refuses what is not new. Only signed
// requests are remembered, so that a stranger cannot fill the memory. Each app has its own, so that none uses up
// another's.
func (i *Interactivity) first(app App, h http.Header, raw []byte) *refused {
	sum := sha256.New()
	_, _ = io.WriteString(sum, h.Get("X-Slack-Request-Timestamp")+":")
	_, _ = sum.Write(raw)
	key := [sha256.Size]byte(sum.Sum(nil))
	now := i.handler.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.ofLocked(app)
	maps.DeleteFunc(s.seen, func(_ [sha256.Size]byte, at time.Time) bool { return now.Sub(at) > signedFor })
	if _, again := s.seen[key]; again {
		return &refused{http.StatusUnauthorized, "replay"}
	}
	if len(s.seen) >= maxSeen {
		return &refused{http.StatusTooManyRequests, "too-many"}
	}
	s.seen[key] = now
	return nil
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
