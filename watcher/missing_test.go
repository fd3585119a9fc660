package watcher

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestAMissingFluxKindIsNotWaitedForAndFoundLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t), &walks{}
		for _, kind := range []string{"imagepolicies", "imageupdateautomations", "gitrepositories", "kustomizations", "helmreleases"} {
			s.forbid(kind, 404)
		}
		s.put(t, rollback("web-1", func(r *v1alpha1.Rollback) {
			r.Status.Suspect = &v1alpha1.Suspect{Places: []v1alpha1.Place{{Marker: "flux-system:web"}}}
		}))
		w := run(t, s, r, Options{})
		want(t, "an open Rollback without Flux", r, webKey)
		if err := w.Synced(); err != nil {
			t.Errorf("Synced: %v", err)
		}
		time.Sleep(10 * time.Minute)
		if n := strings.Count(w.log.String(), "kind=ImagePolicy"); n != 1 {
			t.Errorf("%d lines about a kind that is missing, want one:\n%s", n, w.log)
		}
		if n := s.requests("/imagepolicies"); n < 5 {
			t.Errorf("asked %d times in ten minutes, want it to be tried again", n)
		}
		s.forbid("imagepolicies", 0)
		s.put(t, &imagev1.ImagePolicy{
			TypeMeta:   metav1.TypeMeta{Kind: "ImagePolicy", APIVersion: imagev1.GroupVersion.String()},
			ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "web"},
		})
		time.Sleep(time.Minute)
		want(t, "a policy of a kind that was installed later", r, webKey)
		if !strings.Contains(w.log.String(), "can be watched again") {
			t.Errorf("no line about the kind that was installed:\n%s", w.log)
		}
		s.breakWatches()
		s.forbid("imagepolicies", 404)
		time.Sleep(time.Minute)
		if n := strings.Count(w.log.String(), "cannot be watched, trying on\" kind=ImagePolicy"); n != 2 {
			t.Errorf("%d lines about a kind that went missing again, want two:\n%s", n, w.log)
		}
		w.end(t)
	})
}

func TestAMissingKindOfBackstopsOwnIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), replicaSet("web-h2", badImage), failingPod("a")), &walks{}
		s.forbid("rollbacks", 404)
		w := run(t, s, r, Options{})
		time.Sleep(time.Minute)
		want(t, "without its own kind", r)
		if err := w.Synced(); err == nil || err.Error() != "not watching yet: Rollback" {
			t.Errorf("Synced: %v", err)
		}
		if _, err := w.Open(t.Context()); err == nil {
			t.Error("Open knows what cannot be known yet")
		}
		s.forbid("rollbacks", 0)
		time.Sleep(time.Minute)
		want(t, "with its own kind", r, webKey)
		w.end(t)
	})
}

func TestAStopBeforeEverythingIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t), &walks{}
		s.forbid("pods", 403)
		w := run(t, s, r, Options{})
		w.end(t)
		if !strings.Contains(w.log.String(), "a Role is missing") {
			t.Errorf("no line says what is missing:\n%s", w.log)
		}
	})
}
