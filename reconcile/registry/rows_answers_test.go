package registry_test

import (
	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// layers are what an image is made of.
func layers() map[string]row {
	amd := []string{"linux/amd64"}
	return map[string]row{
		"every layer is there": {ask: "team/app:v1", deep: true, finding: present, says: "with every layer"},
		"a layer is gone": {
			given: func(p *peer) { p.must(p.DeleteBlob("team/app", p.layer("team/app", "v1"))) },
			ask:   "team/app:v1", deep: true,
			finding: absent, cause: v1alpha1.CauseBlobMissing, says: "but not its blob sha256:",
		},
		"a layer of another platform is gone": {
			given: func(p *peer) { p.must(p.DeleteBlob("team/app", p.layer("team/app", "v1"))) },
			ask:   "team/app:v1", plats: amd, deep: true,
			finding: present, says: "for linux/amd64 with every layer",
		},
		"a layer is gone, but nobody asks": {
			given: func(p *peer) { p.must(p.DeleteBlob("team/app", p.layer("team/app", "v1"))) },
			ask:   "team/app:v1", plats: amd,
			finding: present,
		},
		"a config is gone": {
			given: func(p *peer) {
				p.push("team/app", "one", "linux/amd64")
				blobs, err := p.Blobs("team/app", "one")
				p.must(err)
				p.must(p.DeleteBlob("team/app", blobs[0]))
			},
			ask: "team/app:one", deep: true,
			finding: absent, cause: v1alpha1.CauseBlobMissing, says: "but not its blob",
		},
		"the image of a platform is gone": {
			given: func(p *peer) { p.must(p.DeleteTag("team/app", p.child("team/app", "v1"))) },
			ask:   "team/app:v1", deep: true,
			finding: absent, cause: v1alpha1.CauseBlobMissing, says: "but not its manifest sha256:",
		},
		"the index itself is gone from under its tag": {
			given: func(p *peer) { p.must(p.DeleteTag("team/app", p.push("team/app", "v2", "linux/amd64"))) },
			ask:   "team/app:v2", plats: amd,
			finding: absent, cause: v1alpha1.CauseBlobMissing, says: "but not its manifest",
		},
		"a layer that is 404 once": {
			given: func(p *peer) {
				for _, method := range []string{"HEAD", "GET"} {
					p.Fail(method+" /v2/team/app/blobs/", registrystub.Fault{Status: 404, Times: 1})
				}
			},
			ask: "team/app:v1", deep: true,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "and then 200",
		},
		"layers are hidden after the image": {
			given: func(p *peer) {
				p.Fail("HEAD /v2/team/app/blobs/", registrystub.Hidden())
				p.Fail("GET /v2/team/app/blobs/", registrystub.Hidden())
				p.Fail(manifests+"v1", registrystub.Fault{Status: 404, After: 1})
			},
			ask: "team/app:v1", deep: true,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "and then 404",
		},
		"pushed anew while a layer is missed": {
			given: func(p *peer) {
				p.must(p.DeleteBlob("team/app", p.layer("team/app", "v1")))
				p.Fail("HEAD "+manifests+"v1", registrystub.Fault{After: 1, Header: map[string]string{
					"Docker-Content-Digest": zeros, "Content-Type": "application/vnd.oci.image.index.v1+json"}})
			},
			ask: "team/app:v1", deep: true,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "anew while it was looked at",
		},
		"a layer that the registry never holds": {
			given: func(p *peer) { p.foreign("team/app", "win") },
			ask:   "team/app:win", deep: true,
			finding: present, says: "with every layer",
		},
		"layers are refused": {
			given: fail("/v2/team/app/blobs/", registrystub.Status(403)),
			ask:   "team/app:v1", deep: true,
			finding: unproved, cause: v1alpha1.CauseUnauthorized, says: "403 Forbidden",
		},
		"a storage without HEAD": {
			given: fail("HEAD /v2/team/app/blobs/", registrystub.Status(405)),
			ask:   "team/app:v1", deep: true,
			finding: present,
		},
		"a length that got lost": {
			given: fail("HEAD /v2/team/app/blobs/", registrystub.Fault{Header: map[string]string{"Content-Type": "application/octet-stream"}}),
			ask:   "team/app:v1", deep: true,
			finding: present, says: "with every layer",
		},
		"a layer of another size": {
			given: fail("HEAD /v2/team/app/blobs/", registrystub.Fault{Header: map[string]string{"Content-Length": "7"}}),
			ask:   "team/app:v1", deep: true,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "7 bytes for blob",
		},
	}
}

// refusals are answers that say nothing of the image.
func refusals() map[string]row {
	amd := []string{"linux/amd64"}
	return map[string]row{
		"401 is no proof": {
			given:   fail(manifests, registrystub.Status(401)),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseUnauthorized,
			says: "refuses this client (401 Unauthorized), which has no credentials",
		},
		"403 is no proof": {
			given:   fail(manifests, registrystub.Status(403)),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseUnauthorized, says: "403 Forbidden",
		},
		"403 to the greeting": {
			given:   fail("/v2/", registrystub.Status(403)),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseUnauthorized, says: "403 Forbidden",
		},
		"404 to the greeting": {
			given:   fail("/v2/", registrystub.Status(404)),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable,
			says: "does not answer as a registry does",
		},
		"400 is no proof": {
			given:   fail(manifests, registrystub.Status(400)),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "400 Bad Request",
		},
		"410 is no proof": {
			given:   fail(manifests, registrystub.Status(410)),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "410 Gone",
		},
		"429 is no proof": {
			given:   fail(manifests, registrystub.TooMany("7")),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRateLimited, says: "429 Too Many Requests",
		},
		"429 to the greeting": {
			given:   fail("/v2/", registrystub.TooMany("")),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRateLimited, says: "429",
		},
		"429 while looking for another tag": {
			given:   fail("/v2/team/app/tags/", registrystub.TooMany("")),
			ask:     "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseRateLimited, says: "proves nothing here",
		},
		"500 is no proof": {
			given:   fail(manifests, registrystub.Status(500)),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "500 Internal Server Error",
		},
		"503 to the greeting": {
			given:   fail("/v2/", registrystub.Status(503)),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "503 Service Unavailable",
		},
		"522 is no proof": {
			given:   fail(manifests, registrystub.Fault{Status: 522}),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "answers 522",
		},
		"500 while looking for another tag": {
			given:   fail("/v2/team/app/tags/", registrystub.Status(500)),
			ask:     "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "proves nothing here",
		},
		"404 for HEAD, and an answer for GET": {
			given: fail("HEAD "+manifests, registrystub.Status(404)),
			ask:   "team/app:v1", plats: amd,
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "answers HEAD for it with 404",
		},
		"404 for HEAD, and for GET where it is not there": {
			given:   fail("HEAD "+manifests, registrystub.Status(404)),
			ask:     "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "answers HEAD with 404 for v1, too, which it has",
		},
		"403 for HEAD, and an answer for GET": {
			given: fail("HEAD "+manifests, registrystub.Status(403)),
			ask:   "team/app:v1", plats: amd,
			finding: unproved, cause: v1alpha1.CauseUnauthorized, says: "refuses this client",
		},
		"no HEAD, but GET": {
			given: fail("HEAD "+manifests, registrystub.Status(405)),
			ask:   "team/app:v1", plats: amd,
			finding: present,
		},
	}
}

// lies are answers that cannot be true.
func lies() map[string]row {
	amd := []string{"linux/amd64"}
	return map[string]row{
		"a page for HEAD": {
			given:   fail("/v2/team/app/", registrystub.HTML()),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "a page",
		},
		"a page for GET": {
			given: fail("GET "+manifests, registrystub.HTML()),
			ask:   "team/app:v1", plats: amd,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "a page",
		},
		"a page for the list": {
			given:   fail("/v2/team/app/tags/", registrystub.HTML()),
			ask:     "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "something that is no list of tags",
		},
		"pages for everything": {
			given:   fail("/", registrystub.HTML()),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "a page",
		},
		"another digest": {
			given:   fail("HEAD "+manifests, registrystub.Fault{Header: map[string]string{"Docker-Content-Digest": zeros, "Content-Type": "application/json"}}),
			ask:     "DIGEST",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "digest " + zeros,
		},
		"content of another digest": {
			given: fail("GET "+manifests, registrystub.Fault{Body: `{"schemaVersion":2,"manifests":[]}`, Header: map[string]string{"Content-Type": "application/vnd.oci.image.index.v1+json"}}),
			ask:   "team/app:v1", plats: amd,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "content with digest",
		},
		"a config of another digest": {
			given: func(p *peer) {
				p.push("team/app", "one")
				p.Fail("GET /v2/team/app/blobs/", registrystub.Fault{Body: `{"os":"linux","architecture":"s390x"}`})
			},
			ask: "team/app:one", plats: amd,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "another digest",
		},
		"no digest and no JSON": {
			given:   fail(manifests, registrystub.Fault{Body: "hello", Header: map[string]string{"Content-Type": "application/json"}}),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "no JSON",
		},
		"an index and an image at once": {
			given: func(p *peer) {
				p.must(p.PutManifest("team/app", "both", "application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"manifests":[],"config":{"digest":"`+zeros+`"},"layers":[]}`)))
			},
			ask: "team/app:both", plats: amd,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "at once",
		},
		"an endless manifest": {
			given: fail("GET "+manifests, registrystub.Fault{Endless: true}),
			ask:   "team/app:v1", plats: amd,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "more than 4 MiB",
		},
		"an endless list": {
			given:   fail("/v2/team/app/tags/", registrystub.Fault{Endless: true, Body: `{"name":"`}),
			ask:     "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "proves nothing here",
		},
		"an endless greeting": {
			given:   fail("/v2/", registrystub.Fault{Endless: true}),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable,
		},
		"an endless error": {
			given: fail(manifests, registrystub.Fault{Endless: true, Status: 500}),
			ask:   "team/app:v1", plats: amd,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "500",
		},
		"a cut manifest": {
			given: fail("GET "+manifests, registrystub.Fault{Cut: true, Body: `{"schemaVersion":2}`}),
			ask:   "team/app:v1", plats: amd,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "cut",
		},
		"a cut connection": {
			given:   fail(manifests, registrystub.Fault{Cut: true}),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "cut",
		},
		"a redirect in a circle": {
			given:   fail(manifests, registrystub.Redirect("/v2/team/app/manifests/v1")),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "redirects too often",
		},
		"a redirect to a login page": {
			given: func(p *peer) {
				p.Fail(manifests, registrystub.Redirect("/login"))
				p.Fail("/login", registrystub.HTML())
			},
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "a page",
		},
		"layers behind a login page": {
			given: func(p *peer) {
				p.Fail("/v2/team/app/blobs/", registrystub.Redirect("/login"))
				p.Fail("/login", registrystub.HTML())
			},
			ask: "team/app:v1", deep: true,
			finding: unproved, cause: v1alpha1.CauseRegistryUnavailable, says: "bytes for blob",
		},
	}
}
