package registry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// dockerConfig is a pull secret for one registry.
func dockerConfig(host, user, password string) []byte {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth)
}

func TestCredentialsLetTheClientIn(t *testing.T) {
	bob := &registrystub.Login{Username: "bob", Password: "s3cr3t-pw"}
	for scheme, o := range map[string]registrystub.Options{
		"basic over TLS": {TLS: true, Basic: bob}, "basic over HTTP": {Basic: bob},
		"token over TLS": {TLS: true, Token: bob}, "token over HTTP": {Token: bob},
	} {
		t.Run(scheme, func(t *testing.T) {
			p := start(t, o)
			p.push("team/app", "v1", "linux/amd64", "linux/arm64")
			host, good := p.Host(), dockerConfig(p.Host(), bob.Username, bob.Password)
			tests := map[string]struct {
				configs [][]byte
				finding reconcile.Finding
				says    string
			}{
				"no secret":                               {nil, reconcile.FindingUnproved, "which has no credentials for it"},
				"the right one":                           {[][]byte{good}, reconcile.FindingPresent, "has team/app:v1"},
				"the wrong one":                           {[][]byte{dockerConfig(host, "bob", "wrong")}, reconcile.FindingUnproved, "with the credentials of pull secret 1"},
				"the wrong one, then the right one":       {[][]byte{dockerConfig(host, "bob", "wrong"), good}, reconcile.FindingPresent, "has team/app:v1"},
				"one for another registry":                {[][]byte{dockerConfig("reg.example.com", "bob", bob.Password)}, reconcile.FindingUnproved, "which has no credentials for it"},
				"one that is no JSON":                     {[][]byte{[]byte("nonsense")}, reconcile.FindingUnproved, "; pull secret 1 is no docker configuration"},
				"one that is no JSON, then the right one": {[][]byte{[]byte("nonsense"), good}, reconcile.FindingPresent, "has team/app:v1"},
				"a credential helper":                     {[][]byte{fmt.Appendf(nil, `{"auths":{%q:{}},"credHelpers":{%q:"evil"},"credsStore":"evil"}`, host, host)}, reconcile.FindingUnproved, "; pull secret 1 names a credential helper, which is not run"},
				"the legacy form":                         {[][]byte{fmt.Appendf(nil, `{%q:{"username":"bob","password":%q,"email":"b@b"}}`, host, bob.Password)}, reconcile.FindingPresent, "has team/app:v1"},
				"a path":                                  {[][]byte{dockerConfig("https://"+host+"/team", "bob", bob.Password)}, reconcile.FindingPresent, "has team/app:v1"},
				"a path of others":                        {[][]byte{dockerConfig(host+"/others", "bob", bob.Password)}, reconcile.FindingUnproved, "which has no credentials for it"},
			}
			for name, tt := range tests {
				t.Run(name, func(t *testing.T) {
					p.access.DockerConfigs = tt.configs
					got := p.prove(reconcile.Question{Image: host + "/team/app:v1", Platforms: []string{"linux/amd64"}, Deep: true})
					if got.Finding != tt.finding || !strings.Contains(got.Sentence, tt.says) {
						t.Errorf("got %s %s: %s, want %s …%s…", got.Finding, got.Cause, got.Sentence, tt.finding, tt.says)
					}
					if got.Finding == reconcile.FindingUnproved && got.Cause != v1alpha1.CauseUnauthorized {
						t.Errorf("unproved for %s", got.Cause)
					}
				})
			}
		})
	}
}

func TestAnAbsenceIsProvedWithCredentials(t *testing.T) {
	bob := &registrystub.Login{Username: "bob", Password: "s3cr3t-pw"}
	p := start(t, registrystub.Options{TLS: true, Token: bob})
	p.push("app", "v1")
	p.access.DockerConfigs = [][]byte{dockerConfig(p.Host(), "bob", bob.Password)}
	got := p.prove(reconcile.Question{Image: p.Host() + "/app:v9"})
	if got.Finding != reconcile.FindingAbsent || got.Cause != v1alpha1.CauseNotFound {
		t.Errorf("got %s %s: %s", got.Finding, got.Cause, got.Sentence)
	}
}

