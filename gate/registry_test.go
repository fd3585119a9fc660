package gate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// registries are the ways in which a registry lets clients in.
func registries() map[string]registrystub.Options {
	return map[string]registrystub.Options{
		"open":         {},
		"TLS":          {TLS: true},
		"TLS, basic":   {TLS: true, Basic: &ci},
		"TLS, token":   {TLS: true, Token: &ci},
		"HTTP, tokens": {Token: &ci},
	}
}

func TestGateTypoInATag(t *testing.T) {
	for title, options := range registries() {
		t.Run(title, func(t *testing.T) {
			r := stub(t, options)
			push(t, r, "acme/app", "v1.4.2")
			o := asking(r, true)
			o.Head = tree(map[string]string{
				"good.yaml": deployment("good", r.Host()+"/acme/app:v1.4.2"),
				"typo.yaml": deployment("typo", r.Host()+"/acme/app:v1.4.3"),
			})
			got := check(t, o)
			wantFindings(t, got, "error image-missing typo.yaml:12")
			wantWords(t, got, "does not have", "v1.4.3", "did you mean v1.4.2?")
		})
	}
}

func TestGateTagExistsForARM64Only(t *testing.T) {
	r := stub(t, registrystub.Options{TLS: true})
	push(t, r, "app", "v1", "linux/arm64")
	push(t, r, "app", "v2", "linux/arm64", "linux/amd64")
	o := asking(r, false)
	o.Head = tree(map[string]string{"a.yaml": deployment("a", r.Host()+"/app:v1"), "b.yaml": deployment("b", r.Host()+"/app:v2")})
	got := check(t, o)
	wantFindings(t, got, "error platform-missing a.yaml:12")
	wantWords(t, got, "linux/arm64", "not for linux/amd64")
	o.Platforms = []string{"linux/arm64"}
	wantFindings(t, check(t, o))
	o.Platforms = []string{"linux/arm64", "linux/amd64"}
	wantFindings(t, check(t, o), "error platform-missing a.yaml:12")
	o.Platforms = []string{gate.AnyPlatform}
	wantFindings(t, check(t, o))
	push(t, r, "app", "v3", "linux/386")
	o.Platforms, o.Head = []string{"linux/amd64"}, tree(map[string]string{"c.yaml": deployment("c", r.Host()+"/app:v3")})
	got = check(t, o)
	wantFindings(t, got, "unknown registry-no-answer c.yaml:12")
	wantWords(t, got, "whether that runs on linux/amd64 cannot be told", "try it on a node")
}

