package integration

import (
	"fmt"
	"maps"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// fixedChart is the chart that the stand-in for helm-controller knows, for Flux's own controllers.
var fixedChart = map[string]string{
	"fixed/Chart.yaml": "apiVersion: v2\nname: fixed\nversion: 1.0.0\n",
	"fixed/templates/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: 1
  selector: {matchLabels: {app.kubernetes.io/name: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app.kubernetes.io/name: {{ .Release.Name }}}}
    spec:
      containers:
      - name: {{ .Release.Name }}
        image: {{ .Values.image.repository }}{{ with .Values.image.tag }}:{{ . }}{{ end }}
`,
}

// releases has the fleet say a HelmRelease of the fixed chart.
func (w *World) releases(text string, words ...string) {
	w.Fleet.Files[shopFile] = w.words(text, words...)
	maps.Copy(w.Fleet.Files, fixedChart)
}

// What helm-controller makes of a bad image, and of its revert in Git. The letters are those of what the real one did
// in these cases; A and B, where a request would do harm, are TestRequestsInOrderWhereARequestCancelsAHealthCheck, and
// C, what somebody does with Helm by hand, is TestDriftUnderAHelmReleaseWithAndWithoutDriftDetection. With FLUX=DIR it
// is the real one.
func TestWhatHelmControllerMakesOfARevert(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		// name begins with the letter; spec is put into the HelmRelease.
		name, spec, timeout string
		mode                v1alpha1.Mode
		// failed is what the release says before a person decides.
		failed func(*helmv2.HelmRelease) error
		// releases are how many that it makes at most, with the first and the bad ones.
		releases int
	}{
		{"A2: the revert's values arrive in the health check", "", "1m", v1alpha1.ModeAuto, nil, 3},
		{"A3: they do, and there is a retry", "  upgrade: {remediation: {retries: 1}}\n", "1m", v1alpha1.ModeAuto, nil, 4},
		{"D: Helm went back twice, and gave up", "  upgrade: {remediation: {retries: 1}}\n", "30s", v1alpha1.ModeApprove, wentBack, 5},
		{"E: Helm tries again by itself", "  upgrade: {strategy: {name: RetryOnFailure, retryInterval: 10m}}\n", "30s", v1alpha1.ModeApprove, triesAgain, 3},
		{"it does not wait for its pods", "  upgrade: {disableWait: true}\n", "1m", v1alpha1.ModeAuto, nil, 3},
		{"it corrects drift", "  driftDetection: {mode: enabled}\n", "1m", v1alpha1.ModeAuto, nil, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world(t, quick, func(s *setup) { s.Flux.CancelHealthChecks = true }, vary(func(w *World) {
				w.releases(release, "TIMEOUT", c.timeout, "  values:\n", c.spec+"  values:\n")
				delete(w.Fleet.Files, w.Fleet.File(prod, "backend"))
			}))
			good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
			w.runsImage(prod, "shop", good)
			w.auto(prod, func(p *v1alpha1.RollbackPolicy) { p.Spec.Triggers[0].Mode = c.mode })
			startSidecar(t, w)
			bad := w.publishBad("backend", fleet.Tag(prod, 1))
			hr := &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "shop"}}
			if c.failed != nil {
				w.Until("the release has failed", func() error { return c.failed(Object(w, hr)) })
				r := w.until(prod, bad, "asks", func(s *v1alpha1.RollbackStatus) bool { return s.Question != nil })
				if went := c.name[:1] == "D"; went != (r.Status.Remediated != nil) {
					t.Errorf("the record says of Helm: %+v", r.Status.Remediated)
				}
				w.answers(prod, bad, v1alpha1.Approve)
			}
			w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
			w.Until("the release is ready", func() error {
				if c := apimeta.FindStatusCondition(Object(w, hr).Status.Conditions, "Ready"); c == nil || c.Status != metav1.ConditionTrue {
					return fmt.Errorf("%+v", c)
				}
				return nil
			})
			if n := hr.Status.History.Latest().Version; n > c.releases {
				t.Errorf("%d releases were made: %+v", n, hr.Status.History)
			}
		})
	}
}

func wentBack(hr *helmv2.HelmRelease) error {
	ready := apimeta.FindStatusCondition(hr.Status.Conditions, "Ready")
	if ready == nil || ready.Reason != "RollbackSucceeded" || !apimeta.IsStatusConditionTrue(hr.Status.Conditions, "Stalled") {
		return fmt.Errorf("conditions %+v", hr.Status.Conditions)
	}
	return nil
}

func triesAgain(hr *helmv2.HelmRelease) error {
	if c := apimeta.FindStatusCondition(hr.Status.Conditions, "Reconciling"); c == nil || c.Reason != "ProgressingWithRetry" {
		return fmt.Errorf("conditions %+v", hr.Status.Conditions)
	}
	return nil
}

// A first install has no release to go back to, and Git says no earlier image: it is told.
func TestFirstInstallOfAHelmReleaseIsTold(t *testing.T) {
	t.Parallel()
	bad := ""
	w := world(t, quick, vary(func(w *World) {
		w.releases(release, "TIMEOUT", "3s", "TAG", fleet.Tag(prod, 7))
		delete(w.Fleet.Files, w.Fleet.File(prod, "backend"))
		// It is there before anything is scanned, or image automation writes the one that is.
		bad = w.publishBad("backend", fleet.Tag(prod, 7))
	}))
	w.auto(prod)
	startSidecar(t, w)
	tip := w.Tip()
	r := w.until(prod, bad, "is told", func(s *v1alpha1.RollbackStatus) bool {
		return s.Outcome != nil || s.Waiting != nil && s.Question != nil
	})
	if r.Status.Landed != nil || w.Tip() != tip {
		t.Errorf("pushed: %+v", r.Status)
	}
}
