package flux

import (
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// says sets conditions of a release, each as "Type=Status Reason message".
func says(hr *helmv2.HelmRelease, conditions ...string) {
	for _, c := range conditions {
		typ, rest, _ := strings.Cut(c, "=")
		words := strings.SplitN(rest+"  ", " ", 3)
		condition(&hr.Status.Conditions, typ, metav1.ConditionStatus(words[0]), words[1], strings.TrimSpace(words[2]))
	}
}

const (
	canceled   = "Helm upgrade failed for release develop/web with chart web@1.0.0: context canceled"
	timedOut   = "Helm upgrade failed for release develop/web with chart web@1.0.0: context deadline exceeded"
	wentBack   = "Helm rollback to previous release develop/web.v1 with chart web@1.0.0 succeeded"
	exceeded   = "Stalled=True RetriesExceeded Failed to upgrade after 1 attempt(s)"
	upgraded   = "Ready=True UpgradeSucceeded Helm upgrade succeeded for release develop/web.v2 with chart web@1.0.0"
	noPrevious = "Stalled=True MissingRollbackTarget Failed to perform remediation: missing target release for rollback"
)

// The letters are those of what the real helm-controller did in these cases.
func TestWhatAHelmReleaseSaysIsTakenForWhatItIs(t *testing.T) {
	hour := metav1.Duration{Duration: time.Hour}
	for _, c := range []struct {
		name  string
		scene func(hr *helmv2.HelmRelease)
		// asked means that a revert has to ask it; did what Helm did by itself; replaced when a release by hand is.
		asked     bool
		did       v1alpha1.RemediationAction
		exhausted bool
		replaced  string
	}{
		{name: "A: its health check was canceled by a request, and it stalled", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=False HealthCheckCanceled "+canceled, "Released=False UpgradeFailed "+canceled, exceeded)
		}, replaced: "not before Git says something else"},
		{name: "A2: it checks the bad values", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=Unknown Progressing Running", "Reconciling=True Progressing Running 'upgrade' action with timeout of 5m0s")
		}, replaced: "at 10:20:51 UTC at the latest"},
		{name: "A3: its own rollback was canceled too", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=False RollbackFailed context canceled", "Remediated=False RollbackFailed context canceled", "Released=False UpgradeFailed "+canceled)
		}, replaced: "at 10:20:51 UTC at the latest"},
		{name: "B: stalled, with values from a ConfigMap that nobody watches", scene: func(hr *helmv2.HelmRelease) {
			hr.Spec.ValuesFrom = []meta.ValuesReference{{Kind: "ConfigMap", Name: "web-values"}}
			says(hr, "Ready=False UpgradeFailed "+timedOut, exceeded)
		}, asked: true, replaced: "not before Git says something else"},
		{name: "C: helm rollback by hand on a ready release", scene: func(hr *helmv2.HelmRelease) {
			says(hr, upgraded)
		}, replaced: "at 10:20:51 UTC at the latest: HelmRelease/develop/web upgrades at its next run, every 60m"},
		{name: "C2: helm rollback by hand on a stalled release", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=False UpgradeFailed "+timedOut, exceeded)
		}, replaced: "not before Git says something else: HelmRelease/develop/web is stalled (RetriesExceeded)"},
		{name: "C: and it detects drift", scene: func(hr *helmv2.HelmRelease) {
			hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionEnabled}
			says(hr, upgraded)
		}, replaced: "at 10:20:51 UTC at the latest"},
		{name: "C: and it is suspended", scene: func(hr *helmv2.HelmRelease) {
			hr.Spec.Suspend = true
			says(hr, upgraded)
		}, replaced: "never: HelmRelease/develop/web is suspended"},
		{name: "D: Helm went back, and its retries are used up", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=False RollbackSucceeded "+wentBack, "Remediated=True RollbackSucceeded "+wentBack, "Released=False UpgradeFailed "+timedOut, exceeded)
		}, did: v1alpha1.RemediationRollback, exhausted: true, replaced: "not before Git says something else"},
		{name: "D: Helm went back, and has retries left", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=False RollbackSucceeded "+wentBack, "Remediated=True RollbackSucceeded "+wentBack, "Released=False UpgradeFailed "+timedOut)
		}, did: v1alpha1.RemediationRollback, replaced: "at 10:20:51 UTC at the latest"},
		{name: "D: Git says again what Helm went back to", scene: func(hr *helmv2.HelmRelease) {
			says(hr, upgraded, "Remediated=True RollbackSucceeded "+wentBack)
		}, replaced: "at 10:20:51 UTC at the latest"},
		{name: "D: the revert's values have arrived and were not attempted", scene: func(hr *helmv2.HelmRelease) {
			hr.Generation++
			says(hr, "Ready=False RollbackSucceeded "+wentBack, "Remediated=True RollbackSucceeded "+wentBack, exceeded)
		}, replaced: "not before Git says something else"},
		{name: "E: it tries again by itself and goes back to nothing", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=False UpgradeFailed "+timedOut, "Released=False UpgradeFailed "+timedOut, "Reconciling=True ProgressingWithRetry retrying after 5m0s")
		}, replaced: "at 10:20:51 UTC at the latest"},
		{name: "nothing is there to go back to", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=False UpgradeFailed "+timedOut, noPrevious)
		}, replaced: "not before Git says something else: HelmRelease/develop/web is stalled (MissingRollbackTarget)"},
		{name: "a first install failed and was uninstalled", scene: func(hr *helmv2.HelmRelease) {
			says(hr, "Ready=False UninstallSucceeded Helm uninstall succeeded", "Remediated=True UninstallSucceeded Helm uninstall succeeded",
				"Released=False InstallFailed "+timedOut, "Stalled=True RetriesExceeded Failed to install after 1 attempt(s)")
		}, did: v1alpha1.RemediationUninstall, exhausted: true, replaced: "not before Git says something else"},
		{name: "it does not wait for its pods, and says that it is ready while they fail", scene: func(hr *helmv2.HelmRelease) {
			hr.Spec.Upgrade = &helmv2.Upgrade{DisableWait: true}
			says(hr, upgraded)
		}, replaced: "at 10:20:51 UTC at the latest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			hr := s.applied(t)
			hr.Status.ObservedGeneration, hr.Spec.Interval = 3, hour
			c.scene(hr)
			settle(&s.k.Status.Conditions)
			arrivedIn(s, revert)
			f := s.flux(t)
			rb := landed(revert)
			rb.Status.Suspect.Reconciler = webRelease
			got, err := f.Rollout(t.Context(), rb, descends())
			if err != nil {
				t.Fatal(err)
			}
			stop := got.Way[len(got.Way)-1]
			if asked := stop.Reached && !stop.Taken && !stop.Busy && !stop.Barred; stop.Object != webRelease || asked != c.asked {
				t.Errorf("%s is asked: %t, want %t", stop.Object, asked, c.asked)
			}
			origin, err := f.Origin(t.Context(), "develop", backend, nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			var did v1alpha1.Remediation
			if origin.Remediated != nil {
				did = *origin.Remediated
			}
			if did.Action != c.did || did.Exhausted != c.exhausted || c.did != "" && (did.Release != webRelease || did.At.IsZero() || did.Message == "") {
				t.Errorf("Helm did %+v, want %q, exhausted %t", did, c.did, c.exhausted)
			}
			applied, err := f.Applied(t.Context(), "develop", backend, changed)
			if err != nil || applied.Released == nil {
				t.Fatalf("got %+v, %v", applied, err)
			}
			if said := applied.Released.Says(); !strings.HasPrefix(said, c.replaced) {
				t.Errorf("a release by hand is replaced %q, want %q", said, c.replaced)
			}
		})
	}
}
