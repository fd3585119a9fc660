package registrystub_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/backstop-dev/backstop/test/registrystub"
)

func start(t *testing.T, o registrystub.Options) *registrystub.Registry {
	t.Helper()
	r, err := registrystub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func push(t *testing.T, r *registrystub.Registry, repo, tag string, platforms ...string) string {
	t.Helper()
	digest, err := r.PushImage(repo, tag, platforms...)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func options(r *registrystub.Registry, auth authn.Authenticator) []remote.Option {
	tr := &http.Transport{}
	if ca := r.CA(); len(ca) > 0 {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return []remote.Option{remote.WithTransport(tr), remote.WithAuth(auth),
		remote.WithRetryStatusCodes(), remote.WithRetryPredicate(func(error) bool { return false })}
}

func get(r *registrystub.Registry, image string, auth authn.Authenticator) (*remote.Descriptor, error) {
	ref, err := name.ParseReference(r.Host() + "/" + image)
	if err != nil {
		return nil, err
	}
	return remote.Get(ref, options(r, auth)...)
}

func status(err error) int {
	var t *transport.Error
	if errors.As(err, &t) {
		return t.StatusCode
	}
	return 0
}

func TestARealClientPullsWhatWasPushed(t *testing.T) {
	bob := &registrystub.Login{Username: "bob", Password: "s3cr3t"}
	in := authn.FromConfig(authn.AuthConfig{Username: "bob", Password: "s3cr3t"})
	out := authn.FromConfig(authn.AuthConfig{Username: "bob", Password: "wrong"})
	tests := map[string]struct {
		options registrystub.Options
		auth    authn.Authenticator
		refused []authn.Authenticator
	}{
		"open over HTTP":                 {registrystub.Options{}, authn.Anonymous, nil},
		"open over TLS":                  {registrystub.Options{TLS: true}, authn.Anonymous, nil},
		"basic over TLS":                 {registrystub.Options{TLS: true, Basic: bob}, in, []authn.Authenticator{out, authn.Anonymous}},
		"token over HTTP":                {registrystub.Options{Token: bob}, in, []authn.Authenticator{out, authn.Anonymous}},
		"token for everybody over HTTPS": {registrystub.Options{TLS: true, Token: &registrystub.Login{}}, authn.Anonymous, nil},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			r := start(t, tt.options)
			want := push(t, r, "team/app", "v1", "linux/arm64")
			desc, err := get(r, "team/app:v1", tt.auth)
			if err != nil {
				t.Fatal(err)
			}
			if desc.Digest.String() != want {
				t.Errorf("digest is %s, pushed was %s", desc.Digest, want)
			}
			img, err := desc.Image()
			if err != nil {
				t.Fatal(err)
			}
			layers, err := img.Layers()
			if err != nil || len(layers) != 1 {
				t.Fatalf("%d layers, %v", len(layers), err)
			}
			body, err := layers[0].Compressed()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, body); err != nil {
				t.Error(err)
			}
			config, err := img.ConfigFile()
			if err != nil || config.Architecture != "arm64" || config.OS != "linux" {
				t.Errorf("config is for %s/%s, %v", config.OS, config.Architecture, err)
			}
			for _, auth := range tt.refused {
				if _, err := get(r, "team/app:v1", auth); status(err) != http.StatusUnauthorized {
					t.Errorf("a client that may not was answered %v", err)
				}
			}
		})
	}
}

func TestAnIndexHoldsEveryPlatform(t *testing.T) {
	r := start(t, registrystub.Options{})
	push(t, r, "app", "v1", "linux/amd64", "linux/arm64/v8", "")
	desc, err := get(r, "app:v1", authn.Anonymous)
	if err != nil {
		t.Fatal(err)
	}
	index, err := desc.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range m.Manifests {
		p := c.Platform
		if p == nil {
			p = &v1.Platform{}
		}
		got = append(got, p.String())
	}
	if want := []string{"linux/amd64", "linux/arm64/v8", ""}; !slices.Equal(got, want) {
		t.Errorf("platforms are %q, want %q", got, want)
	}
	if blobs, err := r.Blobs("app", "v1"); err != nil || len(blobs) != 6 {
		t.Errorf("%d blobs, %v, want 3 configs and 3 layers", len(blobs), err)
	}
}

func TestNoTwoImagesShareALayer(t *testing.T) {
	r := start(t, registrystub.Options{})
	if a, b := push(t, r, "app", "v1"), push(t, r, "app", "v2"); a == b {
		t.Errorf("both are %s", a)
	}
}

func TestWhatIsDeletedIsGone(t *testing.T) {
	r := start(t, registrystub.Options{})
	digest := push(t, r, "app", "v1")
	blobs, err := r.Blobs("app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteBlob("app", blobs[1]); err != nil {
		t.Fatal(err)
	}
	if resp := head(t, r, "/v2/app/blobs/"+blobs[1]); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the layer answers %s", resp.Status)
	}
	if err := r.DeleteTag("app", "v1"); err != nil {
		t.Fatal(err)
	}
	if _, err := get(r, "app:v1", authn.Anonymous); status(err) != http.StatusNotFound {
		t.Errorf("the tag answers %v", err)
	}
	if _, err := get(r, "app@"+digest, authn.Anonymous); err != nil {
		t.Errorf("the digest went with the tag: %v", err)
	}
	if err := r.DeleteTag("app", "v1"); err == nil {
		t.Error("a tag could be deleted twice")
	}
}

