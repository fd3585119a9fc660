package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestPlatformsMatchAsRuntimesDo(t *testing.T) {
	tests := map[string]struct {
		node, image string
		want        match
	}{
		"the same":                             {"linux/amd64", "linux/amd64", yes},
		"another architecture":                 {"linux/amd64", "linux/arm64", no},
		"another system":                       {"linux/amd64", "windows/amd64", no},
		"uname's names":                        {"linux/x86_64", "linux/amd64", yes},
		"Debian's names":                       {"linux/armhf", "linux/arm/v7", yes},
		"capitals":                             {"Linux/AMD64", "linux/amd64", yes},
		"arm64 is v8":                          {"linux/arm64", "linux/arm64/v8", yes},
		"8 is v8":                              {"linux/arm64/8", "linux/arm64", yes},
		"a node that does not say its variant": {"linux/arm", "linux/arm/v6", yes},
		"an older variant of arm":              {"linux/arm/v7", "linux/arm/v6", yes},
		"a newer variant of arm":               {"linux/arm/v6", "linux/arm/v7", no},
		"a newer variant of amd64, untold":     {"linux/amd64", "linux/amd64/v3", yes},
		"a newer variant of amd64":             {"linux/amd64/v2", "linux/amd64/v3", perhaps},
		"amd64/v1 is amd64":                    {"linux/amd64/v1", "linux/amd64", yes},
		"386 on amd64, which containerd pulls": {"linux/amd64", "linux/386", perhaps},
		"i686 on amd64":                        {"linux/amd64", "linux/i686", perhaps},
		"arm on arm64, which containerd pulls": {"linux/arm64", "linux/arm/v7", perhaps},
		"arm64 on arm":                         {"linux/arm/v7", "linux/arm64", no},
		"a variant that is no number":          {"linux/riscv64/rva23", "linux/riscv64/rva20", perhaps},
		"Darwin's name":                        {"macos/arm64", "darwin/arm64", yes},
		"ppc64le is not ppc64":                 {"linux/ppc64le", "linux/ppc64", no},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			node, err := platform(tt.node)
			if err != nil {
				t.Fatal(err)
			}
			image, err := v1.ParsePlatform(tt.image)
			if err != nil {
				t.Fatal(err)
			}
			if got := runs(node, *image); got != tt.want {
				t.Errorf("%s on %s is %d, want %d", tt.image, tt.node, got, tt.want)
			}
		})
	}
	for _, bad := range []string{"", "linux", "/", "linux/", "/amd64", "linux/amd64/v1/x", "linux/am d64", "li\nnux/amd64", strings.Repeat("a", 40) + "/b"} {
		if got, err := platform(bad); err == nil {
			t.Errorf("platform(%q) = %v", bad, got)
		}
	}
}

