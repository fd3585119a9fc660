package gitrepo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/backstop-dev/backstop/test/gitserver"
)

// httpProxy forwards requests and tunnels, for whoever knows the password, and counts them.
func httpProxy(t *testing.T, used *atomic.Int64) string {
	t.Helper()
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("me:proxy-pass")) {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		used.Add(1)
		if r.Method != http.MethodConnect {
			r.RequestURI = ""
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer res.Body.Close()
			w.WriteHeader(res.StatusCode)
			_, _ = io.Copy(w, res.Body)
			return
		}
		to, err := (&net.Dialer{}).DialContext(context.WithoutCancel(r.Context()), "tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		from, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, buf); _ = to.Close() }()
		_, _ = io.Copy(from, to)
		_ = from.Close()
	}))
	t.Cleanup(p.Close)
	return p.URL
}

// socksProxy is SOCKS5 with a password, as far as it is needed.
func socksProxy(t *testing.T, used *atomic.Int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		read := func(n int) []byte { b := make([]byte, n); _, _ = io.ReadFull(r, b); return b }
		read(int(read(2)[1]))
		_, _ = c.Write([]byte{5, 2})
		user := string(read(int(read(2)[1])))
		pass := string(read(int(read(1)[0])))
		if user != "me" || pass != "proxy-pass" {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
		var host string
		switch read(4)[3] {
		case 1:
			host = net.IP(read(4)).String()
		case 3:
			host = string(read(int(read(1)[0])))
		}
		port := read(2)
		to, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1]))))
		if err != nil {
			return
		}
		used.Add(1)
		_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		go func() { _, _ = io.Copy(to, r); _ = to.Close() }()
		_, _ = io.Copy(c, to)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "socks5://" + l.Addr().String()
}

func TestProxies(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http", "socks5"} {
		for _, over := range []string{"http", "https", "ssh"} {
			t.Run(over+" through "+kind, func(t *testing.T) {
				t.Parallel()
				var used atomic.Int64
				address := httpProxy(t, &used)
				if kind == "socks5" {
					address = socksProxy(t, &used)
				}
				w, _ := standard(t)
				switch over {
				case "https":
					pki, err := gitserver.NewPKI()
					if err != nil {
						t.Fatal(err)
					}
					w, _ = served(t, gitserver.Options{TLS: pki.Server(false)})
					w.src.Auth.Secret = secret("ca.crt", string(pki.CA))
				case "ssh":
					w.overSSH()
				}
				w.src.Auth.Proxy = secret("address", address, "username", "me", "password", "wrong-pass")
				if s, err := w.mirrors.Blame(t.Context(), w.src, query(repo+":"+tag1)); err == nil {
					t.Errorf("a wrong password gives %+v", s)
				} else if strings.Contains(err.Error(), "wrong-pass") {
					t.Errorf("%v holds the password", err)
				}
				w.src.Auth.Proxy = secret("address", address, "username", "me", "password", "proxy-pass")
				w.works()
				if used.Load() == 0 {
					t.Error("the proxy was not used")
				}
			})
		}
	}
}

// endless sends bytes for as long as somebody takes them, and counts them.
func endless(t *testing.T, begin string, sent *atomic.Int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, err = io.WriteString(c, begin)
			for part := bytes.Repeat([]byte("x"), 64<<10); err == nil && sent.Load() < 64<<20; {
				var n int
				n, err = c.Write(part)
				sent.Add(int64(n))
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestNoProxySendsMoreThanIsTaken(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{
		"a status without an end": "HTTP/1.1 200 ", "a header without an end": "HTTP/1.1 200 OK\r\nX: ", "nothing of HTTP": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			w.overSSH()
			var sent atomic.Int64
			w.src.Auth.Proxy = secret("address", "http://"+endless(t, begin, &sent))
			if s, err := w.mirrors.Blame(t.Context(), w.src, query(repo+":"+tag1)); err == nil {
				t.Errorf("blames %+v", s)
			}
			// What the system keeps for a connection is sent as well.
			if n := sent.Load(); n >= 64<<20 {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}
