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

// Where HEAD is no answer for what is there, a 404 is none for what is not.
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
