package flux

import (
	"strings"
	"testing"
	"time"
	"unicode"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
)

const (
	sha    = "e70400abca8b51a05e41a04c2cf1c017fbc93c97"
	other  = "fe244a45bba0ed558285a8a48ecce231bfc1db2d"
	sha256 = "9ca1415132305ad86eaac608ccadd093498fac825c629b6b25e8bc9465ee7c0a"
)

func TestParseID(t *testing.T) {
	for in, want := range map[string]objectID{
		"develop_backend_apps_Deployment":  {"develop", "backend", "apps", "Deployment"},
		"_develop__Namespace":              {"", "develop", "", "Namespace"},
		"default_podinfo__Service":         {"default", "podinfo", "", "Service"},
		"_system__node_rbac.io_RoleBinder": {"", "system:node", "rbac.io", "RoleBinder"},
		"a_b_helm.toolkit.fluxcd.io_HelmRelease": {
			"a", "b", "helm.toolkit.fluxcd.io", "HelmRelease",
		},
	} {
		got, err := parseID(in)
		if err != nil || got != want {
			t.Errorf("parseID(%q) = %+v, %v; want %+v", in, got, err, want)
		}
		if got.String() != in {
			t.Errorf("%+v prints as %q, want %q", got, got, in)
		}
	}
	for _, in := range []string{"", "develop", "develop_backend", "develop_backend_Deployment"} {
		if got, err := parseID(in); err == nil {
			t.Errorf("parseID(%q) = %+v, want an error", in, got)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"_develop__Namespace", "develop_backend_apps_Deployment", "a__b_c", "___", "_a__b_c_d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseID(s)
		if err != nil {
			return
		}
		if strings.Contains(id.Namespace+id.Group+id.Kind, "_") {
			t.Fatalf("%q: a field holds the separator: %+v", s, id)
		}
		if again, err := parseID(id.String()); err != nil || again != id {
			t.Fatalf("%q: %+v reads back as %+v, %v", s, id, again, err)
		}
	})
}

func TestParseRevision(t *testing.T) {
	for in, want := range map[string]revision{
		"main@sha1:" + sha:                       {"main", sha},
		"refs/heads/main@sha1:" + sha:            {"refs/heads/main", sha},
		"feature/a@b@sha1:" + sha:                {"feature/a@b", sha},
		"v1.2.3@sha1:" + strings.ToUpper(sha):    {"v1.2.3", sha},
		"sha1:" + sha:                            {"", sha},
		"main@sha256:" + sha256:                  {"main", sha256},
		"main/" + sha:                            {"main", sha},
		"feature/x/" + sha:                       {"feature/x", sha},
		"HEAD/" + sha:                            {"", sha},
		sha:                                      {"", sha},
		"":                                       {},
		"main@sha1:":                             {},
		"main@sha1:e70400a":                      {},
		"main@sha1:" + sha256:                    {},
		"main@sha256:" + sha:                     {},
		"main@md5:" + sha:                        {},
		"1.2.3+9ca141513230":                     {},
		"main@sha1:" + strings.Repeat("g", 40):   {},
		"main@sha1:" + sha + "\nmain@sha1:" + "": {},
	} {
		if got := parseRevision(in); got != want {
			t.Errorf("parseRevision(%q) = %+v, want %+v", in, got, want)
		}
	}
}

func FuzzParseRevision(f *testing.F) {
	for _, s := range []string{"main@sha1:" + sha, "main/" + sha, "latest@sha256:" + sha256, "@:/", "a@b:c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := parseRevision(s)
		if r.Commit == "" {
			if r.Ref != "" {
				t.Fatalf("%q: a reference without a commit: %+v", s, r)
			}
			return
		}
		if !commitHash.MatchString(r.Commit) || !strings.HasSuffix(strings.ToLower(s), r.Commit) {
			t.Fatalf("%q: %q is no hash of it", s, r.Commit)
		}
	})
}

