package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestARegistryIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	tests := map[string]struct {
		fault registrystub.Fault
		cause v1alpha1.Cause
		waits time.Duration
	}{
		"seconds":                  {registrystub.TooMany("7"), v1alpha1.CauseRateLimited, 7 * time.Second},
		"a date":                   {registrystub.TooMany("Sat, 21 Nov 2026 09:02:00 GMT"), v1alpha1.CauseRateLimited, 2 * time.Minute},
		"nothing":                  {registrystub.TooMany(""), v1alpha1.CauseRateLimited, time.Minute},
		"nonsense":                 {registrystub.TooMany("-7 or so"), v1alpha1.CauseRateLimited, time.Minute},
		"no time":                  {registrystub.TooMany("0"), v1alpha1.CauseRateLimited, time.Second},
		"a year":                   {registrystub.TooMany("31536000"), v1alpha1.CauseRateLimited, 15 * time.Minute},
		"a date long ago":          {registrystub.TooMany("Sat, 21 Nov 2020 09:02:00 GMT"), v1alpha1.CauseRateLimited, time.Second},
		"unavailable, with a time": {registrystub.Fault{Status: 503, Header: map[string]string{"Retry-After": "30"}}, v1alpha1.CauseRegistryUnavailable, 30 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := start(t, registrystub.Options{})
			p.push("app", "v1")
			p.push("other", "v1")
			c := newClock()
			r := registry.New(registry.Options{Now: c.now})
			ask := func(image string) reconcile.Proof {
				return r.Prove(context.Background(), reconcile.Question{Image: p.Host() + "/" + image})
			}
			stop := p.Fail("/v2/app/", tt.fault)
			if got := ask("app:v1"); got.Cause != tt.cause {
				t.Fatalf("got %s: %s", got.Cause, got.Sentence)
			}
			stop()
			p.Forget()
			c.pass(tt.waits - time.Millisecond)
			for _, image := range []string{"app:v1", "other:v1"} {
				got := ask(image)
				if got.Finding != reconcile.FindingUnproved || got.Cause != tt.cause || !strings.Contains(got.Sentence, "asked not to be asked again before 09:") {
					t.Errorf("%s too early: got %s %s: %s", image, got.Finding, got.Cause, got.Sentence)
				}
			}
			if n := len(p.Requests()); n != 0 {
				t.Errorf("it was asked %d times too early", n)
			}
			c.pass(time.Millisecond)
			if got := ask("app:v1"); got.Finding != reconcile.FindingPresent {
				t.Errorf("after its time: got %s %s: %s", got.Finding, got.Cause, got.Sentence)
			}
		})
	}
}

// Whoever chooses the proxy to a registry answers in its place, and whose account is used up says so for itself.
func TestALimitIsTheAskersOwn(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("app", "v1")
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "900")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer evil.Close()
	r := registry.New(registry.Options{})
	ask := func(a reconcile.Access) v1alpha1.Cause {
		a.Insecure = true
		return r.Prove(t.Context(), reconcile.Question{Image: "registry.example.com/app:v1", Access: a}).Cause
	}
	account := func(name string) [][]byte {
		return [][]byte{[]byte(`{"auths":{"registry.example.com":{"username":"` + name + `","password":"x"}}}`)}
	}
	if got := ask(reconcile.Access{Proxy: evil.URL}); got != v1alpha1.CauseRateLimited {
		t.Fatalf("through the proxy: %s", got)
	}
	// Another proxy is the way to a registry that answers.
	honest := httptest.NewServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: p.Host()}))
	defer honest.Close()
	if got := ask(reconcile.Access{Proxy: honest.URL}); got != "" {
		t.Errorf("on another way: %s", got)
	}
	if got := ask(reconcile.Access{Proxy: evil.URL, DockerConfigs: account("jane")}); got != v1alpha1.CauseRateLimited {
		t.Errorf("with an account, on the same way: %s", got)
	}
	stop := p.Fail("/v2/", registrystub.TooMany("900"))
	if got := ask(reconcile.Access{Proxy: honest.URL, DockerConfigs: account("jane")}); got != v1alpha1.CauseRateLimited {
		t.Errorf("an account that is used up: %s", got)
	}
	stop()
	if got := ask(reconcile.Access{Proxy: honest.URL, DockerConfigs: account("omar")}); got != "" {
		t.Errorf("another account: %s", got)
	}
}

