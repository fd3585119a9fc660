package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"github.com/backstop-dev/backstop/internal/cloud"
)

// connectProxy opens a tunnel through an HTTP proxy.
func connectProxy(ctx context.Context, proxy *url.URL, addr string, conn net.Conn) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if proxy.User != nil {
		password, _ := proxy.User.Password()
		basic := &http.Request{Header: http.Header{}}
		basic.SetBasicAuth(proxy.User.Username(), password)
		req.Header.Set("Proxy-Authorization", basic.Header.Get("Authorization"))
	}
	if err := req.WithContext(ctx).Write(conn); err != nil {
		return nil, fmt.Errorf("ask the proxy: %w", err)
	}
	return readConnect(req, conn)
}

// dialer dials no address of a cloud's metadata: who may create a GitRepository chooses its URL.
func dialer() *net.Dialer {
	return &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: cloud.Refuse}
}

func dialTCP(ctx context.Context, addr string, via *url.URL) (net.Conn, error) {
	d := dialer()
	if via == nil {
		return d.DialContext(ctx, "tcp", addr)
	}
	if strings.HasPrefix(via.Scheme, "socks5") {
		p, err := proxy.FromURL(via, d)
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		if c, ok := p.(proxy.ContextDialer); ok {
			return c.DialContext(ctx, "tcp", addr)
		}
		return p.Dial("tcp", addr)
	}
	port := via.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[via.Scheme]
	}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(via.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if via.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: via.Hostname(), MinVersion: tls.VersionTLS12})
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	tunnel, err := connectProxy(ctx, via, addr, conn)
	if err != nil {
		_ = conn.Close()
	}
	return tunnel, err
}

// maxConnect bounds what a proxy answers: net/http reads a header of any length here.
const maxConnect = 64 << 10

// readConnect reads the proxy's answer without swallowing what the server sends right behind it.
func readConnect(req *http.Request, conn net.Conn) (net.Conn, error) {
	head := &io.LimitedReader{R: conn, N: maxConnect}
	br := bufio.NewReader(head)
	res, err := http.ReadResponse(br, req)
	if err != nil {
		return nil, fmt.Errorf("ask the proxy: %w", err)
	}
	head.N = math.MaxInt64
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the proxy answers %s", res.Status)
	}
	return &bufferedConn{Conn: conn, r: br}, nil
}

type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }
