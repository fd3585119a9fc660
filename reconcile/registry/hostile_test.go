package registry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

const (
	ociIndex = "application/vnd.oci.image.index.v1+json"
	ociImage = "application/vnd.oci.image.manifest.v1+json"
)

func TestOneRegistryCannotSpeakForAnother(t *testing.T) {
	honest, liar := start(t, registrystub.Options{}), start(t, registrystub.Options{})
	digest := honest.push("app", "v1", "linux/amd64", "linux/arm64")
	forged := `{"schemaVersion":2,"manifests":[]}`
	liar.push("app", "v0")
	for _, kind := range []string{ociIndex, "application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json"} {
		r := registry.New(registry.Options{})
		liar.Heal()
		liar.Fail("HEAD /v2/app/manifests/", registrystub.Fault{Header: map[string]string{"Content-Type": ociIndex, "Docker-Content-Digest": digest}})
		liar.Fail("GET /v2/app/manifests/", registrystub.Fault{Body: forged, Header: map[string]string{"Content-Type": kind}})
		q := reconcile.Question{Image: liar.Host() + "/app@" + digest, Platforms: []string{"linux/amd64"}}
		if got := r.Prove(context.Background(), q); got.Finding != reconcile.FindingUnproved {
			t.Errorf("%s: the liar is believed: %s %s", kind, got.Finding, got.Sentence)
		}
		q.Image = honest.Host() + "/app@" + digest
		if got := r.Prove(context.Background(), q); got.Finding != reconcile.FindingPresent {
			t.Errorf("%s: the honest one is not believed any more: %s %s", kind, got.Finding, got.Sentence)
		}
	}
}

func TestAnIndexOfIndexesIsFollowedSoFar(t *testing.T) {
	p := start(t, registrystub.Options{})
	digest := p.push("app", "v0", "linux/amd64")
	wrap := func(tag, kind, digest string) string {
		raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`,
			ociIndex, kind, digest)
		p.must(p.PutManifest("app", tag, ociIndex, []byte(raw)))
		got, err := registry.New(registry.Options{}).ResolveDigest(context.Background(), p.Host()+"/app:"+tag, reconcile.Access{})
		p.must(err)
		return got
	}
	kind := ociImage
	for depth := 1; depth <= 5; depth++ {
		digest = wrap(fmt.Sprintf("d%d", depth), kind, digest)
		kind = ociIndex
		got := p.prove(reconcile.Question{Image: fmt.Sprintf("%s/app:d%d", p.Host(), depth), Platforms: []string{"linux/amd64"}, Deep: true})
		want := reconcile.FindingPresent
		if depth > 3 {
			want = reconcile.FindingUnproved
		}
		if got.Finding != want {
			t.Errorf("depth %d is %s: %s", depth, got.Finding, got.Sentence)
		}
	}
}

func TestAnIndexThatMakesWorkIsBounded(t *testing.T) {
	p := start(t, registrystub.Options{})
	var entries []string
	for i := range 60 {
		digest := p.push("app", fmt.Sprintf("v%d", i))
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1}`, ociImage, digest))
	}
	p.must(p.PutManifest("app", "many", ociIndex, []byte(`{"schemaVersion":2,"manifests":[`+strings.Join(entries, ",")+`]}`)))
	got := p.prove(reconcile.Question{Image: p.Host() + "/app:many", Platforms: []string{"linux/s390x"}})
	if got.Finding != reconcile.FindingUnproved || !strings.Contains(got.Sentence, "too many") {
		t.Errorf("got %s %s: %s", got.Finding, got.Cause, got.Sentence)
	}
	if n := p.Count("GET", "/v2/app/"); n > 40 {
		t.Errorf("it cost %d GETs", n)
	}
	entries = nil
	for i := range 1000 {
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:%064x","size":1}`, "application/x", i))
	}
	p.must(p.PutManifest("app", "more", ociIndex, []byte(`{"schemaVersion":2,"manifests":[`+strings.Join(entries, ",")+`]}`)))
	got = p.prove(reconcile.Question{Image: p.Host() + "/app:more", Platforms: []string{"linux/s390x"}})
	if got.Finding != reconcile.FindingUnproved || !strings.Contains(got.Sentence, "too many") {
		t.Errorf("got %s %s: %s", got.Finding, got.Cause, got.Sentence)
	}
}

func TestAHostilePlatformStaysInItsQuotes(t *testing.T) {
	p := start(t, registrystub.Options{})
	digest := p.push("app", "v0")
	raw := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":1,"platform":{"os":"a\n\u001b[31m","architecture":"b"}}]}`, ociImage, digest)
	p.must(p.PutManifest("app", "v1", ociIndex, []byte(raw)))
	got := p.prove(reconcile.Question{Image: p.Host() + "/app:v1", Platforms: []string{"linux/amd64"}})
	if got.Cause != v1alpha1.CausePlatformMismatch || strings.ContainsAny(got.Sentence, "\n\x1b") {
		t.Errorf("got %s: %q", got.Cause, got.Sentence)
	}
}

func FuzzManifest(f *testing.F) {
	stub, err := registrystub.Start(registrystub.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(stub.Close)
	digest, err := stub.PushImage("app", "v1")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		`{}`, `null`, `[]`, `{"manifests":null}`, `{"manifests":[]}`, `{"manifests":[{}]}`, `{"manifests":[null]}`, `{"config":{}}`, `{"layers":[{}]}`,
		`{"schemaVersion":2,"manifests":[{"mediaType":"` + ociImage + `","digest":"` + digest + `","size":1}]}`,
		`{"schemaVersion":2,"manifests":[{"mediaType":"` + ociIndex + `","digest":"` + digest + `","size":1}]}`,
		`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digest + `","size":-1},"layers":[{"digest":"` + zeros + `"}]}`,
	} {
		f.Add([]byte(s), ociIndex, "linux/amd64", true)
		f.Add([]byte(s), ociImage, "linux/arm/v7", false)
	}
	r := registry.New(registry.Options{Timeout: 5 * time.Second})
	f.Fuzz(func(t *testing.T, raw []byte, kind, platform string, deep bool) {
		if strings.ContainsAny(kind, "\r\n\x00") || stub.PutManifest("app", "fuzz", kind, raw) != nil {
			return
		}
		image := stub.Host() + "/app:fuzz"
		if digest, err := r.ResolveDigest(context.Background(), image, reconcile.Access{}); err == nil {
			image += "@" + digest
		}
		got := r.Prove(context.Background(), reconcile.Question{Image: image, Platforms: []string{platform}, Deep: deep})
		switch got.Finding {
		case reconcile.FindingAbsent:
			if got.Cause != v1alpha1.CausePlatformMismatch && got.Cause != v1alpha1.CauseBlobMissing {
				t.Errorf("absent for %s: %s", got.Cause, got.Sentence)
			}
		case reconcile.FindingUnproved:
			if got.Cause == "" || got.Cause.ImageFault() {
				t.Errorf("unproved for %q: %s", got.Cause, got.Sentence)
			}
		case reconcile.FindingPresent:
		default:
			t.Errorf("finding %q", got.Finding)
		}
		if got.Sentence == "" || strings.ContainsAny(got.Sentence, "\n\x00\x1b") {
			t.Errorf("sentence %q", got.Sentence)
		}
	})
}