func TestOneLimitedRegistryDoesNotCloseAnother(t *testing.T) {
	limited, open := start(t, registrystub.Options{}), start(t, registrystub.Options{})
	open.push("app", "v1")
	limited.Fail("/", registrystub.TooMany("60"))
	r := registry.New(registry.Options{})
	r.Prove(context.Background(), reconcile.Question{Image: limited.Host() + "/app:v1"})
	if got := r.Prove(context.Background(), reconcile.Question{Image: open.Host() + "/app:v1"}); got.Finding != reconcile.FindingPresent {
		t.Errorf("got %s: %s", got.Finding, got.Sentence)
	}
}

func TestContentIsReadOnceAndExistenceIsAskedAnew(t *testing.T) {
	p := start(t, registrystub.Options{TLS: true})
	p.push("app", "v1", "linux/amd64", "linux/arm64")
	p.push("app", "single", "linux/amd64")
	c := newClock()
	r := registry.New(registry.Options{Now: c.now})
	ask := func(tag string) reconcile.Proof {
		return r.Prove(context.Background(), reconcile.Question{Image: p.Host() + "/app:" + tag, Platforms: []string{"linux/amd64"}, Access: p.access})
	}
	for _, tag := range []string{"v1", "single"} {
		first := ask(tag)
		if first.Finding != reconcile.FindingPresent {
			t.Fatalf("%s is %s: %s", tag, first.Finding, first.Sentence)
		}
		p.Forget()
		c.pass(9 * time.Second)
		if again := ask(tag); again != first || len(p.Requests()) != 0 {
			t.Errorf("%s was asked %q within ten seconds", tag, p.Requests())
		}
		c.pass(time.Second)
		again := ask(tag)
		if again.Finding != reconcile.FindingPresent || !again.At.After(first.At) {
			t.Errorf("%s is %s at %s", tag, again.Finding, again.At)
		}
		if got := strings.Join(p.Requests(), ", "); got != "HEAD /v2/app/manifests/"+tag {
			t.Errorf("%s was asked again with %s", tag, got)
		}
	}
	p.must(p.DeleteTag("app", "v1"))
	c.pass(10 * time.Second)
	if got := ask("v1"); got.Finding != reconcile.FindingAbsent {
		t.Errorf("deleted, it is %s: %s", got.Finding, got.Sentence)
	}
}

