package registry_test

import (
	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/registrystub"
)

const (
	present, absent, unproved = reconcile.FindingPresent, reconcile.FindingAbsent, reconcile.FindingUnproved
	manifests                 = "/v2/team/app/manifests/"
)

func fail(where string, f registrystub.Fault) func(*peer) {
	return func(p *peer) { p.Fail(where, f) }
}

// existence is whether there is an image at all.
func existence() map[string]row {
	delete1 := func(p *peer) { p.must(p.DeleteTag("team/app", "v1")) }
	return map[string]row{
		"a tag that is there is present": {ask: "team/app:v1", finding: present, says: "has team/app:v1"},
		"no tag means latest": {
			given:   func(p *peer) { p.push("team/app", "latest") },
			ask:     "team/app",
			finding: present, says: "has team/app:latest",
		},
		"a missing tag is absent beside another one": {
			ask:     "team/app:v9",
			finding: absent, cause: v1alpha1.CauseNotFound,
			says: "does not have team/app:v9 (404), and shows this client v1",
		},
		"a missing digest is absent beside a tag": {
			ask:     "team/app@" + zeros,
			finding: absent, cause: v1alpha1.CauseNotFound, says: "shows this client v1",
		},
		"a tag with a digest is asked by digest": {
			ask:     "team/app:v1@" + zeros,
			finding: absent, cause: v1alpha1.CauseNotFound, says: "team/app:v1@sha256:0000",
		},
		"a repository that shows nothing proves nothing": {
			ask:     "team/nosuch:v1",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "shows this client no other tag",
		},
		"an empty repository proves nothing": {
			given:   delete1,
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "proves nothing here",
		},
		"404 to everything proves nothing": {
			given:   fail("/v2/team/", registrystub.Hidden()),
			ask:     "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "shows this client no other tag",
		},
		"a list whose tags are all 404 proves nothing": {
			given:   fail(manifests, registrystub.Hidden()),
			ask:     "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "no other tag",
		},
		"no list, but a witness": {
			given: fail("/v2/team/app/tags/", registrystub.Status(401)),
			ask:   "team/app:v9", witness: "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "it lists no tags",
		},
		"no list and no witness": {
			given:   fail("/v2/team/app/tags/", registrystub.Status(401)),
			ask:     "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseUnauthorized, says: "proves nothing here",
		},
		"no list and a registry without it": {
			given:   fail("/v2/team/app/tags/", registrystub.Status(405)),
			ask:     "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "shows this client no other tag",
		},
		"a witness of another repository is none": {
			given: func(p *peer) { p.push("other", "v1"); p.Fail("/v2/team/app/tags/", registrystub.Hidden()) },
			ask:   "team/app:v9", witness: "other:v1",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "no other tag",
		},
		"the image cannot witness itself": {
			given: fail("/v2/team/app/tags/", registrystub.Hidden()),
			ask:   "team/app:v9", witness: "team/app:v9",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "no other tag",
		},
		"a witness that is gone gives way to the list": {
			ask: "team/app:v9", witness: "team/app:v8",
			finding: absent, cause: v1alpha1.CauseNotFound, says: "shows this client v1",
		},
		"a tag of the asked digest is no other one": {
			given:   func(p *peer) { p.Fail(manifests+"sha256:", registrystub.Hidden()) },
			ask:     "DIGEST",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "no other tag",
		},
		"a tag that appears while it is looked for": {
			given: func(p *peer) {
				for _, method := range []string{"HEAD ", "GET "} {
					p.Fail(method+manifests+"v1", registrystub.Fault{Status: 404, Times: 1})
				}
			},
			ask: "team/app:v1", witness: "team/app:v1",
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "no other tag",
		},
		"a registry that says 404 and then 200": {
			given: func(p *peer) {
				p.push("team/app", "v2")
				for _, method := range []string{"HEAD ", "GET "} {
					p.Fail(method+manifests+"v2", registrystub.Fault{Status: 404, Times: 1})
				}
			},
			ask:     "team/app:v2",
			finding: unproved, cause: v1alpha1.CauseUnknown,
			says: "its list of tags has it",
		},
	}
}

