package clicks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/backstop-dev/backstop/internal/cloud"
)

// dialer opens WebSockets the way that the Web API is reached, and hears when Slack answers anything at all.
func (l *line) dialer() *websocket.Dialer {
	d := &websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, HandshakeTimeout: 15 * time.Second,
		// Slack does not put an acknowledgement together again that came in several frames.
		WriteBufferSize: 32 << 10,
	}
	if t := l.app.Transport; t != nil {
		d.Proxy = t.Proxy
		if t.TLSClientConfig != nil {
			d.TLSClientConfig = t.TLSClientConfig.Clone()
		}
	}
	heard := l.hub.handler.Metrics.heard.WithLabelValues(l.app.Provider)
	d.NetDialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{Timeout: 10 * time.Second, Control: cloud.Refuse}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.left.Store(maxHandshake)
		return &hearing{Conn: c, heard: heard.SetToCurrentTime, left: &l.left}, nil
	}
	if allows, proxy := l.app.Allows, d.Proxy; allows != nil {
		d.Proxy = func(r *http.Request) (*url.URL, error) {
			if !allows(r.URL) {
				return nil, fmt.Errorf("the WebSocket is to %s, which is not a host of Slack", r.URL.Host)
			}
			if proxy == nil {
				return nil, nil
			}
			return proxy(r)
		}
	}
	return d
}

// silence is slack-go's log: what it would say may name tickets.
type silence struct{}

// Output says nothing.
func (silence) Output(int, string) error { return nil }

// hearing is a connection that tells when something came.
type hearing struct {
	net.Conn
	heard func()
	// left is how many bytes may come yet.
	left *atomic.Int64
}

// maxHandshake is what may come before Slack has said hello: a proxy, or who stands in Slack's place, could send a
// header without an end, which nobody else bounds.
const maxHandshake = 4 << 20

var errHandshake = errors.New("more bytes arrive than Slack sends before its hello")

// Read reads, and tells.
func (h *hearing) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n > 0 {
		h.heard()
	}
	if h.left.Add(-int64(n)) < 0 {
		return n, errHandshake
	}
	return n, err
}