func TestParseProgress(t *testing.T) {
	for in, want := range map[string]progress{
		"Running health checks for revision main@sha1:" + sha + " with a timeout of 1m30s": {
			"Running health checks", "main@sha1:" + sha, 90 * time.Second,
		},
		"Fetching manifests for revision main@sha1:" + sha + " with a timeout of 9m30s": {
			"Fetching manifests", "main@sha1:" + sha, 570 * time.Second,
		},
		"Running 'upgrade' action with timeout of 5m0s": {"Running 'upgrade' action", "", 5 * time.Minute},
		"Running 'install' action with timeout of 9999h": {
			"Running 'install' action", "", maxTimeout,
		},
	} {
		if got, ok := parseProgress(in); !ok || got != want {
			t.Errorf("parseProgress(%q) = %+v, %v; want %+v", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "Fulfilling prerequisites", "Reconciliation in progress", "x with a timeout of never",
		"x with timeout of -1s",
	} {
		if got, ok := parseProgress(in); ok {
			t.Errorf("parseProgress(%q) = %+v, want none", in, got)
		}
	}
}

func FuzzParseProgress(f *testing.F) {
	f.Add("Running health checks for revision main@sha1:" + sha + " with a timeout of 1m30s")
	f.Add("Running 'upgrade' action with timeout of 5m0s")
	f.Add(" for revision  with a timeout of 1s")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parseProgress(s)
		if ok && (p.Timeout <= 0 || p.Timeout > maxTimeout || p.What == "" || !strings.HasPrefix(s, p.What)) {
			t.Fatalf("%q: %+v", s, p)
		}
	})
}

func TestSameRepository(t *testing.T) {
	const github = "https://github.com/acme/fleet"
	for _, c := range []struct {
		name, a, b string
		want       bool
	}{
		{"the same URL", github, github, true},
		{"a suffix, a slash and the host's case", github, "https://GitHub.com/acme/fleet.git/", true},
		{"SSH and HTTPS", github, "ssh://git@github.com/acme/fleet.git", true},
		{"SSH on a port of its own and HTTPS", "https://git.acme.io:8443/fleet", "ssh://git@git.acme.io:2222/fleet",
			true},
		{"a token in one of them", github, "https://x:token@github.com/acme/fleet", true},
		{"the standard port", github, "https://github.com:443/acme/fleet", true},
		{"two servers on one host", "http://127.0.0.1:3000/fleet.git", "http://127.0.0.1:3001/fleet.git", false},
		{"another repository", github, "https://github.com/acme/fleet-infra", false},
		{"another host", github, "https://gitlab.com/acme/fleet", false},
		{"dots that lead to another path", github, "https://github.com/acme/x/../fleet", true},
		{"no URLs, but equal", "git@github.com:acme/fleet", "git@github.com:acme/fleet", true},
		{"no URLs, and not equal", "git@github.com:acme/fleet", "git@github.com:acme/fleet.git", false},
		{"hosts without a repository", "https://github.com", "ssh://github.com/", false},
		{"a scheme that Flux does not have", "file:///srv/fleet", "file:///srv/fleet.git", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sameRepository(c.a, c.b); got != c.want {
				t.Errorf("sameRepository(%q, %q) = %v", c.a, c.b, got)
			}
		})
	}
}

func FuzzSameRepository(f *testing.F) {
	f.Add("https://github.com/acme/fleet", "ssh://git@github.com/acme/fleet.git")
	f.Add("http://127.0.0.1:3000/fleet.git", "http://[::1]:3000/fleet.git")
	f.Add("https://%zz", "://")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !sameRepository(a, a) {
			t.Fatalf("%q is not itself", a)
		}
		if sameRepository(a, b) != sameRepository(b, a) {
			t.Fatalf("%q and %q: the order matters", a, b)
		}
	})
}

