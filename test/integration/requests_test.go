package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// valuesFrom is a release whose image comes from a ConfigMap that nobody watches.
const valuesFrom = `apiVersion: v1
kind: ConfigMap
metadata:
  name: shop-values
  namespace: NS
data:
  image: IMAGE:TAG # {"$imagepolicy": "NS:backend"}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: shop
  namespace: NS
spec:
  interval: 1h
  timeout: TIMEOUT
  chart: {spec: {chart: fixed, sourceRef: {kind: GitRepository, name: fleet, namespace: NSF}}}
  valuesFrom:
  - {kind: ConfigMap, name: shop-values, valuesKey: image, targetPath: image.repository}
`

// Where a request cancels the health check that it meets, Flux is asked in order, and never in a check.
func TestRequestsInOrderWhereARequestCancelsAHealthCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, release, timeout string
		// asked are who is asked, by kind; stalls says that the bad upgrade has to fail first.
		asked  string
		stalls bool
	}{
		{"a Deployment of a Kustomization", "", "", "GitRepository", false},
		{"a release with the image in its values", release, "30s", "GitRepository", false},
		// On a slow machine the good upgrade must not take as long.
		{"a release with the image in a ConfigMap", valuesFrom, "30s", "GitRepository HelmRelease", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world(t, quick, func(s *setup) { s.Flux.CancelHealthChecks = true }, vary(func(w *World) {
				k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod)
				k.Spec.Wait, k.Spec.Timeout = true, &metav1.Duration{Duration: time.Minute}
				if c.release == "" {
					return
				}
				w.releases(c.release, "TIMEOUT", c.timeout)
				delete(w.Fleet.Files, w.Fleet.File(prod, "backend"))
			}))
			name := "backend"
			if c.release != "" {
				name = "shop"
			}
			good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
			w.runsImage(prod, name, good)
			// From here on the source fetches when it is asked, and nothing stands beside Backstop's requests.
			edit(w, &sourcev1.GitRepository{}, w.Fleet.FluxNamespace(), fleet.SourceName, func(o *sourcev1.GitRepository) {
				o.Spec.Interval.Duration = time.Hour
			})
			before := w.Tip()
			bad := w.publishBad("backend", fleet.Tag(prod, 1))
			w.next(before)
			poke := func(namespace, kind, name string) {
				t.Helper()
				_, err := w.Env.Kubectl(t.Context(), "-n", namespace, "annotate", kind, name,
					"reconcile.fluxcd.io/requestedAt="+time.Now().Format(time.RFC3339Nano))
				w.must(err)
			}
			poke(w.Fleet.FluxNamespace(), "gitrepository", fleet.SourceName)
			if c.stalls {
				w.Until("the ConfigMap says so", func() error {
					cm := Object(w, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "shop-values"}})
					if cm.Data["image"] != bad {
						return fmt.Errorf("it says %s", cm.Data["image"])
					}
					return nil
				})
				poke(w.Fleet.Namespace(prod), "helmrelease", "shop")
				w.Until("the release is stalled", func() error {
					hr := Object(w, &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "shop"}})
					if !apimeta.IsStatusConditionTrue(hr.Status.Conditions, "Stalled") {
						return fmt.Errorf("conditions %+v", hr.Status.Conditions)
					}
					return nil
				})
			}
			w.auto(prod)
			startSidecar(t, w)
			r := w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
			var asked []string
			for i, a := range r.Status.Request.Asked {
				asked = append(asked, a.Kind)
				if a.At.IsZero() || i > 0 && a.At.Before(&r.Status.Request.Asked[i-1].At) {
					t.Errorf("asked out of order: %+v", r.Status.Request.Asked)
				}
			}
			if got := strings.Join(asked, " "); got != c.asked {
				t.Errorf("asked %s, want %s", got, c.asked)
			}
			if log := w.log.String(); strings.Contains(log, "msg=canceled") && strings.Contains(log, "by=request") {
				t.Errorf("a request canceled a health check:\n%s", log)
			}
			if c.release != "" {
				hr := Object(w, &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "shop"}})
				if apimeta.IsStatusConditionTrue(hr.Status.Conditions, "Stalled") {
					t.Errorf("the release is stalled: %+v", hr.Status.Conditions)
				}
			}
		})
	}
}

// Somebody is at work: the policy does not push what would not be applied, and goes on when they are done.
func TestSuspendedKustomizationIsSaidBeforeTheVerdict(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	w.Settle()
	w.auto(prod)
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.fails(prod, bad, "no match for platform")
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod)
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true })
	startSidecar(t, w)
	r := w.waits(prod, bad, "a person decides", "Flux applies nothing before somebody resumes Kustomization/"+w.Fleet.FluxNamespace()+"/"+prod)
	if q := r.Status.Question; q == nil || len(q.Doubts) != 1 || q.Doubts[0].Type != v1alpha1.DoubtSuspended || w.Tip() != suspect {
		t.Errorf("asked %+v, and the tip is %s", q, w.Tip())
	}
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = false })
	r = w.ends(prod, bad, v1alpha1.ResultVerified)
	if v := r.Status.Verdict; v.Source != v1alpha1.VerdictByPolicy {
		t.Errorf("decided by %s", v.By)
	}
}
