package node

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/test/registrystub"
)

// recorded are the messages of a real kubelet by name and reason, with HOST for the registry.
func recorded(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/pulls.tsv")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(text)) {
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		all[field[0]+" "+field[1]] = field[2]
	}
	return all
}

func stub(t *testing.T, o registrystub.Options) *registrystub.Registry {
	t.Helper()
	r, err := registrystub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// pullFrom pulls as a pod on linux/amd64 would.
func pullFrom(t *testing.T, s *standIn, image string) (pulled, error) {
	t.Helper()
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node-1"}}
	return s.pullFor(t.Context(), pod, corev1.Container{Name: "c", Image: image})
}

func newStandIn() *standIn {
	return &standIn{Options: Options{}.withDefaults(), puller: newPuller(nil), pods: nil}
}

// Every way to fail that was recorded from a real kubelet and can be had on
// loopback is said in the same words. (A name server's answer cannot be had.)
func TestFailuresAreSaidInTheWordsOfARealKubelet(t *testing.T) {
	said := recorded(t)
	for _, tc := range []struct {
		name  string
		image string // as recorded
		make  func(r *registrystub.Registry)
	}{
		{name: "notfound", image: "localhost:5000/app:v9.9.9", make: func(r *registrystub.Registry) { must[string](t)(r.PushImage("app", "v1")) }},
		{name: "norepo", image: "localhost:5000/nosuchrepo:v1"},
		{name: "digest", image: "localhost:5000/app@sha256:" + strings.Repeat("0", 64)},
		{name: "platform", image: "localhost:5000/backend:production-v1.1.0-1700000100", make: func(r *registrystub.Registry) {
			must[string](t)(r.PushIndex("backend", "production-v1.1.0-1700000100", "linux/arm64"))
		}},
		{name: "d403", image: "localhost:5403/app:v1", make: func(r *registrystub.Registry) { r.Fail("/v2/", registrystub.Status(403)) }},
		{name: "u401", image: "localhost:5401/app:v1", make: func(r *registrystub.Registry) { r.Fail("/v2/", registrystub.Status(401)) }},
		{name: "r429", image: "localhost:5429/app:v1", make: func(r *registrystub.Registry) { r.Fail("/v2/", registrystub.TooMany("1")) }},
		{name: "s500", image: "localhost:5500/app:v1", make: func(r *registrystub.Registry) { r.Fail("/v2/", registrystub.Status(500)) }},
		{name: "s503", image: "localhost:5503/app:v1", make: func(r *registrystub.Registry) { r.Fail("/v2/", registrystub.Status(503)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := stub(t, registrystub.Options{})
			if tc.make != nil {
				tc.make(r)
			}
			was, rest, _ := strings.Cut(tc.image, "/")
			image := r.Host() + "/" + rest
			_, err := pullFrom(t, newStandIn(), image)
			sayWords(t, recordedWords{said, tc.name}, err, image, strings.NewReplacer(was, r.Host(), "127.0.0.1:5999", r.Host()))
		})
	}
	t.Run("blobless", func(t *testing.T) {
		r := stub(t, registrystub.Options{})
		must[string](t)(r.PushImage("blobless", "v1"))
		blobs := must[[]string](t)(r.Blobs("blobless", "v1"))
		layer := blobs[len(blobs)-1]
		if err := r.DeleteBlob("blobless", layer); err != nil {
			t.Fatal(err)
		}
		image := r.Host() + "/blobless:v1"
		_, err := pullFrom(t, newStandIn(), image)
		sayWords(t, recordedWords{said, "blobless"}, err, image, strings.NewReplacer("localhost:5000", r.Host(),
			"sha256:b2a944ebc7ecd061a6fdf6207c0c1689e775657f4a3caa6260793437c37f641e", layer,
			"application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"))
	})
	t.Run("refused", func(t *testing.T) {
		gone := must[*registrystub.Registry](t)(registrystub.Start(registrystub.Options{}))
		gone.Close()
		image := gone.Host() + "/app:v1"
		_, err := pullFrom(t, newStandIn(), image)
		sayWords(t, recordedWords{said, "refused"}, err, image, strings.NewReplacer("localhost:5999", gone.Host(), "127.0.0.1:5999", gone.Host()))
	})
	t.Run("tls", func(t *testing.T) {
		r := stub(t, registrystub.Options{TLS: true})
		image := r.Host() + "/app:v1"
		_, err := pullFrom(t, newStandIn(), image)
		sayWords(t, recordedWords{said, "tls"}, err, image, strings.NewReplacer("127.0.0.1:6443", r.Host()))
	})
	t.Run("never", func(t *testing.T) {
		_, err := newStandIn().pullFor(t.Context(), &corev1.Pod{}, corev1.Container{Image: "localhost:5000/app:zzz", ImagePullPolicy: corev1.PullNever})
		f := &failure{}
		newStandIn().failed(f, err, time.Now())
		if f.reason != "ErrImageNeverPull" || f.message != said["never ErrImageNeverPull"] {
			t.Errorf("got %s %s", f.reason, f.message)
		}
	})
}

// recordedWords are messages of failed pulls, and of which of them one has to be.
type recordedWords struct {
	words map[string]string
	of    string
}

// sayWords compares both messages of a failed pull with the recorded ones.
func sayWords(t *testing.T, said recordedWords, err error, image string, here *strings.Replacer) {
	t.Helper()
	if err == nil {
		t.Fatal("the pull did not fail")
	}
	s, f, status := newStandIn(), &failure{}, &corev1.ContainerStatus{}
	now := time.Now()
	s.failed(f, err, now)
	for _, at := range []struct {
		reason string
		when   time.Time
	}{{"ErrImagePull", now}, {"ImagePullBackOff", f.backoff}} {
		s.report(status, image, f, at.when)
		want := here.Replace(said.words[said.of+" "+at.reason])
		if want == "" {
			t.Fatalf("nothing recorded for %s %s", said.of, at.reason)
		}
		if w := status.State.Waiting; w.Reason != at.reason || w.Message != want {
			t.Errorf("at %s: -want +got:\n-%s\n+%s %s", at.reason, want, w.Reason, w.Message)
		}
	}
}

func TestAnOldKubeletHidesTheErrorBehindTheBackOff(t *testing.T) {
	s, f, status := newStandIn(), &failure{}, &corev1.ContainerStatus{}
	s.Wording = Old
	now := time.Now()
	s.failed(f, fmt.Errorf("boom"), now)
	s.report(status, "app:v1", f, f.backoff)
	if got := status.State.Waiting.Message; got != `Back-off pulling image "app:v1"` {
		t.Errorf("got %s", got)
	}
}

func TestBackOffDoublesUpToItsEnd(t *testing.T) {
	s, f, now := newStandIn(), &failure{}, time.Now()
	var waits []time.Duration
	for range 6 {
		s.failed(f, fmt.Errorf("boom"), now)
		waits = append(waits, f.retry.Sub(now))
	}
	want := []time.Duration{1e9, 2e9, 4e9, 8e9, 10e9, 10e9}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Error(diff)
	}
}

func TestANameThatDoesNotParseIsNotPulled(t *testing.T) {
	s, f := newStandIn(), &failure{}
	_, err := pullFrom(t, s, "registry.example/App:v1")
	s.failed(f, err, time.Now())
	const want = `Failed to apply default image tag "registry.example/App:v1": couldn't parse image name "registry.example/App:v1": ` +
		`invalid reference format: repository name (App) must be lowercase`
	if f.reason != "InvalidImageName" || f.message != want {
		t.Errorf("got %s %s", f.reason, f.message)
	}
}

func TestWhatIsPulledHasTheDigestOfItsTag(t *testing.T) {
	r := stub(t, registrystub.Options{})
	for _, tc := range []struct {
		name, tag, digest string
		alien             bool
	}{
		{name: "an image", tag: "image", digest: must[string](t)(r.PushImage("app", "image"))},
		{name: "an index", tag: "index", digest: must[string](t)(r.PushImage("app", "index", "linux/arm64", "linux/amd64"))},
		{name: "an image for another platform", tag: "alien", digest: must[string](t)(r.PushImage("app", "alien", "linux/arm64")), alien: true},
		{name: "an image that names no platform", tag: "plain", digest: must[string](t)(r.PushImage("app", "plain", ""))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, image := range []string{":" + tc.tag, "@" + tc.digest, ":" + tc.tag + "@" + tc.digest} {
				got, err := pullFrom(t, newStandIn(), r.Host()+"/app"+image)
				if err != nil || got.digest != tc.digest || got.repo != r.Host()+"/app" || got.alien != tc.alien {
					t.Errorf("%s: got %+v, %v", image, got, err)
				}
			}
		})
	}
}

