package integration

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// What differs from Git, or was changed by hand, and is no drift. In every test a real drift comes last: whatever was
// changed before it has been looked at by the time that it is told.

// setImage is kubectl set image on a Deployment of the same name as its container.
func (w *World) setImage(env, app, image string) {
	w.t.Helper()
	w.kubectl(env, "set", "image", "deployment/"+app, app+"="+image)
}

// onlyDrift makes a real drift of an app, and says that it is the only one that was told.
func (w *World) onlyDrift(env, app string) {
	w.t.Helper()
	w.Publish(app, "other")
	w.setImage(env, app, w.Fleet.Image(app, "other"))
	w.adrift(env, w.Fleet.Image(app, fleet.Tag(env, 0)), "Deployment/"+app)
	var list v1alpha1.RollbackList
	w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.Namespace(env))))
	for _, r := range list.Items {
		if r.Spec.Subject.Name != w.Fleet.Image(app, fleet.Tag(env, 0)) {
			w.t.Errorf("%s is taken for a drift: %+v", r.Spec.Subject.Name, r.Status.Failures)
		}
	}
}

// annotated is a manifest in Git with an annotation.
func annotated(app, annotation string) func(*setup) {
	return vary(func(w *World) {
		file := w.Fleet.File(prod, app)
		w.Fleet.Files[file] = strings.Replace(w.Fleet.Files[file], "  labels:\n", "  annotations:\n    "+annotation+"\n  labels:\n", 1)
	})
}

func TestWhatFluxIsToldToLeaveAloneIsNoDrift(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("ignored", "once", "disabled", "drifting"), annotated("once", "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent"))
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	w.kubectl(prod, "annotate", "deployment/ignored", "kustomize.toolkit.fluxcd.io/ssa=Ignore")
	w.kubectl(prod, "label", "deployment/disabled", "kustomize.toolkit.fluxcd.io/reconcile=disabled")
	for _, app := range []string{"ignored", "once", "disabled"} {
		w.Publish(app, "other")
		w.setImage(prod, app, w.Fleet.Image(app, "other"))
	}
	w.onlyDrift(prod, "drifting")
}

func TestFlaggersPrimaryAndItsScalingAreNoDrift(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("canary", "drifting"))
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	// What Flagger makes of a target carries none of Flux's labels; the target itself it only scales.
	image := w.Fleet.Image("canary", fleet.Tag(prod, 0))
	w.kubectl(prod, "create", "deployment", "canary-primary", "--image="+image)
	w.Publish("canary", "other")
	w.kubectl(prod, "set", "image", "deployment/canary-primary", "*="+w.Fleet.Image("canary", "other"))
	w.kubectl(prod, "scale", "deployment/canary", "--replicas=0")
	// Labels can be forged: no inventory confirms these.
	w.kubectl(prod, "create", "deployment", "forged", "--image="+image)
	w.kubectl(prod, "label", "deployment/forged", "kustomize.toolkit.fluxcd.io/name="+prod, "kustomize.toolkit.fluxcd.io/namespace="+w.Fleet.FluxNamespace())
	w.kubectl(prod, "set", "image", "deployment/forged", "*="+w.Fleet.Image("canary", "other"))
	w.onlyDrift(prod, "drifting")
}

func TestImagePinnedByDigestIsNoDrift(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("pinned", "drifting"))
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	tag := fleet.Tag(prod, 0)
	w.setImage(prod, "pinned", w.Fleet.Image("pinned", tag)+"@"+w.Publish("pinned", tag))
	w.onlyDrift(prod, "drifting")
}

func TestWhatFluxAppliesIsNoDrift(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("backend", "drifting"), vary(func(w *World) {
		w.releases(release, "TIMEOUT", "30s")
	}))
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	w.runsImage(prod, "shop", w.Fleet.Image("backend", fleet.Tag(prod, 0)))
	// kustomize-controller and helm-controller bring a new image.
	image, _ := w.release(prod, "backend", 1)
	w.runsImage(prod, "shop", image)
	// flux-operator applies with a name of its own what Git does not say.
	w.Publish("backend", "operator")
	w.kubectl(prod, "set", "image", "deployment/backend", "backend="+w.Fleet.Image("backend", "operator"), "--field-manager=flux-operator")
	w.onlyDrift(prod, "drifting")
}

