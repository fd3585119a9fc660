package registry

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/backstop-dev/backstop/reconcile"
)

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
		barred: func(asked string) bool { return r.reach.bars(t.host(), asked) },
		note:   func(resp *http.Response) { r.limits.note(askerOf(t, access, c), resp) },
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

// maxKey bounds a client's key, in bytes: to use one takes the time of its length to the third.
const maxKey = 32 << 10

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
	if len(access.ClientKey) > maxKey {
		return nil, unavailable("%s is not asked: tls.key of its certSecretRef is larger than any key", host)
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