func TestARegistryWhoseBlobIsNotItsDigestIsNotBelieved(t *testing.T) {
	r := stub(t, registrystub.Options{})
	must[string](t)(r.PushImage("app", "v1"))
	blobs := must[[]string](t)(r.Blobs("app", "v1"))
	r.Fail("GET /v2/app/blobs/"+blobs[1], registrystub.HTML())
	_, err := pullFrom(t, newStandIn(), r.Host()+"/app:v1")
	if err == nil || !strings.HasPrefix(err.Error(), "rpc error: code = FailedPrecondition desc = ") || !strings.Contains(err.Error(), "unexpected commit digest") {
		t.Errorf("got %v", err)
	}
}

func TestARegistryThatNeverAnswersIsGivenUp(t *testing.T) {
	r := stub(t, registrystub.Options{})
	r.Fail("/v2/", registrystub.Fault{Hang: true})
	s := newStandIn()
	s.PullTimeout = 30 * time.Millisecond
	if _, err := pullFrom(t, s, r.Host()+"/app:v1"); err == nil || !strings.Contains(err.Error(), "context deadline exceeded") {
		t.Errorf("got %v", err)
	}
}

func TestPrivateRegistriesAreAskedWithTheFirstSecretThatFits(t *testing.T) {
	for _, o := range []registrystub.Options{
		{Basic: &registrystub.Login{Username: "u", Password: "p"}},
		{Token: &registrystub.Login{Username: "u", Password: "p"}},
	} {
		private(t, stub(t, o))
	}
}

