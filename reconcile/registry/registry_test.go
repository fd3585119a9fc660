package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

var _ reconcile.Registry = (*registry.Registry)(nil)

const zeros = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// peer is a registry to ask and how to ask it.
type peer struct {
	t *testing.T
	*registrystub.Registry
	access reconcile.Access
}

func start(t *testing.T, o registrystub.Options) *peer {
	t.Helper()
	stub, err := registrystub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stub.Close)
	return &peer{t: t, Registry: stub, access: reconcile.Access{CA: stub.CA()}}
}

func (p *peer) push(repo, tag string, platforms ...string) string {
	p.t.Helper()
	digest, err := p.PushImage(repo, tag, platforms...)
	if err != nil {
		p.t.Fatal(err)
	}
	return digest
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) layer(repo, tag string) string {
	p.t.Helper()
	blobs, err := p.Blobs(repo, tag)
	p.must(err)
	return blobs[len(blobs)-1]
}

func (p *peer) prove(q reconcile.Question) reconcile.Proof {
	p.t.Helper()
	q.Access = p.access
	return registry.New(registry.Options{Timeout: 5 * time.Second}).Prove(context.Background(), q)
}

// row is a state of a registry, a question, and the answer.
type row struct {
	given   func(p *peer)
	ask     string // after the host; a whole reference with a leading "="
	plats   []string
	deep    bool
	witness string
	finding reconcile.Finding
	cause   v1alpha1.Cause
	says    string
}

func (r row) run(t *testing.T, o registrystub.Options) {
	t.Helper()
	p := start(t, o)
	p.push("team/app", "v1", "linux/amd64", "linux/arm64")
	if r.given != nil {
		r.given(p)
	}
	full := func(s string) string {
		if whole, ok := strings.CutPrefix(s, "="); ok || s == "" {
			return whole
		}
		return p.Host() + "/" + s
	}
	got := p.prove(reconcile.Question{Image: full(r.ask), Platforms: r.plats, Deep: r.deep, Witness: full(r.witness)})
	if got.Finding != r.finding || got.Cause != r.cause || !strings.Contains(got.Sentence, r.says) {
		t.Errorf("got %s %s: %s\nwant %s %s: …%s…", got.Finding, got.Cause, got.Sentence, r.finding, r.cause, r.says)
	}
	if got.At.IsZero() {
		t.Error("the proof has no time")
	}
	if (got.Finding == reconcile.FindingPresent) != (got.Cause == "") {
		t.Errorf("finding %s with cause %q", got.Finding, got.Cause)
	}
	if got.Finding == reconcile.FindingUnproved && got.Cause.ImageFault() {
		t.Errorf("unproved, but it blames the image: %s", got.Cause)
	}
}

// rows are all states.
func rows() map[string]row {
	all := map[string]row{}
	for _, some := range []map[string]row{existence(), names(), platforms(), layers(), refusals(), lies()} {
		maps.Copy(all, some)
	}
	return all
}

// bareIndex pushes an index whose entry does not name its platform.
func (p *peer) bareIndex(repo, tag, platform string) {
	p.t.Helper()
	digest := p.push(repo, "of-"+tag, platform)
	raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`+
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1}]}`, digest)
	p.must(p.PutManifest(repo, tag, "application/vnd.oci.image.index.v1+json", []byte(raw)))
}

func (p *peer) attestations(repo, tag string) {
	p.t.Helper()
	digest := p.push(repo, "of-"+tag)
	raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`+
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1,"platform":{"os":"unknown","architecture":"unknown"}}]}`, digest)
	p.must(p.PutManifest(repo, tag, "application/vnd.oci.image.index.v1+json", []byte(raw)))
}

// foreign pushes an image whose layer is fetched from elsewhere, as old images for Windows have it.
func (p *peer) foreign(repo, tag string) {
	p.t.Helper()
	config, err := p.PutBlob(repo, []byte(`{"os":"windows","architecture":"amd64"}`))
	p.must(err)
	raw := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":%q,"size":39},`+
		`"layers":[{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":%q,"size":7}]}`, config, zeros)
	p.must(p.PutManifest(repo, tag, "application/vnd.docker.distribution.manifest.v2+json", []byte(raw)))
}

func (p *peer) chart(repo, tag string) {
	p.t.Helper()
	digest, err := p.PutBlob(repo, []byte(`{}`))
	p.must(err)
	raw := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":%q,"size":2},"layers":[]}`, digest)
	p.must(p.PutManifest(repo, tag, "application/vnd.oci.image.manifest.v1+json", []byte(raw)))
}

// child is the digest of the last image in an index.
func (p *peer) child(repo, tag string) string {
	p.t.Helper()
	raw := p.raw(repo, tag)
	var index struct{ Manifests []struct{ Digest string } }
	p.must(json.Unmarshal(raw, &index))
	return index.Manifests[len(index.Manifests)-1].Digest
}

func TestEveryAnswerGetsItsFinding(t *testing.T) {
	for _, tls := range []bool{false, true} {
		over := map[bool]string{false: "HTTP", true: "TLS"}[tls]
		for name, r := range rows() {
			t.Run(name+" over "+over, func(t *testing.T) {
				t.Parallel()
				if r.ask == "DIGEST" {
					given := r.given
					digest := ""
					r.given = func(p *peer) { digest = p.push("team/app", "v1", "linux/amd64"); given(p) }
					r.ask = "team/app@"
					runDigest(t, r, &digest, tls)
					return
				}
				r.run(t, registrystub.Options{TLS: tls})
			})
		}
	}
}

