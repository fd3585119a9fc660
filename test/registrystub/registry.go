// Package registrystub is an OCI registry on loopback for tests and the demo:
// go-containerregistry's registry in memory, with what real ones add to it.
//
//	request ─► count ─► latency ─► fault? ─► authentication ─► registry
//	                                 │           │
//	                     401 403 404 429 500     basic, or a token from /token
//	                     HTML, hang, cut,
//	                     endless, redirect
//
// Images are pushed from inside, past faults and authentication.
package registrystub

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Login is a user of the registry.
type Login struct{ Username, Password string }

// Options say what kind of registry it is. The zero value is open to all and speaks plain HTTP.
type Options struct {
	// Addr to listen on; 127.0.0.1 and a free port when empty.
	Addr string
	// TLS serves with a certificate of a CA of its own, see CA.
	TLS bool
	// Basic asks every request for this user and password.
	Basic *Login
	// Token asks for a bearer token, which /token gives to this user. A login without a name gives it to everybody.
	Token *Login
	// Referrers answers what refers to a digest. Registries that do not know the question have a tag instead.
	Referrers bool
	// Latency is added to every answer.
	Latency time.Duration
}

// Registry is a running registry.
type Registry struct {
	options Options
	server  *httptest.Server
	inner   http.Handler
	closed  chan struct{}

	mu       sync.Mutex
	faults   []*fault
	requests []string
	headers  []http.Header
	tokens   map[string]string
}

// Start listens and serves until Close.
func Start(o Options) (*Registry, error) {
	addr := o.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the registry: %w", err)
	}
	quiet := log.New(io.Discard, "", 0)
	r := &Registry{
		options: o,
		inner: registry.New(registry.Logger(quiet), registry.WithBlobHandler(registry.NewInMemoryBlobHandler()),
			registry.WithReferrersSupport(o.Referrers)),
		closed: make(chan struct{}),
		tokens: map[string]string{},
	}
	r.server = httptest.NewUnstartedServer(r)
	_ = r.server.Listener.Close()
	r.server.Listener = listener
	r.server.Config.ErrorLog = quiet
	if o.TLS {
		r.server.EnableHTTP2 = true
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	return r, nil
}

// Close ends every request and stops listening.
func (r *Registry) Close() {
	close(r.closed)
	r.server.CloseClientConnections()
	r.server.Close()
}

// Host is the host and port, as references to its images begin.
func (r *Registry) Host() string { return r.server.Listener.Addr().String() }

// URL of the registry, without a slash at its end.
func (r *Registry) URL() string { return r.server.URL }

// CA is the certificate to trust, in PEM; empty without TLS.
func (r *Registry) CA() []byte {
	cert := r.server.Certificate()
	if cert == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// ServeHTTP counts the request, then fails it, refuses it or serves it.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	r.headers = append(r.headers, req.Header.Clone())
	f := r.faultFor(req)
	r.mu.Unlock()
	if r.options.Latency > 0 {
		select {
		case <-time.After(r.options.Latency):
		case <-req.Context().Done():
			return
		}
	}
	switch {
	case f != nil:
		f.serve(w, req, r.closed)
	case req.URL.Path == "/token" && r.options.Token != nil:
		r.giveToken(w, req)
	case !r.admits(req):
		r.challenge(w, req)
	default:
		r.inner.ServeHTTP(w, req)
	}
}

// Count reports how many requests came with a method (any when empty) to paths that begin with prefix.
func (r *Registry) Count(method, prefix string) int {
	n := 0
	for _, line := range r.Requests() {
		m, path, _ := strings.Cut(line, " ")
		if (method == "" || m == method) && strings.HasPrefix(path, prefix) {
			n++
		}
	}
	return n
}

// Requests are the method and path of every request so far, in order.
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.requests...)
}

// Headers are the headers of every request so far, in order.
func (r *Registry) Headers() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]http.Header(nil), r.headers...)
}

// Forget starts counting anew.
func (r *Registry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.headers = nil, nil
}

// RoundTrip serves a request from inside: uncounted, past faults and authentication.
func (r *Registry) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil {
		req.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	r.inner.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

// send is one request from inside, which must succeed.
func (r *Registry) send(method, path, contentType string, body []byte) error {
	req, err := http.NewRequest(method, "http://"+r.Host()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := r.RoundTrip(req)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return nil
}
