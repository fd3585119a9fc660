package registry

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// maxBody bounds every answer, in bytes.
	maxBody = 8 << 20
	// maxRedirects of one request.
	maxRedirects = 5
	// sessionLasts is after how long a registry is greeted anew.
	sessionLasts = 5 * time.Minute
	// maxIdle connections are kept to a registry: as many as the gate asks at once.
	maxIdle = 16
	// maxDrained of a body that nobody wants is read, in bytes.
	maxDrained = 4 << 10
)

// session is a client that a registry has let in, for one repository.
type session struct {
	host   string
	repo   name.Repository
	client *http.Client
	opened time.Time
}

// open greets a registry, or goes on in a session that was kept and is still good.
func (r *Registry) open(
	ctx context.Context, t target, access reconcile.Access, c credential,
) (s *session, kept bool, err error) {
	key := sessionKey(t, access, c)
	if found, ok := r.sessions.Get(key); ok {
		if s := found.(*session); r.now().Sub(s.opened) < sessionLasts {
			return s, true, nil
		}
	}
	opened, err, _ := r.flight.Do("session "+key, func() (any, error) {
		// Others may wait for this greeting too: it does not end with the one who asked first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		defer cancel()
		s, err := r.greet(ctx, t, access, c)
		if err != nil {
			return nil, err
		}
		r.sessions.Add(key, s)
		return s, nil
	})
	if err != nil {
		return nil, false, err
	}
	return opened.(*session), false, nil
}

func sessionKey(t target, access reconcile.Access, c credential) string {
	h := sha256.New()
	add(h, t.ref.Context().Name())
	access.DockerConfigs, access.Next = nil, nil
	addAccess(h, access)
	c.addTo(h)
	return hex.EncodeToString(h.Sum(nil))
}

func (r *Registry) greet(ctx context.Context, t target, access reconcile.Access, c credential) (*session, error) {
	base, err := r.connections(t, access)
	if err != nil {
		return nil, err
	}
	repo := t.ref.Context()
	host := hostname(repo.RegistryStr())
	guarded := &guard{
		next: base, plain: access.Insecure || loopback(host), inner: inner(host),
		note: func(resp *http.Response) { r.limits.note(t.host(), resp) },
	}
	authenticated, err := transport.NewWithContext(ctx, repo.Registry, c.authenticator(),
		transport.NewUserAgent(guarded, r.userAgent), []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, fault(t.host(), err)
	}
	client := &http.Client{Transport: authenticated, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return errAround
		}
		return nil
	}}
	return &session{host: t.host(), repo: repo, client: client, opened: r.now()}, nil
}

// connections are kept for a registry and what TLS and the proxy need, so that its repositories share them. They carry
// no credentials: those are added to each request.
func (r *Registry) connections(t target, access reconcile.Access) (*http.Transport, error) {
	h := sha256.New()
	add(h, t.ref.Context().RegistryStr())
	access.DockerConfigs, access.Next = nil, nil
	addAccess(h, access)
	key := hex.EncodeToString(h.Sum(nil))
	made, err, _ := r.flight.Do("connections "+key, func() (any, error) {
		if kept, ok := r.transports.Get(key); ok {
			return kept, nil
		}
		base, err := r.newTransport(t.host(), access)
		if err != nil {
			return nil, err
		}
		r.transports.Add(key, base)
		return base, nil
	})
	if err != nil {
		return nil, err
	}
	return made.(*http.Transport), nil
}

// newTransport speaks TLS and to a proxy as the access says. Its errors hold nothing of the access.
func (r *Registry) newTransport(host string, access reconcile.Access) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(access.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(access.CA) {
			return nil, unavailable("%s is not asked: the CA of its certSecretRef (ca.crt) holds no certificate in PEM", host)
		}
		config.RootCAs = pool
	}
	if len(access.ClientCert) > 0 || len(access.ClientKey) > 0 {
		pair, err := tls.X509KeyPair(access.ClientCert, access.ClientKey)
		if err != nil {
			return nil, unavailable(
				"%s is not asked: the client certificate of its certSecretRef (tls.crt, tls.key) is no pair in PEM", host)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	proxy := http.ProxyFromEnvironment
	if access.Proxy != "" {
		u, err := url.Parse(access.Proxy)
		if err != nil || u.Host == "" {
			return nil, unavailable("%s is not asked: the address of its proxySecretRef is no URL", host)
		}
		proxy = http.ProxyURL(u)
	}
	return &http.Transport{
		Proxy: proxy,
		DialContext: (&net.Dialer{
			Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: r.reach.control(host),
		}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}, nil
}

// guard stands before every request of a session, those for a token and of redirects too.
type guard struct {
	next http.RoundTripper
	// plain allows HTTP without TLS.
	plain bool
	// inner says that the registry itself has an inner address, so that others are no surprise.
	inner bool
	// note sees every answer.
	note func(*http.Response)
}

// RoundTrip refuses what a registry must not lead to, and bounds what it sends.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.plain {
		return nil, errPlain
	}
	if !g.inner && inner(req.URL.Hostname()) {
		return nil, errInside
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	g.note(resp)
	short := resp.ContentLength >= 0 && resp.ContentLength <= maxDrained
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxBody, drain: short}
	return resp, nil
}

// bounded is a body that ends in an error when it is too long.
type bounded struct {
	io.ReadCloser
	left int64
	// drain says that what is left unread is short.
	drain bool
}

// Close reads what is left of a short body, without which its connection could not be used again.
func (b *bounded) Close() error {
	if b.drain {
		_, _ = io.CopyN(io.Discard, b, maxDrained)
	}
	return b.ReadCloser.Close()
}

// Read reads on until the bound.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// inner says whether a host is an address that a public registry has no business to lead to: of the machine, of a
// private network, or of a cloud's metadata. What a name resolves to is not looked at.
func inner(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return loopback(host)
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast()
}