func TestBranchOf(t *testing.T) {
	for _, c := range []struct {
		name, want, refusal string
		ref                 *sourcev1.GitRepositoryRef
	}{
		{"nothing said is master", "master", "", nil},
		{"an empty reference is master", "master", "", &sourcev1.GitRepositoryRef{}},
		{"a branch", "main", "", &sourcev1.GitRepositoryRef{Branch: "main"}},
		{"a branch by its full name comes before a branch", "rel/1", "",
			&sourcev1.GitRepositoryRef{Name: "refs/heads/rel/1", Branch: "main"}},
		{"a commit on a branch", "", "pinned to commit " + sha, &sourcev1.GitRepositoryRef{Branch: "main",
			Commit: sha}},
		{"a tag", "", "pinned to tag v1", &sourcev1.GitRepositoryRef{Tag: "v1", Branch: "main"}},
		{"a version range", "", "pinned to the version range >=1.0", &sourcev1.GitRepositoryRef{SemVer: ">=1.0"}},
		{"a pull request", "", "pinned to the reference refs/pull/1/head",
			&sourcev1.GitRepositoryRef{Name: "refs/pull/1/head"}},
		{"a full name of no branch", "", "pinned to the reference refs/heads/",
			&sourcev1.GitRepositoryRef{Name: "refs/heads/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := branchOf(c.ref, "GitRepository/flux-system/fleet")
			if c.refusal == "" {
				if err != nil || got != c.want {
					t.Fatalf("got %q, %v; want %q", got, err, c.want)
				}
				return
			}
			if why := refusal(t, err); !strings.Contains(why, c.refusal) || !strings.Contains(why, "spec.ref.branch") {
				t.Errorf("got %q", why)
			}
		})
	}
}

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "./": "", "/": "", ".": "", "./apps/develop": "apps/develop", "apps/develop/": "apps/develop",
		"../../etc": "etc", "a/../../b": "b", "//a//b": "a/b",
	} {
		if got := cleanPath(in); got != want {
			t.Errorf("cleanPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOverlaps(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "apps", true}, {"apps", "apps", true}, {"apps/develop", "apps", true}, {"apps", "apps/develop", true},
		{"apps", "apps2", false}, {"apps/develop", "apps/staging", false},
	} {
		if got := overlaps(c.a, c.b); got != c.want {
			t.Errorf("overlaps(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

func TestTell(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain words stay", "authentication required", "authentication required"},
		{"lines become one", "a\n\tb\x00c\u2028d", "a b c d"},
		{"a token as the user", "unable to clone 'https://ghp_secret@github.com/a/b': denied",
			"unable to clone 'https://[redacted]@github.com/a/b': denied"},
		{"a password", "https://x:p@ss/w@host/r", "https://[redacted]@host/r"},
		{"the user of SSH stays", "ssh://git@github.com/a/b", "ssh://git@github.com/a/b"},
		{"a password of SSH", "ssh://git:secret@github.com/a/b", "ssh://git:[redacted]@github.com/a/b"},
		{"a proxy", "proxyconnect socks5://u:secret@proxy:1080", "proxyconnect socks5://u:[redacted]@proxy:1080"},
		{"too much is cut", strings.Repeat("ä", 500), strings.Repeat("ä", maxWords-1) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, tell(c.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzTell(f *testing.F) {
	f.Add("unable to clone 'https://x:secret@github.com/a/b'")
	f.Add("ssh://git:secret@host\nhttps://secret@host")
	f.Add("https://a:secret@b@c https://")
	f.Add("x")
	f.Fuzz(func(t *testing.T, s string) {
		got := tell(s)
		if len([]rune(got)) > maxWords {
			t.Fatalf("%d runes", len([]rune(got)))
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }) {
			t.Fatalf("%q tells what does not print", got)
		}
		if strings.Contains(s, "TOKEN") {
			return
		}
		for _, url := range []string{"https://user:TOKEN@host/path", "https://TOKEN@host", "ssh://git:TOKEN@host"} {
			if told := tell(s + url + s); strings.Contains(told, "TOKEN") {
				t.Fatalf("%q tells the password", told)
			}
		}
	})
}
