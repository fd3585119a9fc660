package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// tagsBody is a page of a list of tags, from v1 on.
func tagsBody(n int) string {
	var tags []string
	for i := range n {
		tags = append(tags, fmt.Sprintf(`"v%d"`, i+1))
	}
	return `{"name":"web","tags":[` + strings.Join(tags, ",") + `]}`
}

func page(n int, links ...string) registrystub.Fault {
	f := registrystub.Fault{Body: tagsBody(n), Header: map[string]string{"Content-Type": "application/json"}}
	if len(links) > 0 {
		f.Header["Link"] = strings.Join(links, ", ")
	}
	return f
}

// pages has the registry give some pages of its list, and then another one.
func pages(p *peer, then registrystub.Fault, first ...registrystub.Fault) {
	p.Fail("GET /v2/web/tags/list", then)
	for _, f := range first {
		f.Times = 1
		p.Fail("GET /v2/web/tags/list", f)
	}
}

// A list that ends where the registry stopped, and not where its tags do, is not whole.
func TestAListThatIsNotWholeProvesNoAbsence(t *testing.T) {
	for name, c := range map[string]struct {
		list func(p *peer)
		want reconcile.Finding
		says string
	}{
		"the next page is at the address behind its own TLS": {func(p *peer) {
			p.Fail("GET /v2/web/tags/list", page(2, `<http://`+p.Host()+`/v2/web/tags/list?n=100&last=v2>; rel="next"`))
		}, reconcile.FindingUnproved, "could not be read to the end"},
		"the next page is of another host": {func(p *peer) {
			p.Fail("GET /v2/web/tags/list", page(2, `<https://registry.internal/v2/web/tags/list?last=v2>; rel="next"`))
		}, reconcile.FindingUnproved, "could not be read to the end"},
		"the next page is this one": {func(p *peer) {
			p.Fail("GET /v2/web/tags/list", page(2, `</v2/web/tags/list?n=100>; rel="next"`))
		}, reconcile.FindingUnproved, "could not be read to the end"},
		"the next page is no address": {func(p *peer) {
			p.Fail("GET /v2/web/tags/list", page(2, `<:::>; rel="next"`))
		}, reconcile.FindingUnproved, "could not be read to the end"},
		"a link to the page before comes first": {func(p *peer) {
			pages(p, registrystub.Fault{Body: `{"name":"web","tags":["v3","v9999"]}`},
				page(2, `</v2/web/tags/nothing>; rel="prev"`, `</v2/web/tags/list?n=100&last=v2>; rel=next`))
		}, reconcile.FindingUnproved, "its list of tags has it"},
		"a page is full, and what follows is not announced": {func(p *peer) {
			pages(p, registrystub.Fault{Body: `{"name":"web","tags":["v101","v9999"]}`}, page(100))
		}, reconcile.FindingUnproved, "its list of tags has it"},
		"a short page is all that a registry gives at once": {func(p *peer) {
			pages(p, registrystub.Fault{Body: `{"name":"web","tags":["v51","v9999"]}`}, page(50))
		}, reconcile.FindingUnproved, "its list of tags has it"},
		"what comes after a page is not told for now": {func(p *peer) {
			pages(p, registrystub.Status(503), page(2))
		}, reconcile.FindingUnproved, "503"},
		"what comes after a page is not told, for a limit": {func(p *peer) {
			pages(p, registrystub.TooMany(""), page(2))
		}, reconcile.FindingUnproved, "429"},
		"what comes after a page is no question to it": {func(p *peer) {
			pages(p, registrystub.Status(400), page(2))
		}, reconcile.FindingAbsent, ""},
		"what comes after a full page is no question to it": {func(p *peer) {
			pages(p, registrystub.Status(400), page(100))
		}, reconcile.FindingUnproved, "could not be read to the end"},
		"a page is full, and is all": {func(p *peer) {
			pages(p, registrystub.Fault{Body: `{"name":"web","tags":[]}`}, page(100))
		}, reconcile.FindingAbsent, ""},
		"a page is full, and the registry gives it again": {func(p *peer) {
			p.Fail("GET /v2/web/tags/list", registrystub.Fault{Body: tagsBody(100)})
		}, reconcile.FindingUnproved, "could not be read to the end"},
		"more than a page at once are all": {func(p *peer) {
			p.Fail("GET /v2/web/tags/list", registrystub.Fault{Body: tagsBody(130)})
		}, reconcile.FindingAbsent, ""},
		"an error with status 200": {func(p *peer) {
			p.Fail("GET /v2/web/tags/list", registrystub.Fault{Body: `{"errors":[{"code":"UNAVAILABLE","message":"upstream"}]}`})
		}, reconcile.FindingUnproved, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, registrystub.Options{})
			p.push("web", "v1")
			c.list(p)
			image := "/web:absent"
			if strings.Contains(c.says, "has it") {
				image = "/web:v9999"
			}
			proof := p.prove(reconcile.Question{Image: p.Host() + image, Witness: p.Host() + "/web:v1"})
			if proof.Finding != c.want || !strings.Contains(proof.Sentence, c.says) {
				t.Errorf("%s: %s, want %s with %q", proof.Finding, proof.Sentence, c.want, c.says)
			}
		})
	}
}