func TestFaultsHitWhatTheyNameAndNothingElse(t *testing.T) {
	r := start(t, registrystub.Options{})
	push(t, r, "app", "v1")
	push(t, r, "other", "v1")
	stop := r.Fail("GET /v2/app/", registrystub.Status(503))
	if _, err := get(r, "app:v1", authn.Anonymous); status(err) != 503 {
		t.Errorf("the fault gave %v", err)
	}
	if resp := head(t, r, "/v2/app/manifests/v1"); resp.StatusCode != 200 {
		t.Errorf("another method answers %s", resp.Status)
	}
	if _, err := get(r, "other:v1", authn.Anonymous); err != nil {
		t.Errorf("another path answers %v", err)
	}
	stop()
	if _, err := get(r, "app:v1", authn.Anonymous); err != nil {
		t.Errorf("after its end it gave %v", err)
	}
	r.Fail("/v2/app/manifests/", registrystub.Fault{Status: 500, Times: 1, After: 1})
	for i, want := range []int{200, 500, 200} {
		if resp := head(t, r, "/v2/app/manifests/v1"); resp.StatusCode != want {
			t.Errorf("request %d answers %s, want %d", i, resp.Status, want)
		}
	}
	r.Fail("/v2/", registrystub.TooMany("7"))
	if resp := head(t, r, "/v2/app/manifests/v1"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "7" {
		t.Errorf("the rate limit answers %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	r.Heal()
	if resp := head(t, r, "/v2/app/manifests/v1"); resp.StatusCode != 200 {
		t.Errorf("healed it answers %s", resp.Status)
	}
}

func TestAHangingRegistryClosesAndACutAnswerFails(t *testing.T) {
	r, err := registrystub.Start(registrystub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Fail("/hang", registrystub.Fault{Hang: true})
	r.Fail("/cut", registrystub.Fault{Cut: true})
	r.Fail("/half", registrystub.Fault{Cut: true, Body: "0123456789"})
	r.Fail("/endless", registrystub.Fault{Endless: true})
	if _, err := http.Get(r.URL() + "/cut"); err == nil {
		t.Error("a cut request was answered")
	}
	resp, err := http.Get(r.URL() + "/half")
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "01234" {
		t.Errorf("half an answer is %q, %v", body, err)
	}
	resp, err = http.Get(r.URL() + "/endless")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Errorf("the endless answer ended after %d bytes: %v", n, err)
	}
	resp.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", r.URL()+"/hang", nil)
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the hanging request gave %v", err)
	}
	hung, sent := make(chan error, 1), make(chan struct{})
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }}
	req, _ = http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "GET", r.URL()+"/hang", nil)
	go func() {
		_, err := http.DefaultClient.Do(req)
		hung <- err
	}()
	<-sent
	r.Close()
	if err := <-hung; err == nil {
		t.Error("the hanging request was answered")
	}
}

func TestRequestsAreCounted(t *testing.T) {
	r := start(t, registrystub.Options{Latency: time.Millisecond})
	push(t, r, "app", "v1")
	if n := r.Count("", "/"); n != 0 {
		t.Errorf("pushing from inside counted %d requests", n)
	}
	head(t, r, "/v2/app/manifests/v1")
	head(t, r, "/v2/app/manifests/v2")
	if n := r.Count("HEAD", "/v2/app/manifests/"); n != 2 {
		t.Errorf("counted %d HEAD requests", n)
	}
	if n := r.Count("GET", "/v2/app/manifests/"); n != 0 {
		t.Errorf("counted %d GET requests", n)
	}
	if got := strings.Join(r.Requests(), ","); got != "HEAD /v2/app/manifests/v1,HEAD /v2/app/manifests/v2" {
		t.Error(got)
	}
	r.Forget()
	if n := len(r.Requests()); n != 0 {
		t.Errorf("%d requests after Forget", n)
	}
}

func TestATokenIsForOneRepositoryAndExpires(t *testing.T) {
	r := start(t, registrystub.Options{Token: &registrystub.Login{}})
	push(t, r, "app", "v1")
	push(t, r, "other", "v1")
	if _, err := get(r, "app:v1", authn.Anonymous); err != nil {
		t.Fatal(err)
	}
	tokens := r.Expire()
	if len(tokens) != 1 {
		t.Fatalf("%d tokens were given", len(tokens))
	}
	req, _ := http.NewRequest("HEAD", r.URL()+"/v2/app/manifests/v1", nil)
	req.Header.Set("Authorization", "Bearer "+tokens[0])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 401 || !strings.Contains(resp.Header.Get("WWW-Authenticate"), `scope="repository:app:pull"`) {
		t.Errorf("an expired token is answered %s, %s", resp.Status, resp.Header.Get("WWW-Authenticate"))
	}
}

func head(t *testing.T, r *registrystub.Registry, path string) *http.Response {
	t.Helper()
	resp, err := http.Head(r.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}
