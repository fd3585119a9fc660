package integration

import (
	"fmt"
	"strings"
	"testing"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// Restraint: Git is left as it is where the image is not proved to be at fault.

// anyone lets the changes of people be reverted too.
func anyone(p *v1alpha1.RollbackPolicy) {
	for i := range p.Spec.Triggers {
		p.Spec.Triggers[i].Authors = v1alpha1.AuthorsAnyone
	}
}

// unmoved sees that Git stays what it is while automation runs and Backstop has the time to do wrong.
func (w *World) unmoved(env, tip string) {
	w.t.Helper()
	w.automationRan(env, 3)
	w.staysAt(tip)
}

// staysAt fails the test with what was written to the branch after a commit, if anything was.
func (w *World) staysAt(tip string) {
	w.t.Helper()
	if got := w.Tip(); got != tip {
		w.t.Errorf("the tip is %s, want it left at %s: %s", got, tip, w.git("log", "--format=%h %an: %s: %b", tip+".."+got, "--"))
	}
}

// reverts counts Backstop's reverts on the branch.
func (w *World) reverts() int {
	w.t.Helper()
	n := 0
	for body := range strings.SplitSeq(w.git("log", "--format=%B%x00", fleet.Branch), "\x00") {
		if strings.Contains(body, "This reverts commit ") && strings.Contains(body, "Backstop-Rollback: ") {
			n++
		}
	}
	return n
}

// outages is a world in which each app's images are in a registry of its own.
type outages struct {
	*World
	of map[string]*registrystub.Registry
}

func worldOfOutages(t *testing.T) *outages {
	o := &outages{of: map[string]*registrystub.Registry{}}
	names := []string{"unauthorized", "forbidden", "limited", "broken", "down", "tls", "dns"}
	o.World = world(t, quick, apps(names...), func(s *setup) {
		s.Fleet.Registries, s.Node.Trust = map[string]string{}, map[string][]byte{}
		for _, app := range names {
			r, err := registrystub.Start(registrystub.Options{TLS: app == "tls"})
			if err != nil {
				t.Fatal(err)
			}
			o.of[app] = r
			t.Cleanup(func() { o.of[app].Close() })
			s.Fleet.Registries[app] = r.Host()
			if _, err := r.PushIndex(app, fleet.Tag(prod, 0), "linux/amd64"); err != nil {
				t.Fatal(err)
			}
			if app == "tls" {
				s.Node.Trust[r.Host()] = r.CA()
			}
		}
		s.Vary = func(w *World) {
			repository := fleet.Get[*reflectorv1.ImageRepository](w.Fleet, w.Fleet.Namespace(prod), "tls")
			repository.Spec.Insecure, repository.Spec.CertSecretRef = false, &fluxmeta.LocalObjectReference{Name: "registry-ca"}
			w.Fleet.Objects = append(w.Fleet.Objects, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "registry-ca"},
				Data:       map[string][]byte{"ca.crt": o.of["tls"].CA()},
			})
		}
	})
	return o
}

// begin makes every registry fail in its own way.
func (o *outages) begin() {
	o.of["unauthorized"].Fail("/v2/", registrystub.Status(401))
	o.of["forbidden"].Fail("/v2/", registrystub.Status(403))
	o.of["limited"].Fail("/v2/", registrystub.TooMany("2"))
	o.of["broken"].Fail("/v2/", registrystub.Status(500))
	o.of["down"].Close()
}

// heal makes them answer again, with what they held.
func (o *outages) heal() {
	for app, r := range o.of {
		if app != "down" {
			r.Heal()
		}
	}
	back, err := registrystub.Start(registrystub.Options{Addr: o.Fleet.Registries["down"]})
	o.must(err)
	o.of["down"] = back
	for n, platform := range []string{"linux/amd64", "linux/arm64"} {
		_, err := back.PushIndex("down", fleet.Tag(prod, n), platform)
		o.must(err)
	}
	o.grantSecrets(o.Fleet.Namespace(prod), "registry-ca")
}

func TestRegistryDown_401_403_429_500_DNS_TLS(t *testing.T) {
	t.Parallel()
	w := worldOfOutages(t)
	w.Settle()
	bad := fleet.Tag(prod, 1)
	says := map[string]string{
		"unauthorized": "refuses this client (401 Unauthorized)",
		"forbidden":    "refuses this client (403 Forbidden)",
		"limited":      "limits this client (429 Too Many Requests)",
		"broken":       "answers 500 Internal Server Error",
		"down":         "cannot be reached: connection refused",
		"tls":          "cannot be reached: TLS: its certificate is signed by an unknown authority",
	}
	for app := range says {
		_, err := w.of[app].PushIndex(app, bad, "linux/arm64")
		w.must(err)
	}
	for app := range says {
		w.wroteBack(prod, app, bad)
		w.fails(prod, w.Fleet.Image(app, bad))
	}
	// A host that nobody knows is what a person writes, not automation.
	unknown := "registry.invalid/dns:" + bad
	typed, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "dns"), "Move", func(text string) string {
		from := w.Fleet.Image("dns", fleet.Tag(prod, 0)) + " " + w.Fleet.Marker(prod, "dns", "")
		return strings.ReplaceAll(text, from, unknown)
	})
	w.must(err)
	w.fails(prod, unknown)
	w.begin()
	w.auto(prod, anyone)
	startSidecar(t, w.World, "--budget=100/1h")

	tip := w.Tip()
	for app, words := range says {
		w.waits(prod, w.Fleet.Image(app, bad), "a person decides by", w.of[app].Host(), words)
	}
	w.waits(prod, w.Fleet.Image("tls", bad), "registry-ca", "component credentials")
	w.waits(prod, unknown, "a person decides by", "registry.invalid cannot be reached: the name")
	w.unmoved(prod, tip)

	w.heal()
	for app := range says {
		w.ends(prod, w.Fleet.Image(app, bad), v1alpha1.ResultVerified)
		w.runs(prod, app, fleet.Tag(prod, 0))
	}
	if n := w.reverts(); n == 0 || n > len(says) {
		t.Errorf("%d reverts for %d images", n, len(says))
	}
	_, err = w.Alice.Revert(t.Context(), typed)
	w.must(err)
	w.ends(prod, unknown, v1alpha1.ResultSuperseded, "no longer says "+unknown)
	w.runs(prod, "dns", fleet.Tag(prod, 0))
}