func TestGateLayerMissing(t *testing.T) {
	r := stub(t, registrystub.Options{TLS: true})
	push(t, r, "app", "v1")
	blobs, err := r.Blobs("app", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteBlob("app", blobs[1]); err != nil {
		t.Fatal(err)
	}
	o := asking(r, false)
	o.Head = tree(map[string]string{"a.yaml": deployment("a", r.Host()+"/app:v1")})
	wantFindings(t, check(t, o))
	o.Deep = true
	got := check(t, o)
	wantFindings(t, got, "error layer-missing a.yaml:12")
	wantWords(t, got, blobs[1], "push the image again")
}

func TestGatePrivateRegistryWithAndWithoutCredentials(t *testing.T) {
	for title, options := range registries() {
		if options.Basic == nil && options.Token == nil {
			continue
		}
		t.Run(title, func(t *testing.T) {
			r := stub(t, options)
			push(t, r, "app", "v1")
			o := asking(r, true)
			o.Head = tree(map[string]string{"a.yaml": deployment("a", r.Host()+"/app:v1")})
			wantFindings(t, check(t, o))
			out := asking(r, false)
			out.Head = o.Head
			got := check(t, out)
			wantFindings(t, got, "unknown registry-no-answer a.yaml:12")
			wantWords(t, got, "no credentials", "docker login")
			for _, f := range got.Findings {
				if strings.Contains(f.Message+f.Fix, ci.Password) {
					t.Errorf("the password is in %q", f.Message)
				}
			}
		})
	}
}

func TestGateRegistryDown429And500(t *testing.T) {
	tests := map[string]struct {
		fault registrystub.Fault
		words []string
	}{
		"429 with Retry-After": {registrystub.TooMany("3600"), []string{"asked not to be asked again before"}},
		"429":                  {registrystub.TooMany(""), []string{"limits this client (429"}},
		"500":                  {registrystub.Status(500), []string{"500"}},
		"503":                  {registrystub.Status(503), []string{"503"}},
		"cut":                  {registrystub.Fault{Cut: true}, []string{"connection was cut"}},
		"a page":               {registrystub.HTML(), []string{"run again"}},
		"404 for everything":   {registrystub.Hidden(), []string{"proves nothing"}},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			r := stub(t, registrystub.Options{TLS: true})
			push(t, r, "app", "v1")
			r.Fail("/v2/app/", tt.fault)
			o := asking(r, false)
			o.Head = tree(map[string]string{"a.yaml": deployment("a", r.Host()+"/app:v1")})
			got := check(t, o)
			wantFindings(t, got, "unknown registry-no-answer a.yaml:12")
			if title != "429 with Retry-After" {
				wantWords(t, got, tt.words...)
			}
		})
	}
	t.Run("down", func(t *testing.T) {
		r, err := registrystub.Start(registrystub.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		o := asking(r, false)
		o.Head = tree(map[string]string{"a.yaml": deployment("a", r.Host()+"/app:v1")})
		got := check(t, o)
		wantFindings(t, got, "unknown registry-no-answer a.yaml:12")
		wantWords(t, got, "connection refused")
	})
}

func TestGateWaitsAsLongAsTheRegistryAsks(t *testing.T) {
	r := stub(t, registrystub.Options{})
	push(t, r, "app", "v1")
	limited := registrystub.TooMany("1")
	limited.Times = 1
	r.Fail("/v2/app/manifests/", limited)
	o := asking(r, false)
	o.Patience = 0
	o.Head = tree(map[string]string{"a.yaml": deployment("a", r.Host()+"/app:v1")})
	wantFindings(t, check(t, o))
	if n := r.Count("", "/v2/app/manifests/"); n < 2 {
		t.Errorf("%d requests: it was not asked again", n)
	}
}

func TestGateRebuildForProduction(t *testing.T) {
	r := stub(t, registrystub.Options{TLS: true, Token: &ci})
	push(t, r, "app", "staging-v1.0.0")
	tag(t, r, "app", "staging-v1.0.0", "production-v1.0.0")
	push(t, r, "app", "staging-v1.1.0")
	push(t, r, "app", "production-v1.1.0")
	push(t, r, "never", "production-v1.0.0")
	o := asking(r, true)
	o.Config = config(t, `
environments:
  production: {paths: [production], tags: ^production-, promotedFrom: staging}
  staging: {paths: [staging], tags: ^staging-}
`)
	o.Head = tree(map[string]string{
		"production/never.yaml":    deployment("never", r.Host()+"/never:production-v1.0.0"),
		"production/promoted.yaml": deployment("promoted", r.Host()+"/app:production-v1.0.0"),
		"production/rebuilt.yaml":  deployment("rebuilt", r.Host()+"/app:production-v1.1.0"),
		"staging/app.yaml":         deployment("app", r.Host()+"/app:staging-v1.1.0"),
	})
	got := check(t, o)
	wantFindings(t, got, "error not-promoted production/never.yaml:12", "error not-promoted production/rebuilt.yaml:12")
	wantWords(t, got, "staging-v1.1.0 is sha256:", "so this was built anew",
		"crane tag "+r.Host()+"/app:staging-v1.1.0 production-v1.1.0", "was never in staging", "no tag of "+r.Host()+"/never matches ^staging-")
	r.Fail("/v2/app/tags/", registrystub.Status(500))
	got = check(t, asked(o, asking(r, true)))
	wantFindings(t, got, "error not-promoted production/never.yaml:12",
		"unknown registry-no-answer production/promoted.yaml:12", "unknown registry-no-answer production/rebuilt.yaml:12")
}

