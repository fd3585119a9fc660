package registry_test

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

func TestPullThroughCachesProveNoAbsence(t *testing.T) {
	for _, c := range []struct {
		name  string
		cache func(p *peer, blobs []string)
		deep  bool
		want  reconcile.Finding
		says  string
	}{
		{"a tag that the list names, while its upstream limits it", func(p *peer, _ []string) {
			for _, m := range []string{"HEAD", "GET"} {
				p.Fail(m+" /v2/proxy/web/manifests/v2", registrystub.Fault{Status: 404,
					Body: `{"errors":[{"code":"NOT_FOUND","message":"artifact proxy/web:v2 not found"}]}`})
			}
		}, false, reconcile.FindingUnproved, "its list of tags has it"},
		{"HEAD of a manifest that is not cached", func(p *peer, _ []string) {
			p.Fail("HEAD /v2/proxy/web/manifests/v2", registrystub.Fault{Status: 404, Times: 1})
		}, false, reconcile.FindingPresent, ""},
		{"HEAD of a manifest that GET has, for good", func(p *peer, _ []string) {
			p.Fail("HEAD /v2/proxy/web/manifests/v2", registrystub.Fault{Status: 404})
		}, false, reconcile.FindingUnproved, "containerd asks by HEAD"},
		{"HEAD of blobs that are not cached", func(p *peer, blobs []string) {
			for _, b := range blobs {
				p.Fail("HEAD /v2/proxy/web/blobs/"+b, registrystub.Fault{Status: 404})
			}
		}, true, reconcile.FindingPresent, ""},
		{"a blob that answers 404 in nobody's name", func(p *peer, blobs []string) {
			for _, m := range []string{"HEAD", "GET"} {
				p.Fail(m+" /v2/proxy/web/blobs/"+blobs[len(blobs)-1], registrystub.Fault{Status: 404})
			}
		}, true, reconcile.FindingUnproved, ""},
		{"a policy against vulnerable images", func(p *peer, _ []string) {
			for _, m := range []string{"HEAD", "GET"} {
				p.Fail(m+" /v2/proxy/web/manifests/v2", registrystub.Fault{Status: 412})
			}
		}, false, reconcile.FindingUnproved, "412"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, registrystub.Options{})
			p.push("proxy/web", "v1", "linux/amd64")
			p.push("proxy/web", "v2", "linux/amd64")
			blobs, err := p.Blobs("proxy/web", "v2")
			p.must(err)
			c.cache(p, blobs)
			proof := p.prove(reconcile.Question{Image: p.Host() + "/proxy/web:v2", Witness: p.Host() + "/proxy/web:v1",
				Platforms: []string{"linux/amd64"}, Deep: c.deep})
			if proof.Finding != c.want || !strings.Contains(proof.Sentence, c.says) {
				t.Errorf("%s: %s, want %s with %q", proof.Finding, proof.Sentence, c.want, c.says)
			}
		})
	}
}

// Where HEAD is no answer for what is there, a 404 proves nothing of what is absent.
func TestA404ProvesNothingWhereHEADIsNoAnswer(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("proxy/web", "v1")
	p.Fail("HEAD /v2/proxy/web/manifests/", registrystub.Fault{Status: 404})
	for _, witness := range []string{p.Host() + "/proxy/web:v1", ""} {
		proof := p.prove(reconcile.Question{Image: p.Host() + "/proxy/web:v2", Witness: witness})
		if proof.Finding != reconcile.FindingUnproved || !strings.Contains(proof.Sentence, "it answers HEAD with 404 for v1") {
			t.Errorf("witness %q: %s, %s", witness, proof.Finding, proof.Sentence)
		}
	}
}

func TestWhatACacheThatIsNamedLacksProvesNothing(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("proxy/web", "v1")
	q := reconcile.Question{Image: p.Host() + "/proxy/web:v2", Witness: p.Host() + "/proxy/web:v1"}
	for _, c := range []struct {
		caches []string
		want   reconcile.Finding
	}{
		{nil, reconcile.FindingAbsent},
		{[]string{"elsewhere.example.com", p.Host() + "/prox"}, reconcile.FindingAbsent},
		{[]string{p.Host()}, reconcile.FindingUnproved},
		{[]string{p.Host() + "/proxy/"}, reconcile.FindingUnproved},
	} {
		proof := registry.New(registry.Options{Caches: c.caches}).Prove(t.Context(), q)
		if proof.Finding != c.want {
			t.Errorf("caches %q: %s: %s", c.caches, proof.Finding, proof.Sentence)
		}
	}
}