// runDigest asks for the digest that was pushed.
func runDigest(t *testing.T, r row, digest *string, tls bool) {
	t.Helper()
	p := start(t, registrystub.Options{TLS: tls})
	r.given(p)
	got := p.prove(reconcile.Question{Image: p.Host() + "/" + r.ask + *digest})
	if got.Finding != r.finding || got.Cause != r.cause || !strings.Contains(got.Sentence, r.says) {
		t.Errorf("got %s %s: %s\nwant %s %s: …%s…", got.Finding, got.Cause, got.Sentence, r.finding, r.cause, r.says)
	}
}

func TestAPresentImageHasItsDigest(t *testing.T) {
	p := start(t, registrystub.Options{})
	want := p.push("app", "v1", "linux/amd64", "linux/arm64")
	for _, image := range []string{"app:v1", "app@" + want, "app:other@" + want} {
		got := p.prove(reconcile.Question{Image: p.Host() + "/" + image, Platforms: []string{"linux/amd64"}, Deep: true})
		if got.Finding != reconcile.FindingPresent || got.Digest != want {
			t.Errorf("%s is %s %s: %s, want %s", image, got.Finding, got.Digest, got.Sentence, want)
		}
	}
	got := p.prove(reconcile.Question{Image: p.Host() + "/app:v1", Platforms: []string{"linux/s390x"}})
	if got.Finding != reconcile.FindingAbsent || got.Digest != want {
		t.Errorf("one that does not fit is %s %s", got.Finding, got.Digest)
	}
}

func TestARegistryThatCannotBeReachedProvesNothing(t *testing.T) {
	quiet, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { quiet.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := gone.Addr().String()
	gone.Close()
	secure := start(t, registrystub.Options{TLS: true})
	tests := map[string]struct {
		host   string
		access reconcile.Access
		says   string
	}{
		"nobody listens":                 {refused, reconcile.Access{}, "connection refused"},
		"nobody answers":                 {quiet.Addr().String(), reconcile.Access{}, "no answer in time"},
		"the name has no address":        {"registry.invalid", reconcile.Access{}, "the name "},
		"the authority is unknown":       {secure.Host(), reconcile.Access{}, "TLS: its certificate is signed by an unknown authority"},
		"the certificate is another's":   {"localhost:" + port(secure.Host()), reconcile.Access{CA: secure.CA()}, "TLS: its certificate is for another name"},
		"the CA is none":                 {secure.Host(), reconcile.Access{CA: []byte("nonsense")}, "holds no certificate in PEM"},
		"the client certificate is none": {secure.Host(), reconcile.Access{ClientCert: []byte("a"), ClientKey: []byte("b")}, "no pair in PEM"},
		"the proxy is gone":              {"reg.example.com", reconcile.Access{Proxy: "http://bob:hunter2@" + refused}, "its proxy: connection refused"},
		"the proxy is no URL":            {"reg.example.com", reconcile.Access{Proxy: "http://bob:hunter2@pro xy"}, "proxySecretRef is no URL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := registry.New(registry.Options{Timeout: 700 * time.Millisecond})
			got := r.Prove(context.Background(), reconcile.Question{Image: tt.host + "/app:v1", Access: tt.access})
			if got.Finding != reconcile.FindingUnproved || got.Cause != v1alpha1.CauseRegistryUnavailable || !strings.Contains(got.Sentence, tt.says) {
				t.Errorf("got %s %s: %s, want …%s…", got.Finding, got.Cause, got.Sentence, tt.says)
			}
			if strings.Contains(got.Sentence, "hunter2") {
				t.Errorf("the password is in the sentence: %s", got.Sentence)
			}
		})
	}
}

func TestAHangingRegistryIsGivenUpInTime(t *testing.T) {
	for name, where := range map[string]string{"at the greeting": "/v2/", "at the manifest": "/v2/app/manifests/"} {
		t.Run(name, func(t *testing.T) {
			p := start(t, registrystub.Options{TLS: true})
			p.Fail(where, registrystub.Fault{Hang: true})
			r := registry.New(registry.Options{Timeout: 200 * time.Millisecond})
			began := time.Now()
			got := r.Prove(context.Background(), reconcile.Question{Image: p.Host() + "/app:v1", Access: p.access})
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
			if got.Cause != v1alpha1.CauseRegistryUnavailable || !strings.Contains(got.Sentence, "no answer in time") {
				t.Errorf("got %s: %s", got.Cause, got.Sentence)
			}
		})
	}
}

func TestWhoGivesUpGetsAnAnswerAtOnce(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.Fail("/v2/", registrystub.Fault{Hang: true})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	got := registry.New(registry.Options{Timeout: time.Second}).Prove(ctx, reconcile.Question{Image: p.Host() + "/app:v1"})
	if got.Finding != reconcile.FindingUnproved || got.Cause != v1alpha1.CauseUnknown {
		t.Errorf("got %s %s: %s", got.Finding, got.Cause, got.Sentence)
	}
}

func port(hostport string) string {
	_, port, _ := net.SplitHostPort(hostport)
	return port
}