func TestATokenThatExpiresIsFetchedAnew(t *testing.T) {
	p := start(t, registrystub.Options{TLS: true, Token: &registrystub.Login{}})
	p.push("app", "v1")
	r := registry.New(registry.Options{})
	for _, tag := range []string{"v1", "v2", "v3"} {
		got := r.Prove(context.Background(), reconcile.Question{Image: p.Host() + "/app:" + tag, Access: p.access})
		if got.Finding == reconcile.FindingUnproved {
			t.Errorf("%s: %s", tag, got.Sentence)
		}
		p.Expire()
	}
}

func TestACloudProviderNeedsAPullSecret(t *testing.T) {
	p := start(t, registrystub.Options{Basic: &registrystub.Login{Username: "AWS", Password: "pw"}})
	p.push("app", "v1")
	for _, provider := range []string{"aws", "azure", "gcp"} {
		p.access = reconcile.Access{Provider: provider}
		got := p.prove(reconcile.Question{Image: p.Host() + "/app:v1"})
		if got.Finding != reconcile.FindingUnproved || got.Cause != v1alpha1.CauseUnauthorized ||
			!strings.Contains(got.Sentence, "provider "+strconv.Quote(provider)+", which is not supported yet") {
			t.Errorf("%s: got %s %s: %s", provider, got.Finding, got.Cause, got.Sentence)
		}
		p.access.DockerConfigs = [][]byte{dockerConfig(p.Host(), "AWS", "pw")}
		if got := p.prove(reconcile.Question{Image: p.Host() + "/app:v1"}); got.Finding != reconcile.FindingPresent {
			t.Errorf("%s with a pull secret: got %s: %s", provider, got.Finding, got.Sentence)
		}
	}
	p.access = reconcile.Access{Provider: "generic"}
	if got := p.prove(reconcile.Question{Image: p.Host() + "/app:v1"}); !strings.Contains(got.Sentence, "401") {
		t.Errorf("generic: %s", got.Sentence)
	}
}

func TestTheProxyIsUsedWithItsPassword(t *testing.T) {
	p := start(t, registrystub.Options{TLS: true})
	p.push("app", "v1")
	var connects notes
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte("bob:hunter2"))
		if req.Method != http.MethodConnect || req.Header.Get("Proxy-Authorization") != want {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		connects.add(req.Host)
		tunnel(t, w, p.Host())
	}))
	t.Cleanup(proxy.Close)
	// The certificate is also for example.com, which only the proxy can find.
	image := "example.com/app:v1"
	p.access.Proxy = strings.Replace(proxy.URL, "http://", "http://bob:hunter2@", 1)
	if got := p.prove(reconcile.Question{Image: image}); got.Finding != reconcile.FindingPresent {
		t.Errorf("got %s %s: %s", got.Finding, got.Cause, got.Sentence)
	}
	if hosts := connects.all(); len(hosts) == 0 || hosts[0] != "example.com:443" {
		t.Errorf("the proxy was asked for %q", hosts)
	}
	p.access.Proxy = strings.Replace(proxy.URL, "http://", "http://bob:wrong-hunter@", 1)
	got := p.prove(reconcile.Question{Image: image})
	if got.Cause != v1alpha1.CauseRegistryUnavailable || !strings.Contains(got.Sentence, "its proxy refuses this client (407") {
		t.Errorf("with a wrong password got %s: %s", got.Cause, got.Sentence)
	}
}

// tunnel connects a CONNECT request to an address.
func tunnel(t *testing.T, w http.ResponseWriter, to string) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		t.Error(err)
		return
	}
	client, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
	client.Close()
}