func TestPullSecretsFitAsTheKubeletMatchesThem(t *testing.T) {
	tests := map[string]struct {
		keys       []string
		repository string
		want       []string
	}{
		"the host":                              {[]string{"reg.io"}, "reg.io/team/app", []string{"reg.io"}},
		"another host":                          {[]string{"reg.io"}, "other.io/app", nil},
		"a scheme":                              {[]string{"https://reg.io"}, "reg.io/app", []string{"https://reg.io"}},
		"/v1/ counts as no path":                {[]string{"https://reg.io/v1/", "reg.io/v2/"}, "reg.io/app", []string{"https://reg.io/v1/", "reg.io/v2/"}},
		"a path prefix":                         {[]string{"reg.io/team"}, "reg.io/team/app", []string{"reg.io/team"}},
		"another path":                          {[]string{"reg.io/team"}, "reg.io/other/app", nil},
		"the more specific first":               {[]string{"reg.io", "reg.io/team/app", "reg.io/team"}, "reg.io/team/app", []string{"reg.io/team/app", "reg.io/team", "reg.io"}},
		"a wildcard":                            {[]string{"*.azurecr.io"}, "mine.azurecr.io/app", []string{"*.azurecr.io"}},
		"a wildcard stands for one part":        {[]string{"*.io"}, "a.b.io/app", nil},
		"a wildcard within a part":              {[]string{"*-docker.pkg.dev"}, "europe-docker.pkg.dev/p/r/app", []string{"*-docker.pkg.dev"}},
		"the port counts":                       {[]string{"reg.io"}, "reg.io:5000/app", nil},
		"the same port":                         {[]string{"reg.io:5000"}, "reg.io:5000/app", []string{"reg.io:5000"}},
		"Docker Hub":                            {[]string{"https://index.docker.io/v1/"}, "docker.io/library/app", []string{"https://index.docker.io/v1/"}},
		"docker.io itself":                      {[]string{"docker.io"}, "docker.io/library/app", []string{"docker.io"}},
		"docker.io goes before index.docker.io": {[]string{"https://index.docker.io/v1/", "docker.io"}, "docker.io/library/app", []string{"docker.io"}},
		"Docker Hub's is for nobody else":       {[]string{"https://index.docker.io/v1/"}, "reg.io/library/app", nil},
		"a name that is none":                   {[]string{"https://", "%zz", ""}, "reg.io/app", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			auths := map[string]any{}
			for _, k := range tt.keys {
				auths[k] = map[string]string{"username": k + "#", "password": "pw"}
			}
			data, err := json.Marshal(map[string]any{"auths": auths})
			if err != nil {
				t.Fatal(err)
			}
			found, note := credentials([][]byte{data}, tt.repository)
			var got []string
			for _, c := range found {
				got = append(got, strings.TrimSuffix(c.config.Username, "#"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || note != "" {
				t.Errorf("%s%s", diff, note)
			}
		})
	}
}

func TestEveryFormOfAnEntryIsRead(t *testing.T) {
	tests := map[string]struct{ entry, user, password, identity, bearer string }{
		"a pair":              {`{"username":"bob","password":"pw"}`, "bob", "pw", "", ""},
		"auth":                {`{"auth":"Ym9iOnB3"}`, "bob", "pw", "", ""},
		"auth with padding":   {`{"auth":"Ym9iOnB3MQ=="}`, "bob", "pw1", "", ""},
		"auth before a pair":  {`{"auth":"Ym9iOnB3","username":"eve","password":"x"}`, "bob", "pw", "", ""},
		"a colon in the word": {`{"auth":"Ym9iOnA6dw=="}`, "bob", "p:w", "", ""},
		"an identity token":   {`{"auth":"MDA6","identitytoken":"id"}`, "00", "", "id", ""},
		"a bearer token":      {`{"registrytoken":"tok"}`, "", "", "", "tok"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found, note := credentials([][]byte{[]byte(`{"auths":{"reg.io":` + tt.entry + `}}`)}, "reg.io/app")
			if len(found) != 1 || note != "" {
				t.Fatalf("found %d, %s", len(found), note)
			}
			c := found[0].config
			if c.Username != tt.user || c.Password != tt.password || c.IdentityToken != tt.identity || c.RegistryToken != tt.bearer {
				t.Errorf("got %q %q %q %q", c.Username, c.Password, c.IdentityToken, c.RegistryToken)
			}
		})
	}
	for _, bad := range []string{`{"auths":{"reg.io":{}}}`, `{"auths":{"reg.io":{"auth":"***"}}}`, `{"auths":{"reg.io":7}}`, `{"auths":null}`, `{}`, `{"HttpHeaders":{"a":"b"}}`} {
		if found, note := credentials([][]byte{[]byte(bad)}, "reg.io/app"); len(found) != 0 || note != "" {
			t.Errorf("%s: found %d, %s", bad, len(found), note)
		}
	}
	if found, _ := credentials([][]byte{[]byte(`{"auths":{"reg.io":{"auth":"***"},"reg.io/app":{"username":"a","password":"b"}}}`)}, "reg.io/app"); len(found) != 1 {
		t.Errorf("one bad entry hides another: found %d", len(found))
	}
}

// answering is a transport that answers everything.
type answering struct{ asked []string }

func (a *answering) RoundTrip(req *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, req.URL.String())
	return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}, Request: req}, nil
}

func TestAPublicRegistryDoesNotLeadInside(t *testing.T) {
	for _, url := range []string{
		"https://169.254.169.254/latest/meta-data", "https://127.0.0.1/x", "https://10.0.0.1/x", "https://192.168.1.1/x",
		"https://[::1]/x", "https://[fd00:ec2::254]/x", "https://[::ffff:127.0.0.1]/x", "https://localhost:8080/x", "https://a.localhost/x",
		"https://0.0.0.0/x", "https://[fe80::1]/x",
	} {
		a := &answering{}
		g := &guard{next: a, note: func(*http.Response) {}}
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.RoundTrip(req); !errors.Is(err, errInside) || len(a.asked) != 0 {
			t.Errorf("%s was asked: %v", url, err)
		}
		g.inner = true
		if _, err := g.RoundTrip(req); err != nil {
			t.Errorf("%s from an inner registry: %v", url, err)
		}
	}
	a := &answering{}
	g := &guard{next: a, note: func(*http.Response) {}}
	req, _ := http.NewRequest(http.MethodGet, "http://storage.example.com/x", nil)
	if _, err := g.RoundTrip(req); !errors.Is(err, errPlain) || len(a.asked) != 0 {
		t.Errorf("plain HTTP was spoken: %v", err)
	}
	req, _ = http.NewRequest(http.MethodGet, "https://storage.example.com/x", nil)
	if _, err := g.RoundTrip(req); err != nil {
		t.Errorf("another public host: %v", err)
	}
}

