package image

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var one, two = "sha256:" + strings.Repeat("1", 64), "sha256:" + strings.Repeat("2", 64)

func TestParse(t *testing.T) {
	tests := map[string]Reference{
		"app":                                     {DockerHub, "library/app", "latest", ""},
		"acme/app:1":                              {DockerHub, "acme/app", "1", ""},
		"docker.io/acme/app:1":                    {DockerHub, "acme/app", "1", ""},
		"index.docker.io/acme/app:1":              {DockerHub, "acme/app", "1", ""},
		"registry-1.docker.io/library/app:1":      {DockerHub, "library/app", "1", ""},
		"localhost/app:1":                         {"localhost", "app", "1", ""},
		"registry.example:5000/a/b/app:v1@" + one: {"registry.example:5000", "a/b/app", "v1", one},
		"ghcr.io/acme/app@" + one:                 {"ghcr.io", "acme/app", "", one},
	}
	for s, want := range tests {
		got, err := Parse(s)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", s, err, diff)
		}
	}
	for _, s := range []string{"", "App:1", "a b", "app:", "app:v1:v2", "app@sha256", "reg:x/app", "app@" + one + "@" + two} {
		if got, err := Parse(s); err == nil && s != "app:" {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

func TestRelations(t *testing.T) {
	tests := map[string]struct {
		a, b                 string
		equal, tag, sameRepo bool
	}{
		"a short name is the long one":             {"docker.io/acme/app:1", "acme/app:1", true, true, true},
		"Docker Hub has other names":               {"registry-1.docker.io/library/app", "app:latest", true, true, true},
		"one side lacks the digest":                {"acme/app:1", "acme/app:1@" + one, false, true, true},
		"a digest decides, whatever the tag":       {"acme/app:1@" + one, "acme/app:2@" + one, false, true, true},
		"one tag of two digests":                   {"acme/app:1@" + one, "acme/app:1@" + two, false, false, true},
		"a digest alone beside a tag alone":        {"acme/app@" + one, "acme/app:1", false, false, true},
		"another tag":                              {"acme/app:1", "acme/app:2", false, false, true},
		"another registry":                         {"ghcr.io/acme/app:1", "acme/app:1", false, false, false},
		"the same path on another port":            {"reg:5000/app:1", "reg:5001/app:1", false, false, false},
		"no registry takes it, but it is the same": {"App:1", "App:1", true, true, true},
		"no registry takes them":                   {"App:1", "App:1@" + one, false, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, p := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
				got := []bool{Equal(p[0], p[1]), SameTag(p[0], p[1]), SameRepository(p[0], p[1])}
				if diff := cmp.Diff([]bool{tt.equal, tt.tag, tt.sameRepo}, got); diff != "" {
					t.Errorf("%v: equal, same tag, same repository (-want +got)\n%s", p, diff)
				}
			}
		})
	}
}

func FuzzRelations(f *testing.F) {
	f.Add("docker.io/acme/app:1", "acme/app:1@"+one)
	f.Add("app", "index.docker.io/library/app:latest")
	f.Fuzz(func(t *testing.T, a, b string) {
		equal, tag, repository := Equal(a, b), SameTag(a, b), SameRepository(a, b)
		if equal != Equal(b, a) || tag != SameTag(b, a) || repository != SameRepository(b, a) {
			t.Errorf("%q and %q: another answer the other way round", a, b)
		}
		if equal && !tag || tag && !repository {
			t.Errorf("%q and %q: equal %v, same tag %v, same repository %v", a, b, equal, tag, repository)
		}
		if !Equal(a, a) {
			t.Errorf("%q is not itself", a)
		}
		if r, err := Parse(a); err == nil {
			if again, err := Parse(Join(r.Repository(), r.Tag, r.Digest)); err != nil || again != r {
				t.Errorf("%q is %v, and that is %v (%v)", a, r, again, err)
			}
		}
	})
}

func TestBrief(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	for in, want := range map[string]string{
		"ghcr.io/acme/backend:v1":                   "backend:v1",
		"ghcr.io/acme/backend:v1@" + digest:         "backend:v1",
		"registry.test:5000/acme/backend@" + digest: "backend@abababababab",
		"registry.test:5000/backend":                "backend",
		"backend":                                   "backend",
		"":                                          "",
	} {
		if got := Brief(in); got != want {
			t.Errorf("%q is called %q, want %q", in, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for ref, want := range map[string]string{
		"reg.io:5000/app:v1":                        "v1",
		"reg.io/app:v1@sha256:0123456789abcdef0123": "v1",
		"reg.io/app@sha256:0123456789abcdef0123":    "@0123456789ab",
		"reg.io:5000/app":                           "reg.io:5000/app",
		"app@sha256:":                               "@",
		"":                                          "",
	} {
		if got := Short(ref); got != want {
			t.Errorf("%s is %q, want %q", ref, got, want)
		}
	}
}