func TestPlainHTTPIsOnlySpokenWhereItIsAllowed(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("app", "v1")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodConnect {
			tunnel(t, w, p.Host())
			return
		}
		req.RequestURI = ""
		req.URL.Host = p.Host()
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(proxy.Close)
	for _, host := range []string{"reg.example.com", "10.1.2.3:5000"} {
		p.access = reconcile.Access{Proxy: proxy.URL}
		got := p.prove(reconcile.Question{Image: host + "/app:v1"})
		if got.Finding != reconcile.FindingUnproved || !strings.Contains(got.Sentence, "insecure: true") {
			t.Errorf("%s: got %s: %s", host, got.Finding, got.Sentence)
		}
		p.access.Insecure = true
		if got := p.prove(reconcile.Question{Image: host + "/app:v1"}); got.Finding != reconcile.FindingPresent {
			t.Errorf("%s, insecure: got %s: %s", host, got.Finding, got.Sentence)
		}
	}
}

func TestCredentialsDoNotFollowARedirect(t *testing.T) {
	for name, o := range map[string]registrystub.Options{
		"basic": {Basic: &registrystub.Login{Username: "bob", Password: "s3cr3t-pw"}},
		"token": {Token: &registrystub.Login{Username: "bob", Password: "s3cr3t-pw"}},
	} {
		t.Run(name, func(t *testing.T) {
			var seen notes
			storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				seen.add(req.Header.Get("Authorization"))
				w.Header().Set("Content-Length", "0")
			}))
			t.Cleanup(storage.Close)
			p := start(t, o)
			p.push("app", "v1")
			p.Fail("/v2/app/blobs/", registrystub.Redirect(strings.Replace(storage.URL, "127.0.0.1", "localhost", 1)+"/blob?sig=abc"))
			p.access.DockerConfigs = [][]byte{dockerConfig(p.Host(), "bob", "s3cr3t-pw")}
			got := p.prove(reconcile.Question{Image: p.Host() + "/app:v1", Deep: true})
			if len(seen.all()) == 0 {
				t.Fatalf("the redirect was not followed: %s", got.Sentence)
			}
			if told := seen.all(); strings.Join(told, "") != "" {
				t.Errorf("the storage was told %q", told)
			}
		})
	}
}

func TestAStorageWithoutTheBlobIsNoProof(t *testing.T) {
	storage := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(storage.Close)
	p := start(t, registrystub.Options{})
	p.push("app", "v1")
	p.Fail("/v2/app/blobs/", registrystub.Redirect(storage.URL))
	got := p.prove(reconcile.Question{Image: p.Host() + "/app:v1", Deep: true})
	if got.Finding != reconcile.FindingUnproved || !strings.Contains(got.Sentence, "its storage does not") {
		t.Errorf("got %s %s: %s", got.Finding, got.Cause, got.Sentence)
	}
}

func TestAStorageThatOnlySignsGETsIsAskedForOneByte(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("app", "v1")
	var methods notes
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		methods.add(req.Method + " " + req.Header.Get("Range"))
		if req.Method != http.MethodGet {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inside := httptest.NewRequest(http.MethodGet, "http://"+p.Host()+req.URL.Path, nil)
		inside.RequestURI = ""
		resp, err := p.RoundTrip(inside)
		if err != nil {
			t.Error(err)
		}
		body, _ := io.ReadAll(resp.Body)
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
	}))
	t.Cleanup(storage.Close)
	for _, digest := range p.blobs("app", "v1") {
		path := "/v2/app/blobs/" + digest
		p.Fail(path, registrystub.Redirect(storage.URL+path))
	}
	got := p.prove(reconcile.Question{Image: p.Host() + "/app:v1", Deep: true})
	if got.Finding != reconcile.FindingPresent {
		t.Errorf("got %s %s: %s after %q", got.Finding, got.Cause, got.Sentence, methods.all())
	}
}

