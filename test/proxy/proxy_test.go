package proxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/test/proxy"
)

// backend is a server that counts the POSTs it saw to the end.
func backend(t *testing.T) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var done atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost {
			done.Add(1)
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
	}))
	t.Cleanup(s.Close)
	return s, &done
}

func start(t *testing.T, o proxy.Options) *proxy.Proxy {
	t.Helper()
	p, err := proxy.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func post(url, body string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	res, err := client.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func posts(r *http.Request) bool { return r.Method == http.MethodPost }

func TestTwoProxiesShareOneCount(t *testing.T) {
	server, _ := backend(t)
	tap := &proxy.Tap{}
	one := start(t, proxy.Options{Target: server.URL, Mutates: posts, Tap: tap})
	two := start(t, proxy.Options{Target: server.URL, Mutates: posts, Tap: tap})
	for i, url := range []string{one.URL + "/a", two.URL + "/b", one.URL + "/c"} {
		got, err := post(url, "x")
		if want := fmt.Sprintf("POST /%c x", 'a'+i); err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	if res, err := http.Get(one.URL + "/read"); err != nil || res.Body.Close() != nil {
		t.Fatal(err)
	}
	want := []proxy.Request{{N: 1, Method: "POST", Path: "/a"}, {N: 2, Method: "POST", Path: "/b"}, {N: 3, Method: "POST", Path: "/c"}}
	if diff := cmp.Diff(want, tap.Seen()); diff != "" {
		t.Error(diff)
	}
}

func TestACutClientNeverLearnsWhatBecameOfItsRequest(t *testing.T) {
	for _, tc := range []struct {
		when proxy.When
		seen int32
	}{{proxy.Before, 1}, {proxy.After, 2}} {
		t.Run(string(tc.when), func(t *testing.T) {
			server, done := backend(t)
			p := start(t, proxy.Options{Target: server.URL, Mutates: posts})
			var at atomic.Value
			p.Tap.Hook(proxy.At(2, tc.when, func(r proxy.Request) { at.Store(r) }))
			if _, err := post(p.URL+"/1", ""); err != nil {
				t.Fatal(err)
			}
			if got, err := post(p.URL+"/2", ""); err == nil {
				t.Errorf("the second request was answered with %q", got)
			}
			if r, _ := at.Load().(proxy.Request); r.Path != "/2" || done.Load() != tc.seen {
				t.Errorf("hook at %+v, the server saw %d requests, want %d", r, done.Load(), tc.seen)
			}
		})
	}
}

func TestAHookMayActAndLetTheRequestPass(t *testing.T) {
	server, done := backend(t)
	p := start(t, proxy.Options{Target: server.URL, Mutates: posts})
	var before atomic.Int32
	before.Store(-1)
	p.Tap.Hook(func(_ proxy.Request, when proxy.When) bool {
		if when == proxy.Before {
			before.Store(done.Load())
		}
		return false
	})
	if got, err := post(p.URL+"/1", "x"); err != nil || got != "POST /1 x" || before.Load() != 0 {
		t.Errorf("got %q, %v; before %d", got, err, before.Load())
	}
}

func TestARefusingProxyCutsStreamsAndComesBack(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "first")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/watch" {
			<-hang
		}
	}))
	defer server.Close()
	defer close(hang)
	cert := server.TLS.Certificates[0]
	p := start(t, proxy.Options{Target: server.URL, Transport: server.Client().Transport, Certificate: &cert})
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true},
		Timeout:   5 * time.Second,
	}
	res, err := client.Get(p.URL + "/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line := make([]byte, 6); res.ProtoMajor != 2 {
		t.Errorf("got HTTP/%d, want 2 as client-go speaks", res.ProtoMajor)
	} else if _, err := io.ReadFull(res.Body, line); err != nil {
		t.Fatalf("the stream's first line does not come through: %v", err)
	}
	p.Refuse()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the stream goes on")
	}
	if _, err := client.Get(p.URL); err == nil {
		t.Error("a refused connection was answered")
	}
	p.Admit()
	again, err := client.Get(p.URL)
	if err != nil {
		t.Fatalf("after Admit: %v", err)
	}
	again.Body.Close()
}

func TestAServerThatIsGoneLooksGone(t *testing.T) {
	server, _ := backend(t)
	p := start(t, proxy.Options{Target: server.URL, Mutates: posts})
	server.Close()
	if got, err := post(p.URL, ""); err == nil {
		t.Errorf("got %q, want a cut connection", got)
	}
}

func TestWhatCountsAsMutating(t *testing.T) {
	const api, git = "api", "git"
	for _, tc := range []struct {
		server, method, path string
		want                 bool
	}{
		{api, "PATCH", "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/a/kustomizations/b", true},
		{api, "PUT", "/apis/backstop.dev/v1alpha1/namespaces/events-team/rollbacks/b/status", true},
		{api, "GET", "/api/v1/pods", false},
		{api, "PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", false},
		{api, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false},
		{api, "POST", "/api/v1/namespaces/a/events", false},
		{api, "PATCH", "/apis/events.k8s.io/v1/namespaces/a/events/b", false},
		{git, "GET", "/fleet.git/info/refs?service=git-receive-pack", false},
		{git, "POST", "/fleet.git/git-upload-pack", false},
		{git, "POST", "/fleet.git/git-receive-pack", true},
	} {
		mutates := proxy.APIServer
		if tc.server == git {
			mutates = proxy.GitServer
		}
		if got := mutates(httptest.NewRequest(tc.method, tc.path, nil)); got != tc.want {
			t.Errorf("%s %s %s: got %v", tc.server, tc.method, tc.path, got)
		}
	}
	push := httptest.NewRequest("POST", "/fleet.git/git-receive-pack", nil)
	for agent, want := range map[string]bool{"git/2.39.5": false, "go-git/5.x": true} {
		push.Header.Set("User-Agent", agent)
		if got := proxy.GitPushNotBy("git/")(push); got != want {
			t.Errorf("a push by %s: got %v", agent, got)
		}
	}
}

func TestAHalfOpenProxySaysNothingAndComesBack(t *testing.T) {
	server, done := backend(t)
	p := start(t, proxy.Options{Target: server.URL})
	client := &http.Client{Transport: &http.Transport{}}
	get := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	if err := get(time.Minute); err != nil {
		t.Fatal(err)
	}
	p.HalfOpen()
	if err := get(100 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want silence", err)
	}
	if n := done.Load(); n != 1 {
		t.Errorf("the server saw %d requests, want the first alone", n)
	}
	p.WhollyOpen()
	if err := get(time.Minute); err != nil {
		t.Errorf("it does not come back: %v", err)
	}
}

func TestAnImpostorIsNotTrusted(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	cert := server.TLS.Certificates[0]
	p := start(t, proxy.Options{Target: server.URL, Transport: server.Client().Transport, Certificate: &cert})
	get := func() error {
		res, err := server.Client().Get(p.URL)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	p.Impostor()
	var unknown x509.UnknownAuthorityError
	if err := get(); !errors.As(err, &unknown) {
		t.Errorf("got %v, want that nobody knows who signed it", err)
	}
	p.Genuine()
	if err := get(); err != nil {
		t.Errorf("it does not come back: %v", err)
	}
}