func TestASessionThatIsRefusedIsOpenedAnew(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("app", "v1")
	p.push("app", "v2")
	r := registry.New(registry.Options{})
	ask := func(tag string) reconcile.Proof {
		return r.Prove(context.Background(), reconcile.Question{Image: p.Host() + "/app:" + tag})
	}
	if got := ask("v1"); got.Finding != reconcile.FindingPresent {
		t.Fatal(got.Sentence)
	}
	p.Fail("HEAD /v2/app/manifests/", registrystub.Fault{Status: 401, Times: 1})
	if got := ask("v2"); got.Finding != reconcile.FindingPresent {
		t.Errorf("refused once: %s", got.Sentence)
	}
	greetings := 0
	for _, line := range p.Requests() {
		if line == "GET /v2/" {
			greetings++
		}
	}
	if greetings != 2 {
		t.Errorf("it was greeted %d times: %q", greetings, p.Requests())
	}
	p.Fail("HEAD /v2/app/manifests/", registrystub.Status(401))
	p.Forget()
	if got := ask("v3"); got.Cause != v1alpha1.CauseUnauthorized {
		t.Errorf("refused for good: %s", got.Sentence)
	}
	if n := p.Count("HEAD", "/v2/app/"); n != 2 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestAnUnprovedAnswerIsNotKept(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("app", "v1")
	r := registry.New(registry.Options{Now: newClock().now})
	stop := p.Fail("/v2/app/", registrystub.Status(500))
	q := reconcile.Question{Image: p.Host() + "/app:v1"}
	if got := r.Prove(context.Background(), q); got.Finding != reconcile.FindingUnproved {
		t.Fatalf("got %s", got.Finding)
	}
	stop()
	if got := r.Prove(context.Background(), q); got.Finding != reconcile.FindingPresent {
		t.Errorf("got %s: %s", got.Finding, got.Sentence)
	}
}

func TestExistenceCostsNoGET(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("app", "v1")
	p.prove(reconcile.Question{Image: p.Host() + "/app:v1", Witness: p.Host() + "/"})
	if n := p.Count("GET", "/v2/app/"); n != 0 {
		t.Errorf("%d GETs: %q", n, p.Requests())
	}
}

func TestTheSameQuestionIsPutOnce(t *testing.T) {
	p := start(t, registrystub.Options{Latency: 20 * time.Millisecond})
	p.push("app", "v1", "linux/amd64", "linux/arm64")
	r := registry.New(registry.Options{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got := r.Prove(context.Background(), reconcile.Question{Image: p.Host() + "/app:v1", Platforms: []string{"linux/amd64"}})
			if got.Finding != reconcile.FindingPresent {
				t.Errorf("got %s: %s", got.Finding, got.Sentence)
			}
		})
	}
	all.Wait()
	if n := p.Count("HEAD", "/v2/app/manifests/v1"); n != 1 {
		t.Errorf("it was put %d times: %q", n, p.Requests())
	}
}

func TestManyQuestionsShareAGreeting(t *testing.T) {
	p := start(t, registrystub.Options{Token: &registrystub.Login{}})
	for i := range 20 {
		p.push("app", fmt.Sprintf("v%d", i))
	}
	r := registry.New(registry.Options{})
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if got := r.Prove(context.Background(), reconcile.Question{Image: fmt.Sprintf("%s/app:v%d", p.Host(), i)}); got.Finding != reconcile.FindingPresent {
				t.Errorf("got %s: %s", got.Finding, got.Sentence)
			}
		})
	}
	all.Wait()
	if n := p.Count("GET", "/token"); n != 1 {
		t.Errorf("%d tokens were fetched", n)
	}
}

func TestOthersDoNotShareCredentialsOrAnswers(t *testing.T) {
	bob := &registrystub.Login{Username: "bob", Password: "pw"}
	p := start(t, registrystub.Options{Token: bob})
	p.push("app", "v1")
	r := registry.New(registry.Options{})
	in := reconcile.Access{DockerConfigs: [][]byte{dockerConfig(p.Host(), "bob", "pw")}}
	q := reconcile.Question{Image: p.Host() + "/app:v1", Access: in}
	if got := r.Prove(context.Background(), q); got.Finding != reconcile.FindingPresent {
		t.Fatalf("got %s: %s", got.Finding, got.Sentence)
	}
	q.Access = reconcile.Access{}
	if got := r.Prove(context.Background(), q); got.Cause != v1alpha1.CauseUnauthorized {
		t.Errorf("without credentials got %s %s: %s", got.Finding, got.Cause, got.Sentence)
	}
}