func private(t *testing.T, r *registrystub.Registry) {
	must[string](t)(r.PushImage("team/app", "v1"))
	named := must[reference.Named](t)(reference.ParseDockerRef(r.Host() + "/team/app:v1"))
	secret := func(auths map[string]any) []byte {
		return must[[]byte](t)(json.Marshal(map[string]any{"auths": auths}))
	}
	good := map[string]any{"auth": base64.StdEncoding.EncodeToString([]byte("u:p"))}
	bad := map[string]any{"username": "u", "password": "wrong"}
	for _, tc := range []struct {
		name  string
		auths map[string]any
		fits  bool
		want  string // in the error
	}{
		{name: "the host", auths: map[string]any{r.Host(): good}, fits: true},
		{name: "the host as a URL", auths: map[string]any{"https://" + r.Host() + "/v1/": good}, fits: true},
		{name: "the longer path before the host", auths: map[string]any{r.Host() + "/team": good, r.Host(): bad}, fits: true},
		{name: "a wrong password", auths: map[string]any{r.Host(): bad}, fits: true, want: "401 Unauthorized"},
		{name: "another host", auths: map[string]any{"ghcr.io": good}, want: "401 Unauthorized"},
		{name: "a path that only begins alike", auths: map[string]any{r.Host() + "/te": good}, want: "401 Unauthorized"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			as, ok, err := loginFor(secret(tc.auths), named)
			if err != nil || ok != tc.fits {
				t.Fatalf("fits: %v, %v", ok, err)
			}
			_, err = newPuller(nil).pull(t.Context(), named, Node{OS: "linux", Arch: "amd64"}, as)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, _, err := loginFor([]byte("{"), named); err == nil {
		t.Error("a broken secret is not told")
	}
}

func TestATokenServerThatRefusesIsNamed(t *testing.T) {
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+server.URL+`/token",service="stub"`)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	image := strings.TrimPrefix(server.URL, "http://") + "/app:v1"
	_, err := newPuller(nil).pull(context.Background(), must[reference.Named](t)(reference.ParseDockerRef(image)), Node{}, login{})
	want := fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference %q: failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized", image, image)
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
