package registry

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/backstop-dev/backstop/internal/cloud"
)

const (
	// maxBody bounds every answer, in bytes, and maxRefusal what is read of one that refuses.
	maxBody    = 8 << 20
	maxRefusal = 64 << 10
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

// guard stands before every request of a session, those for a token and of redirects too.
type guard struct {
	next http.RoundTripper
	// plain allows HTTP without TLS.
	plain bool
	// inner means that the registry itself has an inner address, so that others are no surprise.
	inner bool
	// barred reports whether an address must not be asked, also by a proxy that would dial it.
	barred func(host string) bool
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
	if g.barred != nil && g.barred(req.URL.Hostname()) {
		return nil, errForbidden
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	g.note(resp)
	short := resp.ContentLength >= 0 && resp.ContentLength <= maxDrained
	body := &bounded{ReadCloser: resp.Body, left: maxBody, drain: short}
	if resp.StatusCode >= http.StatusBadRequest {
		// Libraries make objects of it, each of a few bytes.
		body.left, body.cut = maxRefusal, true
	}
	resp.Body = body
	return resp, nil
}

// bounded is a body that ends in an error when it is too long.
type bounded struct {
	io.ReadCloser
	left int64
	// drain means that what is left unread is short, and cut that what is too long ends as if that were all.
	drain, cut bool
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
	switch {
	case b.left <= 0 && b.cut:
		return 0, io.EOF
	case b.left <= 0:
		return 0, errTooLong
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// inner reports whether a host is an address that a public registry has no business to lead to: of the machine, of a
// private network, or of a cloud's metadata. What a name resolves to is not looked at.
func inner(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return loopback(host)
	}
	return slices.ContainsFunc(cloud.Meant(addr), func(addr netip.Addr) bool {
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() ||
			addr.IsMulticast()
	})
}