// asked are the same options with another client.
func asked(o, with gate.Options) gate.Options {
	o.Registry, o.Access = with.Registry, with.Access
	return o
}

func TestGate500ImagesInAChange(t *testing.T) {
	r := stub(t, registrystub.Options{})
	files := map[string]string{}
	for i := range 500 {
		repo := []string{"one", "two", "three", "four"}[i%4]
		version := "v1." + strings.Repeat("0", i%3) + string(rune('a'+i%26)) + "." + itoa(i)
		push(t, r, repo, version)
		files["apps/"+itoa(i)+".yaml"] = deployment("app", r.Host()+"/"+repo+":"+version)
	}
	o := asking(r, false)
	o.Head, o.Base, o.Platforms = tree(files), tree(nil), []string{gate.AnyPlatform}
	seen := 0
	o.Progress = func(step string, done, total int) {
		if step == "asking registries" && total == 500 {
			seen = max(seen, done)
		}
	}
	got := check(t, o)
	wantFindings(t, got)
	if len(got.Images) != 500 || got.Asked != 500 || seen != 500 {
		t.Errorf("%d images, %d asked for, progress came to %d", len(got.Images), got.Asked, seen)
	}
	if n := r.Count("HEAD", "/v2/"); n != 500 {
		t.Errorf("%d HEAD requests for 500 images", n)
	}
	if n := r.Count("GET", "/v2/one/"); n != 0 {
		t.Errorf("%d GET requests where a HEAD will do", n)
	}
}

func TestGateNamesArtifactsThatAreNoImages(t *testing.T) {
	r := stub(t, registrystub.Options{})
	blob, err := r.PutBlob("acme/app", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	var want []string
	for tag, kinds := range map[string][2]string{
		"chart":     {"application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"},
		"flux":      {"application/vnd.cncf.flux.config.v1+json", "application/vnd.cncf.flux.content.v1.tar+gzip"},
		"signature": {"application/vnd.oci.image.config.v1+json", "application/vnd.dev.cosign.simplesigning.v1+json"},
		"sbom":      {"application/vnd.oci.empty.v1+json", "application/spdx+json"},
		"other":     {"application/vnd.acme+json", "application/vnd.acme.layer"},
	} {
		raw := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[{"mediaType":%q,"digest":%[2]q,"size":2}]}`,
			kinds[0], blob, kinds[1])
		if err := r.PutManifest("acme/app", tag, "application/vnd.oci.image.manifest.v1+json", []byte(raw)); err != nil {
			t.Fatal(err)
		}
		files[tag+".yaml"] = deployment(tag, r.Host()+"/acme/app:"+tag)
		want = append(want, "error image-is-artifact "+tag+".yaml:12")
	}
	slices.Sort(want)
	o := asking(r, false)
	o.Head = tree(files)
	got := check(t, o)
	wantFindings(t, got, want...)
	wantWords(t, got, "it is a Helm chart", "it is a Flux artifact", "it is a signature", "it is an SBOM", "it is an artifact", "no runtime runs")
}

func TestGateAWrongDigestWithARightTag(t *testing.T) {
	r := stub(t, registrystub.Options{})
	push(t, r, "acme/app", "v1")
	push(t, r, "acme/app", "v2")
	digest := "sha256:" + strings.Repeat("1", 64)
	o := asking(r, false)
	o.Head = tree(map[string]string{"a.yaml": deployment("a", r.Host()+"/acme/app:v1@"+digest)})
	got := check(t, o)
	wantFindings(t, got, "error image-missing a.yaml:12")
	wantWords(t, got, "; v1 is sha256:", ": did you mean that?")
}