func TestOnlySoManyRegistriesAreRemembered(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	l := newLimits(func() time.Time { return now })
	resp := &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"60"}}}
	for i := range 2 * maxLimits {
		l.note(asker{host: "a", key: strings.Repeat("a", i)}, resp)
	}
	if len(l.until) != maxLimits {
		t.Errorf("%d registries are remembered", len(l.until))
	}
	now = now.Add(time.Minute)
	l.note(asker{host: "b", key: "b"}, resp)
	if len(l.until) != 1 {
		t.Errorf("%d are remembered after their time", len(l.until))
	}
	// One that answers for many hosts does not have the others' wishes forgotten.
	ask := func(key, after string) {
		l.note(asker{host: key, key: key}, &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {after}}})
	}
	for i := range 2 * maxLimits {
		ask(fmt.Sprint("evil", i), "900")
	}
	ask("honest", "60")
	for i := range 2 * maxLimits {
		ask(fmt.Sprint("more", i), "900")
	}
	if l.closed(asker{host: "honest", key: "honest"}) == nil || len(l.until) > maxLimits {
		t.Errorf("what a registry asked for is forgotten; %d are remembered", len(l.until))
	}
}

func TestQuestionsAreToldApart(t *testing.T) {
	base := reconcile.Question{Image: "reg.io/a:b", Platforms: []string{"x", "y"}, Access: reconcile.Access{DockerConfigs: [][]byte{[]byte("c")}}}
	seen := map[string]string{}
	for name, change := range map[string]func(*reconcile.Question){
		"base":     func(*reconcile.Question) {},
		"image":    func(q *reconcile.Question) { q.Image = "reg.io/a:c" },
		"platform": func(q *reconcile.Question) { q.Platforms = []string{"xy"} },
		"moved":    func(q *reconcile.Question) { q.Platforms, q.Witness = []string{"y"}, "x" },
		"deep":     func(q *reconcile.Question) { q.Deep = true },
		"secret":   func(q *reconcile.Question) { q.Access.DockerConfigs = [][]byte{[]byte("d")} },
		"insecure": func(q *reconcile.Question) { q.Access.Insecure = true },
		"ca":       func(q *reconcile.Question) { q.Access.CA = []byte("c") },
		"proxy":    func(q *reconcile.Question) { q.Access.Proxy = "p" },
		"provider": func(q *reconcile.Question) { q.Access.Provider = "p" },
	} {
		q := base
		change(&q)
		key := questionKey(q)
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s are the same question", name, other)
		}
		seen[key] = name
	}
}

func FuzzImage(f *testing.F) {
	for _, s := range []string{"app", "reg.io/app:v1", "app@sha256:0000000000000000000000000000000000000000000000000000000000000000",
		"reg.io:5000/a/b:c@sha256:0000000000000000000000000000000000000000000000000000000000000000", "A", "a:", "//", "[::1]:5000/a", "\x00", "https://a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, image string) {
		got, err := parse(image, reconcile.Access{})
		e := asError(err)
		switch {
		case err == nil:
			if got.ref.Context().RegistryStr() == "" || got.ref.Identifier() == "" || strings.ContainsAny(got.short+got.host(), " \n\x00\x1b") {
				t.Errorf("%q is read as %+v", image, got)
			}
		case e.proved != (e.Cause == v1alpha1.CauseInvalidName):
			t.Errorf("%q: %+v", image, e)
		case strings.ContainsAny(e.Sentence, "\n\x00\x1b"):
			t.Errorf("%q: control characters in %q", image, e.Sentence)
		}
	})
}

func FuzzDockerConfig(f *testing.F) {
	f.Add([]byte(`{"auths":{"reg.io":{"auth":"Ym9iOnB3"}}}`), "reg.io/app")
	f.Add([]byte(`{"reg.io/team":{"username":"a","password":"b"}}`), "reg.io/team/app")
	f.Add([]byte(`{"auths":{"*.io":{"auth":"***"}},"credsStore":"x"}`), "a.io/app")
	f.Add([]byte(`{"auths":{"[":{"username":"a","password":"b"}}}`), "docker.io/library/app")
	f.Fuzz(func(t *testing.T, data []byte, repository string) {
		found, note := credentials([][]byte{data, data}, repository)
		if len(found) > maxCredentials {
			t.Errorf("%d credentials", len(found))
		}
		if len(data) > 20 && strings.Contains(note, string(data)) {
			t.Errorf("the secret is in %q", note)
		}
		for _, c := range found {
			if c.from == 0 || strings.Contains(c.describe(), "\n") {
				t.Errorf("%q", c.describe())
			}
		}
	})
}

func FuzzTags(f *testing.F) {
	for _, s := range []string{`{"name":"a","tags":["v1","v2"]}`, `{"tags":null}`, `{"tags":{}}`, `{"tags":["a`, `[]`, `{"x":{"tags":["a"]},"tags":["b"]}`, ``} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, body string, limit int) {
		tags, _ := readTags(strings.NewReader(body), limit)
		if len(tags) > max(limit, 0) {
			t.Errorf("%d tags, at most %d", len(tags), limit)
		}
		for _, tag := range tags {
			if !tagName.MatchString(tag) {
				t.Errorf("%q is no tag", tag)
			}
		}
	})
}