func TestNoSecretIsSaid(t *testing.T) {
	const password, token, proxyPassword, signature = "s3cr3t-password", "s3cr3t-bearer", "s3cr3t-proxy", "s3cr3t-signature"
	encoded := base64.StdEncoding.EncodeToString([]byte("bob:" + password))
	echo := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		said := req.Header.Get("Authorization") + " " + password + " " + token + " " + signature
		w.Header().Set("Location", "https://bob:"+password+"@127.0.0.1:1/x?sig="+signature)
		w.Header().Set("Docker-Content-Digest", said)
		w.Header().Set("Content-Type", said)
		w.Header().Set("Retry-After", said)
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token?sig=%s",service=%q`, req.Host, signature, said))
		switch {
		case strings.HasSuffix(req.URL.Path, "/v2/"):
			w.WriteHeader(http.StatusUnauthorized)
		case req.URL.Path == "/token" && strings.HasPrefix(req.Header.Get("Authorization"), "Basic "):
			_, _ = io.WriteString(w, `{"token":"`+token+`"}`)
		default:
			status := http.StatusOK
			_, _ = fmt.Sscanf(req.URL.Path[strings.LastIndex(req.URL.Path, "s")+1:], "%d", &status)
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, said, said)
		}
	}))
	t.Cleanup(echo.Close)
	hostport := strings.TrimPrefix(echo.URL, "https://")
	p := start(t, registrystub.Options{TLS: true})
	accesses := map[string]reconcile.Access{
		"basic":   {DockerConfigs: [][]byte{dockerConfig(hostport, "bob", password)}},
		"bearer":  {DockerConfigs: [][]byte{fmt.Appendf(nil, `{"auths":{%q:{"registrytoken":%q}}}`, hostport, token)}},
		"broken":  {DockerConfigs: [][]byte{[]byte(`{"auths":{"` + hostport + `":{"auth":"` + password + `"}}`)}},
		"proxied": {Proxy: "http://bob:" + proxyPassword + "@127.0.0.1:1", DockerConfigs: [][]byte{dockerConfig(hostport, "bob", password)}},
		"no URL":  {Proxy: "http://bob:" + proxyPassword + "@[", DockerConfigs: [][]byte{dockerConfig(hostport, "bob", password)}},
	}
	var logged bytes.Buffer
	for name, access := range accesses {
		access.CA = p.CA()
		access.ClientKey = nil
		logger := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		for _, status := range []int{200, 302, 400, 401, 403, 404, 429, 500} {
			r := registry.New(registry.Options{Logger: logger, Timeout: 2 * time.Second})
			image := fmt.Sprintf("%s/app:s%d", hostport, status)
			ctx := context.Background()
			proof := r.Prove(ctx, reconcile.Question{Image: image, Platforms: []string{"linux/amd64"}, Deep: true, Access: access})
			_, digestErr := r.ResolveDigest(ctx, image, access)
			_, tagsErr := r.Tags(ctx, hostport+"/app", access, 5)
			said := fmt.Sprintf("%+v\n%v\n%v\n%+v\n%s", proof, digestErr, tagsErr, access, logged.String())
			for _, secret := range []string{password, token, proxyPassword, signature, encoded, "s3cr3t"} {
				if strings.Contains(said, secret) {
					t.Fatalf("%s, %d: %s is in\n%s", name, status, secret, said)
				}
			}
			if proof.Finding != reconcile.FindingUnproved {
				t.Errorf("%s, %d: %s: %s", name, status, proof.Finding, proof.Sentence)
			}
		}
	}
	if !strings.Contains(logged.String(), "asked the registry") {
		t.Error("nothing was logged, so nothing was tested")
	}
}

func (p *peer) blobs(repo, tag string) []string {
	p.t.Helper()
	blobs, err := p.Blobs(repo, tag)
	p.must(err)
	return blobs
}