// A list without any tag says nothing, also where what is there has no tag.
func TestAnEmptyListProvesNoAbsence(t *testing.T) {
	for _, body := range []string{`{"name":"web","tags":[]}`, `{"name":"web","tags":null}`, `{"errors":[{"code":"DENIED"}]}`} {
		p := start(t, registrystub.Options{})
		digest := p.push("web", "v1")
		p.Fail("GET /v2/web/tags/list", registrystub.Fault{Body: body})
		proof := p.prove(reconcile.Question{Image: p.Host() + "/web:v9", Witness: p.Host() + "/web@" + digest})
		if proof.Finding != reconcile.FindingUnproved {
			t.Errorf("%s: %s: %s", body, proof.Finding, proof.Sentence)
		}
	}
}

// An answer of status 200 that is an error is no image.
func TestAnErrorWithStatus200IsNoImage(t *testing.T) {
	for name, body := range map[string]string{
		"an error":        `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`,
		"an error beside": `{"schemaVersion":2,"errors":[{"code":"TOOMANYREQUESTS"}],"manifests":[]}`,
		"a login":         `{"token":"","message":"sign in"}`,
		"a list":          `[]`,
		"a word":          `"ok"`,
		"nothing":         `null`,
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, registrystub.Options{})
			p.push("web", "v1")
			said := registrystub.Fault{Body: body, Header: map[string]string{"Content-Type": "application/json"}}
			p.Fail("HEAD "+"/v2/web/manifests/v1", registrystub.Status(405))
			p.Fail("GET "+"/v2/web/manifests/v1", said)
			proof := p.prove(reconcile.Question{Image: p.Host() + "/web:v1"})
			if proof.Finding != reconcile.FindingUnproved {
				t.Errorf("%s: %s", proof.Finding, proof.Sentence)
			}
		})
	}
}

// A registry that says why it does not give an image out has it, or may have it.
func TestA404ThatIsAboutSomethingElseProvesNothing(t *testing.T) {
	for name, body := range map[string]string{
		"a right":              `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"},{"code":"DENIED","message":"no"}]}`,
		"its upstream":         `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":"upstream answered 429"}]}`,
		"its upstream, nested": `{"errors":[{"code":"NAME_UNKNOWN","message":"x","detail":{"reason":"remote is offline"}}]}`,
		"a policy":             `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"blocked by policy no-critical"}]}`,
		"a scan":               `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"image scan is not finished"}]}`,
		"quarantine":           `{"errors":[{"code":"NOT_FOUND","message":"artifact is quarantined"}]}`,
		"replication":          `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not yet replicated to this region"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, registrystub.Options{})
			p.push("web", "v1")
			for _, m := range []string{"HEAD", "GET"} {
				p.Fail(m+" /v2/web/manifests/v9", registrystub.Fault{Status: 404, Body: body})
			}
			proof := p.prove(reconcile.Question{Image: p.Host() + "/web:v9", Witness: p.Host() + "/web:v1"})
			if proof.Finding != reconcile.FindingUnproved {
				t.Errorf("%s: %s", proof.Finding, proof.Sentence)
			}
		})
	}
}

// What is asked for may be called like a reason.
func TestANameIsNoReason(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("policy/scan", "v1")
	for _, m := range []string{"HEAD", "GET"} {
		p.Fail(m+" /v2/policy/scan/manifests/fix-quota", registrystub.Fault{Status: 404,
			Body: `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Name":"policy/scan","Tag":"fix-quota"}}]}`})
	}
	proof := p.prove(reconcile.Question{Image: p.Host() + "/policy/scan:fix-quota", Witness: p.Host() + "/policy/scan:v1"})
	if proof.Finding != reconcile.FindingAbsent {
		t.Errorf("%s: %s", proof.Finding, proof.Sentence)
	}
}

// A cache gives out what it has of an index, too: Harbor leaves the platforms out that it never fetched.
func TestACacheWithoutAPlatformProvesNothing(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("proxy/web", "v2", "linux/amd64")
	q := reconcile.Question{Image: p.Host() + "/proxy/web:v2", Platforms: []string{"linux/arm64"}}
	for _, c := range []struct {
		caches []string
		want   reconcile.Finding
	}{{nil, reconcile.FindingAbsent}, {[]string{p.Host() + "/proxy"}, reconcile.FindingUnproved}} {
		r := registry.New(registry.Options{Caches: c.caches, Timeout: 5 * time.Second})
		if proof := r.Prove(t.Context(), q); proof.Finding != c.want {
			t.Errorf("caches %q: %s: %s", c.caches, proof.Finding, proof.Sentence)
		}
	}
}

// Of an image that Git names by tag and digest the list tells the tag: one that is listed and is not there is a cache's.
func TestADigestWhoseTagIsListedAndHiddenIsNoAbsence(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("hub/web", "v1")
	digest := p.push("hub/web", "v2")
	for _, m := range []string{"HEAD", "GET"} {
		for _, what := range []string{"v2", digest} {
			p.Fail(m+" /v2/hub/web/manifests/"+what, registrystub.Fault{Status: 404,
				Body: `{"errors":[{"code":"NOT_FOUND","message":"artifact not found"}]}`})
		}
	}
	proof := p.prove(reconcile.Question{Image: p.Host() + "/hub/web:v2@" + digest, Witness: p.Host() + "/hub/web:v1"})
	if proof.Finding != reconcile.FindingUnproved || !strings.Contains(proof.Sentence, "its list of tags has it") {
		t.Errorf("%s: %s", proof.Finding, proof.Sentence)
	}
}
