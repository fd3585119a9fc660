package slack

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/test/slackstub"
)

func TestOnlySlacksHostsAndThoseThatThePlatformNames(t *testing.T) {
	named := Hosts{"127.0.0.1", "gateway.example:8443"}
	for address, want := range map[string]bool{
		"https://slack.com/api/":               true,
		"https://slack.com:443/api/":           true,
		"wss://wss-primary.slack.com/link/":    true,
		"https://acme.enterprise.slack.com/":   true,
		"https://SLACK-GOV.com/api/":           true,
		"http://127.0.0.1:8080/api/":           true,
		"ws://127.0.0.1:8080/link/":            true,
		"https://gateway.example:8443/api/":    true,
		"https://gateway.example/api/":         false,
		"https://slack.com.evil.example/api/":  false,
		"https://evilslack.com/api/":           false,
		"http://slack.com/api/":                false,
		"ws://wss-primary.slack.com/link/":     false,
		"https://slack.com:8443/api/":          false,
		"https://169.254.169.254/latest/":      false,
		"https://slack.com@evil.example/api/":  false,
		"https://evil.example/slack.com/api/":  false,
		"https://evil.example?host=slack.com/": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := named.Allow(u); got != want {
			t.Errorf("%s is allowed: %v, want %v", address, got, want)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	led := make(chan string, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		led <- r.Form.Get("token")
	}))
	defer elsewhere.Close()
	gateway := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer gateway.Close()
	apps := &Apps{Reader: acme(gateway.URL + "/api/"), Hosts: Hosts{"127.0.0.1"}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	apps.Refresh(t.Context(), []types.NamespacedName{provider1})
	select {
	case token := <-led:
		t.Errorf("the redirect was followed with the token %q", token)
	default:
	}
	if c := apps.Condition(provider1, nil); c.Reason != "Unreachable" {
		t.Errorf("the condition is %+v", c)
	}
}

// TestTheProxyCountsForBoth sends the Web API and the WebSocket through a proxy that asks for a password.
func TestTheProxyCountsForBoth(t *testing.T) {
	var mu sync.Mutex
	var through []string
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:pass word"))
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		through = append(through, r.Method)
		mu.Unlock()
		if r.Header.Get("Proxy-Authorization") != want {
			rw.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			r.RequestURI = ""
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				rw.WriteHeader(http.StatusBadGateway)
				return
			}
			defer res.Body.Close()
			for k, v := range res.Header {
				rw.Header()[k] = v
			}
			rw.WriteHeader(res.StatusCode)
			_, _ = io.Copy(rw, res.Body)
			return
		}
		tunnel(rw, r)
	}))
	defer proxy.Close()
	w, apps := real(t, slackstub.Options{}, func(w *slackstub.Workspace, o *objects) {
		with(o, "proxySecretRef", "proxy", map[string]string{"address": proxy.URL, "username": "user", "password": "pass word"})
	})
	if c := apps.Condition(provider1, nil); c.Reason != "Ready" {
		t.Fatalf("through the proxy: %+v", c)
	}
	app := apps.Get(provider1)
	// As notify/slack/clicks dials.
	dialer := &websocket.Dialer{Proxy: app.Transport.Proxy, TLSClientConfig: app.Transport.TLSClientConfig}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := socketmode.New(app.Client, socketmode.OptionDialer(dialer))
	done := make(chan error, 1)
	go func() { done <- client.RunContext(ctx) }()
	for e := range client.Events {
		if e.Type == socketmode.EventTypeHello {
			break
		}
		if e.Type == socketmode.EventTypeConnectionError {
			t.Fatalf("the WebSocket: %v", e.Data.(*slack.ConnectionErrorEvent).ErrorObj)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the client ended with %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(through, " "); !strings.Contains(got, "POST") || !strings.Contains(got, "CONNECT") || w.URL() == "" {
		t.Errorf("the proxy saw %s, want the Web API and the WebSocket", got)
	}
}

// tunnel is what a proxy does with CONNECT.
func tunnel(rw http.ResponseWriter, r *http.Request) {
	out, err := net.Dial("tcp", r.Host)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	in, buffered, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		out.Close()
		return
	}
	_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func(from *bufio.ReadWriter) {
		_, _ = io.Copy(out, from)
		out.Close()
	}(buffered)
	go func() {
		_, _ = io.Copy(in, out)
		in.Close()
	}()
}
