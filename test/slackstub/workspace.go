package slackstub

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Options say what kind of workspace it is. The zero value is Acme over plain HTTP on a free port.
type Options struct {
	// Addr to listen on; 127.0.0.1 and a free port when empty.
	Addr string
	// TLS serves with a certificate of a CA of its own, see CA.
	TLS bool
	// Team is the workspace; Acme when nil.
	Team *Team
	// PingEvery is how often an open Socket Mode connection is pinged; 5 s when zero.
	PingEvery time.Duration
	// AckWithin is how long a click waits to be acknowledged before the person sees a warning; 3 s when zero.
	AckWithin time.Duration
	// PostEvery is the least time between two posts to one channel; a faster one gets a 429. Zero is no limit.
	PostEvery time.Duration
}

// Workspace is a running workspace.
type Workspace struct {
	options Options
	server  *httptest.Server
	closed  chan struct{}

	mu         sync.Mutex
	changed    chan struct{}
	team       *Team
	messages   []*Message
	ephemerals []Ephemeral
	receipts   []Receipt
	requests   []Request
	faults     []*fault
	away       bool
	lastTS     int64
	serial     int
	lastPost   map[string]time.Time
	tickets    map[string]string // ticket to app
	sockets    []*socket
	urls       map[string]*responseURL
	random     *rand.Rand
}

// New makes a workspace that is served by ServeHTTP alone.
func New(o Options) *Workspace {
	if o.Team == nil {
		o.Team = Acme()
	}
	if o.PingEvery <= 0 {
		o.PingEvery = 5 * time.Second
	}
	if o.AckWithin <= 0 {
		o.AckWithin = 3 * time.Second
	}
	return &Workspace{
		options: o, team: o.Team, closed: make(chan struct{}), changed: make(chan struct{}),
		lastPost: map[string]time.Time{}, tickets: map[string]string{}, urls: map[string]*responseURL{},
		random: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // a fixed sequence, so that tests repeat
	}
}

// Start listens and serves until Close.
func Start(o Options) (*Workspace, error) {
	addr := o.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for Slack: %w", err)
	}
	w := New(o)
	w.server = httptest.NewUnstartedServer(w)
	_ = w.server.Listener.Close()
	w.server.Listener = listener
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if o.TLS {
		w.server.StartTLS()
	} else {
		w.server.Start()
	}
	return w, nil
}

// Close ends every connection and stops listening.
func (w *Workspace) Close() {
	w.mu.Lock()
	close(w.closed)
	w.dropAll()
	w.mu.Unlock()
	if w.server != nil {
		w.server.CloseClientConnections()
		w.server.Close()
	}
}

// URL of the workspace, without a slash at its end.
func (w *Workspace) URL() string { return w.server.URL }

// APIURL is the base of the Web API, as slack-go wants it.
func (w *Workspace) APIURL() string { return w.URL() + "/api/" }

// CA is the certificate to trust, in PEM; empty without TLS.
func (w *Workspace) CA() []byte {
	cert := w.server.Certificate()
	if cert == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// Client reaches the workspace without a network, in the caller's own goroutine: in a synctest bubble time passes.
// It does not open WebSockets.
func (w *Workspace) Client() *http.Client { return &http.Client{Transport: direct{w}} }

type direct struct{ w *Workspace }

// RoundTrip serves the request; a connection that the workspace cuts is an unexpected EOF.
func (d direct) RoundTrip(req *http.Request) (res *http.Response, err error) {
	defer func() {
		p := recover()
		if cut, _ := p.(error); errors.Is(cut, http.ErrAbortHandler) {
			res, err = nil, io.ErrUnexpectedEOF
		} else if p != nil {
			panic(p)
		}
	}()
	req.RemoteAddr = "192.0.2.1:1"
	if req.Body == nil {
		req.Body = http.NoBody
	}
	if req.Host == "" {
		req.Host = req.URL.Host
	}
	rec := httptest.NewRecorder()
	d.w.ServeHTTP(rec, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	res = rec.Result()
	res.Request = req
	return res, nil
}

// Change changes people, channels and apps.
func (w *Workspace) Change(f func(*Team)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w.team)
	w.touch()
}

// Changed is closed by the next thing that happens.
func (w *Workspace) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Await waits until something holds, which is asked again whenever anything happened.
func (w *Workspace) Await(ctx context.Context, holds func() bool) error {
	for {
		next := w.Changed()
		if holds() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for Slack's workspace: %w", ctx.Err())
		}
	}
}

// touch tells who waits. The caller holds the lock.
func (w *Workspace) touch() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// newTS is a message's timestamp, which no other one has. The caller holds the lock.
func (w *Workspace) newTS() string {
	now := time.Now().UnixMicro()
	if now <= w.lastTS {
		now = w.lastTS + 1
	}
	w.lastTS = now
	return fmt.Sprintf("%d.%06d", now/1e6, now%1e6)
}

// newID is a name that no other thing has. The caller holds the lock.
func (w *Workspace) newID(prefix string) string {
	w.serial++
	return fmt.Sprintf("%s%06d", prefix, w.serial)
}
