// Package proxy stands before an HTTP server of a test (the API server, the
// Git server, a registry), counts the requests that would change something,
// and lets a test act at one of them: run something before the request is
// forwarded or after its answer came, and cut the connection so that the
// client never learns what became of it. It can also be gone for a while, be
// there and say nothing, or be somebody else.
//
//	sidecar ──► proxy ──► API server      one Tap numbers the mutating
//	sidecar ──► proxy ──► Git server      requests of both
//	              │
//	              └─ hook(request n, Before | After) ─► cut?
//
// A kill sweep is: for n = 1, 2, … run a scenario in which the hook kills the
// sidecar at request n, until a run ends in which no request had that number.
package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Options of a proxy.
type Options struct {
	// Target is the server's URL; its path, query and user are ignored.
	Target string
	// Transport to the target; nil for a plain one.
	Transport http.RoundTripper
	// Certificate to serve TLS with; nil serves plain HTTP.
	Certificate *tls.Certificate
	// Mutates reports which requests would change something: APIServer, GitServer or a test's own. nil means none.
	Mutates func(*http.Request) bool
	// Tap that numbers those requests; nil makes one for this proxy alone.
	Tap *Tap
}

// Proxy is a running proxy.
type Proxy struct {
	// URL that clients use instead of the target's.
	URL string
	// Tap of this proxy.
	Tap *Tap

	door    *door
	server  *http.Server
	reverse *httputil.ReverseProxy
	mutates func(*http.Request) bool
	// impostor means that another certificate is served.
	impostor atomic.Bool
}

// Start runs a proxy on a free port of loopback until Close.
func Start(o Options) (*Proxy, error) {
	target, err := url.Parse(o.Target)
	if err != nil {
		return nil, fmt.Errorf("read the target's URL: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &Proxy{Tap: o.Tap, mutates: o.Mutates, door: newDoor(listener)}
	if p.Tap == nil {
		p.Tap = &Tap{}
	}
	if p.mutates == nil {
		p.mutates = func(*http.Request) bool { return false }
	}
	origin := &url.URL{Scheme: target.Scheme, Host: target.Host}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(origin)
			r.Out.Host = r.In.Host
		},
		Transport:     o.Transport,
		FlushInterval: -1, // a watch is a stream
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	scheme, serve := "http", func() error { return p.server.Serve(p.door) }
	if o.Certificate != nil {
		other, err := stranger()
		if err != nil {
			return nil, err
		}
		p.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*o.Certificate}, MinVersion: tls.VersionTLS12,
			SessionTicketsDisabled: true,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				if p.impostor.Load() {
					return other, nil
				}
				return nil, nil
			}}
		scheme, serve = "https", func() error { return p.server.ServeTLS(p.door, "", "") }
	}
	p.URL = scheme + "://" + listener.Addr().String()
	go func() { _ = serve() }()
	return p, nil
}

// Close ends the proxy and every connection through it.
func (p *Proxy) Close() {
	p.door.hush(false)
	_ = p.server.Close()
}

// HalfOpen lets every connection stand, old and new, and nothing that is sent on
// one arrive, until WhollyOpen: what is between is gone, and nobody was told.
func (p *Proxy) HalfOpen() { p.door.hush(true) }

// WhollyOpen ends a HalfOpen.
func (p *Proxy) WhollyOpen() { p.door.hush(false) }

// Impostor cuts every connection and serves TLS with a certificate that nobody
// trusts, until Genuine.
func (p *Proxy) Impostor() { p.pose(true) }

// Genuine ends an Impostor.
func (p *Proxy) Genuine() { p.pose(false) }

func (p *Proxy) pose(as bool) {
	p.impostor.Store(as)
	p.door.shut(true)
	p.door.shut(false)
}

// stranger is a TLS configuration of somebody who is not the server.
func stranger() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nobody"}, NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	// Without tickets: who resumes a session looks at no certificate.
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}, nil
}

// Refuse cuts every connection and lets none in until Admit: the server is gone.
func (p *Proxy) Refuse() { p.door.shut(true) }

// Admit ends a Refuse.
func (p *Proxy) Admit() { p.door.shut(false) }

// ServeHTTP forwards one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.mutates(r) {
		p.reverse.ServeHTTP(w, r)
		return
	}
	req := p.Tap.number(r)
	if p.Tap.hooked(req, Before) {
		panic(http.ErrAbortHandler)
	}
	// The server must see the request through even if the client dies now, and
	// its answer must be whole before anybody says that it came.
	answer := &recorder{header: http.Header{}, status: http.StatusOK}
	p.reverse.ServeHTTP(answer, r.WithContext(context.WithoutCancel(r.Context())))
	if p.Tap.hooked(req, After) {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes())
}

// APIServer reports which requests to the Kubernetes API server would change
// something that matters: no reads, no reviews, and neither the renewal of a
// lease nor an Event, whose number depends on the time a run takes.
func APIServer(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return false
	}
	for _, quiet := range []string{
		"/apis/authorization.k8s.io/", "/apis/authentication.k8s.io/", "/apis/coordination.k8s.io/",
	} {
		if strings.HasPrefix(r.URL.Path, quiet) {
			return false
		}
	}
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if part == "events" {
			return false
		}
	}
	return true
}

// GitServer reports which requests to a Git server over HTTP are pushes.
func GitServer(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack")
}

// GitPushNotBy is GitServer without the pushes of clients whose user agent
// begins with agent: "git/" for git itself, "go-git/" for go-git.
func GitPushNotBy(agent string) func(*http.Request) bool {
	return func(r *http.Request) bool { return GitServer(r) && !strings.HasPrefix(r.UserAgent(), agent) }
}

// recorder keeps an answer until it is whole.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *recorder) WriteHeader(status int) {
	if status >= http.StatusOK {
		r.status = status
	}
}