func TestSomeAddressesAreCachesByThemselves(t *testing.T) {
	r := registry.New(registry.Options{Caches: []string{"harbor.example.com/hub", "nexus.example.com:8443"}})
	for image, want := range map[string]bool{
		"mirror.gcr.io/library/nginx:1":                                                    true,
		"gitlab.com/acme/dependency_proxy/containers/alpine:3":                             true,
		"gitlab.example.com:5050/acme/shop/dependency_proxy/containers/library/alpine:3":   true,
		"registry.gitlab.com/acme/shop/web:v1":                                             false,
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/library/nginx:1":          true,
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/quay/prometheus/prometheus:v3":   true,
		"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/github/acme/web:v1":             true,
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/kubernetes/pause:3.10":           true,
		"123456789012.dkr-ecr.eu-west-1.on.aws/ecr-public/acme/web:v1":                     true,
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/web:v1":                         false,
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/github:v1":                           false,
		"evil.example.com/123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/nginx:1": false,
		"harbor.example.com/hub/library/nginx:1":                                           true,
		"harbor.example.com/hubert/nginx:1":                                                false,
		"nexus.example.com:8443/acme/web:v1":                                               true,
		"nexus.example.com/acme/web:v1":                                                    false,
		"docker.io/library/nginx:1":                                                        false,
	} {
		if got := r.IsCache(image); got != want {
			t.Errorf("%s: a cache: %v, want %v", image, got, want)
		}
	}
}

// Caches differ in what they list: Harbor what its upstream has, ECR what it holds itself, some a list of an hour ago.
// Where this client gets no whole list, image automation's later scan tells, and nothing else that is missing.
func TestALaterScanOfImageAutomationTellsWhatIsNotListed(t *testing.T) {
	denied := registrystub.Fault{Status: 403}
	for _, c := range []struct {
		name      string
		registry  func(p *peer)
		rescanned bool
		want      reconcile.Finding
	}{
		{"no list, and no later scan", func(p *peer) { p.Fail("GET /v2/web/tags/list", denied) }, false, reconcile.FindingUnproved},
		{"no list, and a later scan", func(p *peer) { p.Fail("GET /v2/web/tags/list", denied) }, true, reconcile.FindingAbsent},
		{"a list that names it, and a later scan", func(p *peer) {
			p.Fail("GET /v2/web/tags/list", registrystub.Fault{Status: 200, Body: `{"name":"web","tags":["v1","v2"]}`})
		}, true, reconcile.FindingUnproved},
		{"a 404 in nobody's name, and a later scan", func(p *peer) {
			p.Fail("GET /v2/web/tags/list", denied)
			p.Fail("GET /v2/web/manifests/v2", registrystub.Fault{Status: 404})
		}, true, reconcile.FindingUnproved},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, registrystub.Options{})
			p.push("web", "v1")
			c.registry(p)
			proof := p.prove(reconcile.Question{Image: p.Host() + "/web:v2", Witness: p.Host() + "/web:v1", Rescanned: c.rescanned})
			if proof.Finding != c.want {
				t.Errorf("%s: %s, want %s", proof.Finding, proof.Sentence, c.want)
			}
		})
	}
}

func TestAListOfTagsThatLacksWhatIsThereProvesNothing(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("proxy/web", "v1")
	p.Fail("GET /v2/proxy/web/tags/list", registrystub.Fault{Status: 200, Body: `{"name":"proxy/web","tags":["v0"]}`})
	for _, witness := range []string{p.Host() + "/proxy/web:v1"} {
		proof := p.prove(reconcile.Question{Image: p.Host() + "/proxy/web:v2", Witness: witness})
		if proof.Finding != reconcile.FindingUnproved || !strings.Contains(proof.Sentence, "its list of tags lacks v1, too") {
			t.Errorf("%s, %s", proof.Finding, proof.Sentence)
		}
	}
}