// names are what the parser says.
func names() map[string]row {
	return map[string]row{
		"a name with capitals is invalid": {
			ask:     "Team/App:v1",
			finding: absent, cause: v1alpha1.CauseInvalidName, says: "no image reference",
		},
		"a name with a space is invalid": {
			ask:     "=team/app :v1",
			finding: absent, cause: v1alpha1.CauseInvalidName,
			says: `"team/app :v1" is no image reference: invalid reference format`,
		},
		"an empty tag is invalid": {
			ask:     "team/app:",
			finding: absent, cause: v1alpha1.CauseInvalidName, says: "invalid reference format",
		},
		"a short digest is invalid": {
			ask:     "team/app@sha256:00",
			finding: absent, cause: v1alpha1.CauseInvalidName, says: "no image reference",
		},
		"nothing is invalid": {
			ask:     "=",
			finding: absent, cause: v1alpha1.CauseInvalidName, says: "no image reference",
		},
		"a URL is invalid": {
			ask:     "=https://reg.io/app:v1",
			finding: absent, cause: v1alpha1.CauseInvalidName, says: "no image reference",
		},
		"control characters do not reach the sentence": {
			ask:     "=a\x1b[31m\n:b",
			finding: absent, cause: v1alpha1.CauseInvalidName, says: `"a\x1b[31m\n:b"`,
		},
	}
}

// platforms are what an image is made for.
func platforms() map[string]row {
	amd := []string{"linux/amd64"}
	return map[string]row{
		"an index for the platform": {ask: "team/app:v1", plats: amd, finding: present, says: "for linux/amd64"},
		"an index for both": {
			ask: "team/app:v1", plats: []string{"linux/arm64", "linux/amd64"},
			finding: present, says: "for linux/arm64, linux/amd64",
		},
		"an index without the platform": {
			ask: "team/app:v1", plats: []string{"linux/s390x"},
			finding: absent, cause: v1alpha1.CausePlatformMismatch,
			says: "for linux/amd64, linux/arm64, not for linux/s390x",
		},
		"an index with one of two": {
			ask: "team/app:v1", plats: []string{"linux/amd64", "windows/amd64"},
			finding: absent, cause: v1alpha1.CausePlatformMismatch, says: "not for windows/amd64",
		},
		"an image for the platform": {
			given: func(p *peer) { p.push("team/app", "one", "linux/amd64") },
			ask:   "team/app:one", plats: amd,
			finding: present, says: "for linux/amd64",
		},
		"an image for another platform": {
			given: func(p *peer) { p.push("team/app", "one", "linux/arm64") },
			ask:   "team/app:one", plats: amd,
			finding: absent, cause: v1alpha1.CausePlatformMismatch, says: "for linux/arm64, not for linux/amd64",
		},
		"names of platforms are normal": {
			ask: "team/app:v1", plats: []string{"Linux/x86_64", "linux/aarch64/v8"},
			finding: present,
		},
		"a variant of an index": {
			given: func(p *peer) { p.push("team/app", "v", "linux/arm/v7", "linux/arm64/v8") },
			ask:   "team/app:v", plats: []string{"linux/arm64", "linux/arm/v7"},
			finding: present,
		},
		"a newer variant than the node": {
			given: func(p *peer) { p.push("team/app", "v", "linux/arm/v7", "linux/s390x") },
			ask:   "team/app:v", plats: []string{"linux/arm/v6"},
			finding: absent, cause: v1alpha1.CausePlatformMismatch, says: "not for linux/arm/v6",
		},
		"386 on amd64 cannot be told": {
			given: func(p *peer) { p.push("team/app", "i", "linux/386") },
			ask:   "team/app:i", plats: amd,
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "cannot be told",
		},
		"a config without a platform": {
			given: func(p *peer) { p.push("team/app", "n", "") },
			ask:   "team/app:n", plats: amd,
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "a platform that it does not name",
		},
		"an index that leaves it to the config": {
			given: func(p *peer) { p.bareIndex("team/app", "bare", "linux/amd64") },
			ask:   "team/app:bare", plats: amd,
			finding: present,
		},
		"an index that leaves another one to the config": {
			given: func(p *peer) { p.bareIndex("team/app", "bare", "linux/arm64") },
			ask:   "team/app:bare", plats: amd,
			finding: absent, cause: v1alpha1.CausePlatformMismatch, says: "for linux/arm64, not for linux/amd64",
		},
		"a platform that is none": {
			ask: "team/app:v1", plats: []string{"amd64"},
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "no platform",
		},
		"a chart is no image": {
			given: func(p *peer) { p.chart("team/app", "chart") },
			ask:   "team/app:chart", plats: amd,
			finding: unproved, cause: v1alpha1.CauseUnknown, says: "no container image",
		},
		"an index of attestations only": {
			given: func(p *peer) { p.attestations("team/app", "att") },
			ask:   "team/app:att", plats: amd,
			finding: absent, cause: v1alpha1.CausePlatformMismatch, says: "for no platform at all",
		},
	}
}
