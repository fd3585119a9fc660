package registry_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

func TestAnImageIsDescribed(t *testing.T) {
	p := start(t, registrystub.Options{TLS: true})
	index := p.push("app", "both", "linux/amd64", "linux/arm64")
	single := p.push("app", "one", "linux/arm64")
	config, err := p.PutBlob("app", []byte(`{"os":"linux","architecture":"amd64","created":"2026-11-20T10:00:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":` +
		`"application/vnd.oci.image.config.v1+json","digest":"` + config + `","size":72},"layers":[]}`
	if err := p.PutManifest("app", "dated", "application/vnd.oci.image.manifest.v1+json", []byte(manifest)); err != nil {
		t.Fatal(err)
	}
	r := registry.New(registry.Options{})
	for tag, want := range map[string]registry.Description{
		"both": {Digest: index, Platforms: []string{"linux/amd64", "linux/arm64"}},
		"one":  {Digest: single, Platforms: []string{"linux/arm64"}},
	} {
		got, err := r.Describe(t.Context(), p.Host()+"/app:"+tag, p.access)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, -want +got:\n%s", tag, err, diff)
		}
	}
	got, err := r.Describe(t.Context(), p.Host()+"/app:dated", p.access)
	if err != nil || got.Built.Format("2006-01-02 15") != "2026-11-20 10" {
		t.Errorf("%+v, %v", got, err)
	}
	var e *registry.Error
	if _, err := r.Describe(t.Context(), p.Host()+"/app:gone", p.access); !errors.As(err, &e) || e.Cause != v1alpha1.CauseNotFound {
		t.Errorf("of a tag that is not there: %v", err)
	}
}

func TestTheOtherTagsOfADigestAreFound(t *testing.T) {
	p := start(t, registrystub.Options{})
	digest := p.push("app", "production-v2-200")
	for _, tag := range []string{"staging-v2-200", "latest"} {
		if err := p.Retag("app", "production-v2-200", tag); err != nil {
			t.Fatal(err)
		}
	}
	p.push("app", "staging-v1-100")
	r := registry.New(registry.Options{})
	image := p.Host() + "/app:production-v2-200@" + digest
	tags, err := r.Tags(t.Context(), p.Host()+"/app", p.access, 100)
	if err != nil {
		t.Fatal(err)
	}
	same, more, err := r.Aliases(t.Context(), image, append(tags, "gone"), p.access)
	slices.Sort(same)
	if err != nil || more || strings.Join(same, " ") != "latest staging-v2-200" {
		t.Errorf("%q, %v, %v", same, more, err)
	}
	// The most alike are looked at first.
	for n := range 60 {
		tags = append(tags, fmt.Sprintf("gone-%d", n))
	}
	same, more, err = r.Aliases(t.Context(), image, tags, p.access)
	if err != nil || !more || !slices.Contains(same, "staging-v2-200") {
		t.Errorf("of many: %q, %v, %v", same, more, err)
	}
	if _, _, err := r.Aliases(t.Context(), p.Host()+"/app:latest", tags, p.access); err == nil {
		t.Error("an image without a digest has aliases")
	}
}