func TestKustomizationInTheMiddleOfApplyingIsNoDrift(t *testing.T) {
	t.Parallel()
	w := world(t, func(s *setup) { quick(s); s.Fleet.Environments = []string{"production", "staging"} })
	startSidecar(t, w)
	w.asks(prod)
	w.asks("staging")
	w.Settle()
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod)
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true }) // from now on its status is the test's
	says := func(status metav1.ConditionStatus) {
		t.Helper()
		w.Until("the Kustomization says that it applies: "+string(status), func() error {
			w.must(w.Client.Get(t.Context(), client.ObjectKeyFromObject(k), k))
			apimeta.SetStatusCondition(&k.Status.Conditions, metav1.Condition{Type: meta.ReconcilingCondition, Status: status,
				Reason: meta.ProgressingReason, Message: "Building manifests for revision main@sha1:0123 with a timeout of 1m"})
			return w.Client.Status().Update(t.Context(), k)
		})
	}
	says(metav1.ConditionTrue)
	w.Publish("backend", "other")
	w.setImage(prod, "backend", w.Fleet.Image("backend", "other"))
	w.onlyDrift("staging", "backend")
	if n := w.count(prod); n != 0 {
		t.Errorf("%d Rollbacks while Flux applies", n)
	}
	// When it has applied and the change still stands, it is one.
	says(metav1.ConditionFalse)
	w.adrift(prod, w.Fleet.Image("backend", fleet.Tag(prod, 0)), "Deployment/backend")
}

func TestRegistryRewrittenByAWebhookIsNoDrift(t *testing.T) {
	t.Parallel()
	pinned := ""
	w := world(t, quick, apps("drifting"), vary(func(w *World) {
		image := w.Fleet.Image("drifting", fleet.Tag(prod, 0)) + " " + w.Fleet.Marker(prod, "drifting", "")
		pinned = w.Fleet.Image("mirrored", "v1") + "@" + w.Publish("mirrored", "v1")
		w.Fleet.Files[w.Fleet.File(prod, "mirrored")] = strings.NewReplacer(image, pinned, "drifting", "mirrored").
			Replace(w.Fleet.Deployment(prod, "drifting"))
	}))
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	w.Until("mirrored is there", func() error {
		if image := w.LiveImage(prod, "mirrored"); image == "" {
			return errors.New("it is not")
		}
		return nil
	})
	// The same registry by another name, which is all that a mirror is here.
	mirror := strings.Replace(w.Fleet.Registry, "127.0.0.1", "localhost", 1)
	w.rewrites(prod, "mirrored", mirror)
	// A person names what Git names, the webhook rewrites it, and it is his.
	w.setImage(prod, "mirrored", pinned)
	d := w.deployment(prod, "mirrored")
	owned := slices.ContainsFunc(d.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == "kubectl-set" && strings.Contains(string(e.FieldsV1.GetRawBytes()), `"f:image"`)
	})
	if image := d.Spec.Template.Spec.Containers[0].Image; !strings.HasPrefix(image, mirror+"/") || !owned {
		t.Fatalf("the webhook did not rewrite it: %s, of kubectl: %t", image, owned)
	}
	w.onlyDrift(prod, "drifting")
}

// rewrites has a mutating webhook put another registry into a Deployment.
func (w *World) rewrites(env, app, registry string) {
	w.t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		var review admissionv1.AdmissionReview
		var d appsv1.Deployment
		if json.NewDecoder(req.Body).Decode(&review) != nil || json.Unmarshal(review.Request.Object.Raw, &d) != nil {
			http.Error(rw, "no review of a Deployment", http.StatusBadRequest)
			return
		}
		_, path, _ := strings.Cut(d.Spec.Template.Spec.Containers[0].Image, "/")
		patch, kind := fmt.Appendf(nil, `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, registry+"/"+path), admissionv1.PatchTypeJSONPatch
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if d.Name == app {
			review.Response.Patch, review.Response.PatchType = patch, &kind
		}
		_ = json.NewEncoder(rw).Encode(review)
	}))
	w.t.Cleanup(server.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf(server.TLS)}))
	w.must(w.Env.Apply(w.t.Context(), fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: %[1]s-mirror}
webhooks:
- name: mirror.test.backstop.dev
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 5
  clientConfig: {url: "%[2]s", caBundle: %[3]s}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[4]s}}
  rules: [{apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments]}]
`, w.Name, server.URL, ca, w.Fleet.Namespace(env))))
	w.t.Cleanup(func() {
		_, _ = w.Env.Kubectl(context.Background(), "delete", "mutatingwebhookconfiguration", w.Name+"-mirror")
	})
	// The API server learns of it in its own time.
	tick := 0
	w.Until("the webhook is asked", func() error {
		tick++
		w.kubectl(env, "annotate", "--overwrite", "deployment/"+app, fmt.Sprintf("tick=%d", tick))
		if image := w.LiveImage(env, app); !strings.HasPrefix(image, registry+"/") {
			return fmt.Errorf("the image is %s", image)
		}
		return nil
	})
}

// leaf is the certificate that a test server shows.
func leaf(c *tls.Config) []byte { return c.Certificates[0].Certificate[0] }
