package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	fluxgit "github.com/fluxcd/pkg/git"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/backstop-dev/backstop/internal/cloud"
	"github.com/backstop-dev/backstop/reconcile"
)

// overHTTP prepares sessions over HTTP or HTTPS, with a client of this remote's own.
func (r *Remote) overHTTP(u *url.URL, opts *fluxgit.AuthOptions, proxy *url.URL, auth reconcile.Auth,
	now func() time.Time) error {
	config, err := tlsConfig(opts)
	if err != nil {
		return err
	}
	t := roundTripper(config, proxy)
	trip := &tripper{next: t, branch: r.Branch.String(), of: &r.of, meter: r.Meter}
	r.fault, r.Settle, r.Close = trip.fault, trip.settle, t.CloseIdleConnections

	// The credentials go with the session, so that no library ever formats them as part of a URL.
	bare := *u
	bare.User = nil
	if _, err := transport.NewEndpoint(bare.String()); err != nil {
		return errors.New("its URL does not parse")
	}
	// go-git moves the endpoint of a session where it is redirected to: each session gets its own.
	endpoint := func() (*transport.Endpoint, error) { return transport.NewEndpoint(bare.String()) }
	login := func(context.Context) (transport.AuthMethod, error) { return httpAuth(opts), nil }
	r.Client = &http.Client{Transport: t, CheckRedirect: sameOrigin}
	r.Login = func(context.Context) (string, string, error) {
		user, token := loginOf(opts)
		return user, token, nil
	}
	if auth.Provider == providerGitHub {
		app, err := newGitHubApp(auth.Secret, r.Client, now)
		if err != nil {
			return err
		}
		login = func(ctx context.Context) (transport.AuthMethod, error) { return app.login(ctx, r.Words) }
		r.Login = func(ctx context.Context) (string, string, error) {
			token, err := app.current(ctx, r.Words)
			return tokenUser, token, err
		}
		r.Permissions = func(ctx context.Context) (map[string]string, error) { return app.permissions(ctx, r.Words) }
	}
	client := githttp.NewClient(&http.Client{Transport: trip, CheckRedirect: sameOrigin})
	begin := func(ctx context.Context) (*transport.Endpoint, transport.AuthMethod, error) {
		trip.begin()
		method, err := login(ctx)
		if err != nil {
			return nil, nil, err
		}
		to, err := endpoint()
		return to, method, err
	}
	r.sessions(client, begin)
	return nil
}

// roundTripper speaks HTTP as a source says: with its CA, through its proxy.
func roundTripper(config *tls.Config, proxy *url.URL) *http.Transport {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer().DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 20 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        4,
		IdleConnTimeout:     90 * time.Second,

		MaxResponseHeaderBytes: 1 << 20,
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	through := t.Proxy
	// Secrets name addresses too, such as that of a GitHub App's API.
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		if cloud.Bars(req.URL.Hostname()) {
			return nil, cloud.ErrMetadata
		}
		return through(req)
	}
	return t
}

// sessions has each session begin by itself, with a login and an endpoint of its own.
func (r *Remote) sessions(client transport.Transport,
	begin func(context.Context) (*transport.Endpoint, transport.AuthMethod, error)) {
	r.upload = func(ctx context.Context) (transport.UploadPackSession, error) {
		to, method, err := begin(ctx)
		if err != nil {
			return nil, err
		}
		return client.NewUploadPackSession(to, method)
	}
	r.receive = func(ctx context.Context) (transport.ReceivePackSession, error) {
		to, method, err := begin(ctx)
		if err != nil {
			return nil, err
		}
		return client.NewReceivePackSession(to, method)
	}
}

// maxRedirects is how many redirects within an origin are followed, as net/http does.
const maxRedirects = 10

// sameOrigin follows redirects within scheme, host and port alone: a renamed repository, no other server.
func sameOrigin(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if from, to := serverOf(via[0].URL), serverOf(req.URL); from != to {
		return &redirectError{to: to}
	}
	return nil
}

// serverOf is scheme, host and port of a URL.
func serverOf(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func httpAuth(opts *fluxgit.AuthOptions) transport.AuthMethod {
	switch {
	case opts.BearerToken != "":
		return &githttp.TokenAuth{Token: opts.BearerToken}
	case opts.Username != "" || opts.Password != "":
		return &githttp.BasicAuth{Username: opts.Username, Password: opts.Password}
	}
	return nil
}

// loginOf is what an API takes of the credentials for Git.
func loginOf(opts *fluxgit.AuthOptions) (user, token string) {
	switch {
	case opts.BearerToken != "":
		return "", opts.BearerToken
	case opts.Password == "", opts.Password == "x-oauth-basic":
		// A token may stand in the place of the name.
		return "", opts.Username
	}
	return opts.Username, opts.Password
}

// tlsConfig trusts the system's authorities and the Secret's, and shows the Secret's client certificate.
func tlsConfig(opts *fluxgit.AuthOptions) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(opts.CAFile) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(opts.CAFile) {
			return nil, errors.New("ca.crt in its Secret holds no certificate in PEM")
		}
		config.RootCAs = pool
	}
	if len(opts.ClientCert) > 0 || len(opts.ClientKey) > 0 {
		pair, err := tls.X509KeyPair(opts.ClientCert, opts.ClientKey)
		if err != nil {
			return nil, errors.New("tls.crt and tls.key in its Secret are no certificate with its key")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// tripper sees every answer of the server before go-git does: it turns bad ones into errors with the server's words, of
// which it reads no more than a sentence, and remembers what went wrong.
type tripper struct {
	next http.RoundTripper
	// branch is the only reference that is let through.
	branch string
	of     *string
	meter  *meter

	mu     sync.Mutex
	last   error
	bodies []io.ReadCloser
}

// begin forgets what the last operation saw.
func (t *tripper) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = nil
	t.meter.begin()
}

func (t *tripper) fault() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// RoundTrip sends one request.
func (t *tripper) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err == nil && res.StatusCode >= 400 {
		err = statusOf(res)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.last = err
		return nil, err
	}
	t.bodies = append(t.bodies, res.Body)
	res.Body = t.bounded(req, res.Body)
	return res, nil
}

// bounded is a body of which no more is read than is taken from any server.
func (t *tripper) bounded(req *http.Request, body io.ReadCloser) io.ReadCloser {
	var r io.Reader = &metered{r: body, meter: t.meter}
	if strings.HasSuffix(req.URL.Path, "/info/refs") {
		r = &advertised{r: body, branch: t.branch, of: *t.of, meter: t.meter}
	}
	return struct {
		io.Reader
		io.Closer
	}{r, body}
}

// settle reads answers to their end, which go-git leaves open: the connection can be used again, and a server is not
// cut off while its hooks run.
func (t *tripper) settle() {
	t.mu.Lock()
	bodies := t.bodies
	t.bodies = nil
	t.mu.Unlock()
	for _, b := range bodies {
		_, _ = io.CopyN(io.Discard, b, 1<<20)
		_ = b.Close()
	}
}