func Test404FromARegistryThatShowsThisClientNothing(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	// The scan still lists the tags, so that automation writes; then nothing is shown any more.
	manifests := w.Registry.Fail("/v2/backend/manifests/", registrystub.Hidden())
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	everything := w.Registry.Fail("/v2/backend/", registrystub.Hidden())

	r := w.waits(prod, bad, "a person decides by", "the registry does not confirm that the image cannot run", "answers 404 for backend:"+fleet.Tag(prod, 1),
		"shows this client no other tag", "proves nothing")
	if got := r.Status.Failures[0].Cause; got != v1alpha1.CauseNotFound {
		t.Errorf("the kubelet's 404 is %s", got)
	}
	w.unmoved(prod, tip)

	// The same 404 beside a tag that is shown proves nothing either, while the list of tags names the image: so answers a
	// cache whose upstream does not let it in.
	w.Registry.Fail("/v2/backend/manifests/"+fleet.Tag(prod, 1), registrystub.Hidden())
	everything()
	manifests()
	w.waits(prod, bad, "answers 404 for backend:"+fleet.Tag(prod, 1), "proves nothing here", "its list of tags has it")
	w.unmoved(prod, tip)
}

func TestImageThatRanHereBefore(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, anyone)
	w.Settle()
	image := w.Fleet.Image("backend", fleet.Tag(prod, 1))
	w.Publish("backend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.runs(prod, "backend", fleet.Tag(prod, 1))
	// It is gone from the registry, though listed; a second pod wants it.
	back := w.Registry.Fail("/v2/backend/manifests/"+fleet.Tag(prod, 1), registrystub.Status(404))
	tip, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "backend"), "Scale", func(text string) string {
		return strings.ReplaceAll(text, "replicas: 1", "replicas: 2")
	})
	w.must(err)
	w.waits(prod, image, "a person decides by", "the image has run here: Deployment/backend revision 2")
	w.unmoved(prod, tip)
	back()
	w.ends(prod, image, v1alpha1.ResultRecovered, "runs the image after all")
	w.unmoved(prod, tip)
}

func TestTargetMissing(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	good, bad := fleet.Tag(prod, 0), fleet.Tag(prod, 1)

	// backend: the image before is not in the registry any more.
	w.must(w.Registry.DeleteTag("backend", good))
	failing := w.publishBad("backend", bad)
	w.wroteBack(prod, "backend", bad)
	w.ends(prod, failing, v1alpha1.ResultReportedOnly, failing+" came in with ", "there is nothing to go back to: ",
		"does not have backend:"+good+" (404), and shows this client "+bad)

	// frontend: both lack a layer, which only a look at the layers shows.
	scan := w.Registry.Fail("/v2/frontend/tags/", registrystub.Status(500))
	w.Publish("frontend", bad)
	for _, tag := range []string{good, bad} {
		blobs, err := w.Registry.Blobs("frontend", tag)
		w.must(err)
		w.must(w.Registry.DeleteBlob("frontend", blobs[1]))
	}
	scan()
	tip := w.wroteBack(prod, "frontend", bad)
	r := w.ends(prod, w.Fleet.Image("frontend", bad), v1alpha1.ResultReportedOnly, "there is nothing to go back to: ",
		"has frontend:"+good+", but not its blob sha256:")
	if got := r.Status.Failures[0].Cause; got != v1alpha1.CauseBlobMissing {
		t.Errorf("a missing layer is %s", got)
	}
	w.unmoved(prod, tip)
	if n := w.reverts(); n != 0 {
		t.Errorf("%d reverts into the dark", n)
	}
}

func TestImagesAndTargetsOfOneRegistryUnprovable(t *testing.T) {
	t.Parallel()
	names := []string{"api", "web", "worker"}
	w := world(t, quick, apps(names...))
	w.Settle()
	for _, app := range names {
		w.publishBad(app, fleet.Tag(prod, 1))
	}
	for _, app := range names {
		w.wroteBack(prod, app, fleet.Tag(prod, 1))
		w.fails(prod, "no match for platform", w.Fleet.Image(app, fleet.Tag(prod, 1)))
	}
	w.Registry.Fail("/v2/", registrystub.Status(503))
	w.auto(prod)
	startSidecar(t, w, "--budget=100/1h")

	tip := w.Tip()
	for _, app := range names {
		w.waits(prod, w.Fleet.Image(app, fleet.Tag(prod, 1)),
			fmt.Sprintf("breaker: 3 images of %s and what they replaced cannot be proved, the registry is the suspect", w.Registry.Host()))
	}
	w.unmoved(prod, tip)

	w.Registry.Heal()
	for _, app := range names {
		w.ends(prod, w.Fleet.Image(app, fleet.Tag(prod, 1)), v1alpha1.ResultVerified)
		w.runs(prod, app, fleet.Tag(prod, 0))
	}
}