func TestADigestIsResolved(t *testing.T) {
	p := start(t, registrystub.Options{TLS: true})
	want := p.push("app", "v1", "linux/amd64", "linux/arm64")
	r := registry.New(registry.Options{})
	got, err := r.ResolveDigest(context.Background(), p.Host()+"/app:v1", p.access)
	if err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if n := p.Count("GET", "/v2/app/"); n != 0 {
		t.Errorf("it cost %d GETs", n)
	}
	for image, cause := range map[string]v1alpha1.Cause{
		p.Host() + "/app:v9": v1alpha1.CauseNotFound,
		p.Host() + "/App:v9": v1alpha1.CauseInvalidName,
		"127.0.0.1:1/app:v9": v1alpha1.CauseRegistryUnavailable,
	} {
		got, err := r.ResolveDigest(context.Background(), image, p.access)
		var e *registry.Error
		if got != "" || !errors.As(err, &e) || e.Cause != cause {
			t.Errorf("%s: got %q, %v, want %s", image, got, err, cause)
		}
	}
}

func TestTagsAreListedPageByPage(t *testing.T) {
	p := start(t, registrystub.Options{})
	var want []string
	for i := range 7 {
		p.push("team/app", fmt.Sprintf("v%d", i))
		want = append(want, fmt.Sprintf("v%d", i))
	}
	pages := map[string]registrystub.Fault{
		"": {Body: `{"name":"team/app","tags":["v0","v1","no tag","v2"]}`, Header: map[string]string{"Link": `</v2/team/app/tags/list/more?last=v2>; rel="next"`}},
	}
	r := registry.New(registry.Options{})
	list := func(max int) []string {
		t.Helper()
		got, err := r.Tags(context.Background(), p.Host()+"/team/app", reconcile.Access{}, max)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := list(100); !slices.Equal(got, want) {
		t.Errorf("one page: %q, want %q", got, want)
	}
	if got := list(3); !slices.Equal(got, want[:3]) {
		t.Errorf("at most three: %q", got)
	}
	p.Fail("/v2/team/app/tags/list/more", registrystub.Fault{Body: `{"tags":["v3","v4"]}`})
	stop := p.Fail("/v2/team/app/tags/list", pages[""])
	p.Fail("/v2/team/app/tags/list/more", registrystub.Fault{Body: `{"tags":["v3","v4"]}`})
	if got := list(100); !slices.Equal(got, want[:5]) {
		t.Errorf("two pages: %q", got)
	}
	stop()
	elsewhere := pages[""]
	elsewhere.Header = map[string]string{"Link": `<http://evil.example.com/v2/x/tags/list>; rel="next"`}
	p.Fail("/v2/team/app/tags/list", elsewhere)
	if got := list(100); !slices.Equal(got, want[:3]) {
		t.Errorf("a page elsewhere was followed: %q", got)
	}
	elsewhere.Header = map[string]string{"Link": `</v2/team/app/tags/list?n=100>; rel="next"`}
	p.Fail("/v2/team/app/tags/list", elsewhere)
	if got := list(100); !slices.Equal(got, want[:3]) {
		t.Errorf("a page was followed to itself: %q", got)
	}
	p.Fail("/v2/team/app/tags/list", registrystub.Fault{Body: `{"name":"team/app","tags":null}`})
	if got := list(100); len(got) != 0 {
		t.Errorf("no tags: %q", got)
	}
	p.Fail("/v2/team/app/tags/list", registrystub.Status(http.StatusForbidden))
	_, err := r.Tags(context.Background(), p.Host()+"/team/app", reconcile.Access{}, 5)
	var e *registry.Error
	if !errors.As(err, &e) || e.Cause != v1alpha1.CauseUnauthorized {
		t.Errorf("forbidden: %v", err)
	}
}

func TestTheUserAgentIsSent(t *testing.T) {
	p := start(t, registrystub.Options{})
	p.push("app", "v1")
	registry.New(registry.Options{UserAgent: "backstop/1.2"}).Prove(context.Background(), reconcile.Question{Image: p.Host() + "/app:v1"})
	for _, h := range p.Headers() {
		if !strings.HasPrefix(h.Get("User-Agent"), "backstop/1.2 ") {
			t.Errorf("User-Agent is %q", h.Get("User-Agent"))
		}
	}
}
