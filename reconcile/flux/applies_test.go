package flux

import (
	"context"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func subject(api, kind, name string) v1alpha1.Subject {
	return v1alpha1.Subject{APIVersion: api, Kind: kind, Name: name}
}

var (
	appsKey = reconcile.Key{Namespace: "flux-system", Subject: subject("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "apps-develop")}
	webKey  = reconcile.Key{Namespace: "develop", Subject: subject("helm.toolkit.fluxcd.io/v2", "HelmRelease", "web")}
)

func TestAnApplierSaysWhatItCannotApply(t *testing.T) {
	failed := func(s *scene, reason, message string) {
		settle(&s.k.Status.Conditions)
		s.k.Status.ObservedGeneration = s.k.Generation
		condition(&s.k.Status.Conditions, "Ready", "False", reason, message)
	}
	for _, c := range []struct {
		name  string
		scene func(s *scene)
		// says is the reason, or a word for what else is known of it.
		says string
	}{
		{"it cannot be built", func(s *scene) { failed(s, "BuildFailed", "x") }, "BuildFailed"},
		{"it is ready", func(s *scene) {
			settle(&s.k.Status.Conditions)
			s.k.Status.ObservedGeneration = s.k.Generation
		}, "ready"},
		{"it is at work", func(s *scene) {
			failed(s, "BuildFailed", "x")
			condition(&s.k.Status.Conditions, "Ready", "Unknown", "Progressing", "x")
		}, "idle"},
		{"it is suspended", func(s *scene) {
			failed(s, "BuildFailed", "x")
			s.k.Spec.Suspend = true
		}, "idle"},
		{"it has not looked at its newest spec", func(s *scene) {
			failed(s, "BuildFailed", "x")
			s.k.Generation++
		}, "idle"},
		{"it fails at its newest spec, which the status as a whole says nothing of", func(s *scene) {
			failed(s, "BuildFailed", "x")
			s.k.Generation++
			for i := range s.k.Status.Conditions {
				s.k.Status.Conditions[i].ObservedGeneration = s.k.Generation
			}
		}, "BuildFailed"},
		{"it is gone", func(s *scene) { s.k = nil }, "gone"},
		{"it fails at what it applied well before", func(s *scene) {
			failed(s, "ReconciliationFailed", "x")
			s.k.Status.LastAppliedRevision = s.k.Status.LastAttemptedRevision
		}, "ReconciliationFailed, unchanged"},
		{"its folder is not there, so that nothing is attempted", func(s *scene) {
			failed(s, "ArtifactFailed", "kustomization path not found: stat /tmp/kustomization-1/apps: no such file or directory")
			arrivedIn(s, revert)
			s.k.Status.LastAppliedRevision, s.k.Status.LastAttemptedRevision = "main@sha1:"+sha, "main@sha1:"+sha
		}, "ArtifactFailed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(s)
			a, err := s.flux(t).Reconciler(t.Context(), appsKey)
			if err != nil {
				t.Fatal(err)
			}
			if got := wordsOf(a); got != c.says {
				t.Errorf("says %q, want %q", got, c.says)
			}
		})
	}
	other := reconcile.Key{Namespace: "flux-system", Subject: subject("example.org/v1", "Kustomization", "apps-develop")}
	if a, err := captured(t).flux(t).Reconciler(t.Context(), other); a != nil || err != nil {
		t.Errorf("a Kustomization of another group is read: %+v, %v", a, err)
	}
}

func wordsOf(a *reconcile.Reconciler) string {
	var out []string
	switch {
	case a.Gone:
		out = append(out, "gone")
	case a.Idle:
		out = append(out, "idle")
	case a.Ready:
		out = append(out, "ready")
	case a.Failed != nil:
		out = append(out, a.Failed.Reason)
	}
	if a.Unchanged != "" {
		out = append(out, "unchanged")
	}
	return strings.Join(out, ", ")
}

func TestAReleaseSaysWhatItCannotApply(t *testing.T) {
	history := func(hr *helmv2.HelmRelease, digest, version string) {
		hr.Status.LastAttemptedConfigDigest, hr.Status.LastAttemptedRevision = "sha256:new", "1.5.0"
		hr.Status.History = helmv2.Snapshots{
			{Version: 2, Status: "failed", ConfigDigest: "sha256:new", ChartVersion: "1.5.0"},
			{Version: 1, Status: "superseded", ConfigDigest: digest, ChartVersion: version},
		}
	}
	chart := func(hr *helmv2.HelmRelease, version string) {
		hr.Spec.Chart = &helmv2.HelmChartTemplate{}
		hr.Spec.Chart.Spec.Chart, hr.Spec.Chart.Spec.Version = "web", version
	}
	oci := func(ref sourcev1.OCIRepositoryRef) func(s *scene, hr *helmv2.HelmRelease) {
		return func(s *scene, hr *helmv2.HelmRelease) {
			hr.Spec.ChartRef = &helmv2.CrossNamespaceSourceReference{Kind: "OCIRepository", Name: "web"}
			history(hr, "sha256:new", "1.4.0")
			repo := &sourcev1.OCIRepository{}
			repo.Namespace, repo.Name, repo.Spec.Reference = "develop", "web", &ref
			s.more = append(s.more, repo)
		}
	}
	// untested is a release that was deployed, and whose tests failed.
	untested := func(hr *helmv2.HelmRelease, digest string) {
		history(hr, "sha256:old", "1.5.0")
		hr.Status.LastAttemptedConfigDigest = digest
		hr.Status.History[0].Status, hr.Status.History[0].ConfigDigest = "deployed", digest
		hr.Status.History[0].TestHooks = &map[string]*helmv2.TestHookStatus{"web-test": {Phase: "Failed"}}
		condition(&hr.Status.Conditions, helmv2.ReleasedCondition, "True", helmv2.UpgradeSucceededReason, "Helm upgrade succeeded")
		condition(&hr.Status.Conditions, helmv2.TestSuccessCondition, "False", helmv2.TestFailedReason, "Helm test failed")
	}
	for _, c := range []struct {
		name  string
		scene func(s *scene, hr *helmv2.HelmRelease)
		says  string
	}{
		{"other values", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, "1.x")
			history(hr, "sha256:old", "1.5.0")
		}, "UpgradeFailed"},
		{"a chart that moved in its range", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, ">=1.0.0 <2.0.0")
			history(hr, "sha256:new", "1.4.0")
		}, "UpgradeFailed, unchanged"},
		{"a chart version that Git bumped", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, "1.5.0")
			history(hr, "sha256:new", "1.4.0")
		}, "UpgradeFailed"},
		{"the chart and the values that ran well", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, "1.5.0")
			history(hr, "sha256:new", "1.5.0")
		}, "UpgradeFailed, unchanged"},
		{"a chart of an OCIRepository with a range", oci(sourcev1.OCIRepositoryRef{SemVer: "1.x"}), "UpgradeFailed, unchanged"},
		{"a chart of an OCIRepository with a tag", oci(sourcev1.OCIRepositoryRef{Tag: "1.5.0"}), "UpgradeFailed"},
		{"Helm went back", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, "1.5.0")
			history(hr, "sha256:old", "1.5.0")
			condition(&hr.Status.Conditions, "Ready", "False", helmv2.RollbackSucceededReason, "went back")
		}, "UpgradeFailed"},
		{"its tests failed", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, "1.5.0")
			untested(hr, "sha256:new")
			condition(&hr.Status.Conditions, "Ready", "False", helmv2.TestFailedReason, "Helm test failed")
		}, "TestFailed"},
		{"its tests failed, and Helm went back", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, "1.5.0")
			untested(hr, "sha256:new")
			condition(&hr.Status.Conditions, "Ready", "False", helmv2.RollbackSucceededReason, "went back")
		}, "TestFailed"},
		{"its tests failed, with the values that ran well", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, "1.5.0")
			untested(hr, "sha256:old")
			condition(&hr.Status.Conditions, "Ready", "False", helmv2.TestFailedReason, "Helm test failed")
		}, "TestFailed, unchanged"},
		{"a first install", func(_ *scene, hr *helmv2.HelmRelease) { chart(hr, "1.5.0") }, "UpgradeFailed"},
		{"a chart version that is not there, so that nothing was attempted since", func(_ *scene, hr *helmv2.HelmRelease) {
			chart(hr, "9.9.9")
			history(hr, "sha256:new", "1.5.0")
			condition(&hr.Status.Conditions, "Ready", "False", "SourceNotReady", "no 'web' chart with version matching '9.9.9' found")
		}, "SourceNotReady"},
		{"a dependency", func(_ *scene, hr *helmv2.HelmRelease) {
			condition(&hr.Status.Conditions, "Ready", "False", helmv2.DependencyNotReadyReason, "x")
		}, "DependencyNotReady"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			hr := s.applied(t)
			hr.Status.ObservedGeneration = hr.Generation
			condition(&hr.Status.Conditions, "Ready", "False", helmv2.UpgradeFailedReason, "Helm upgrade failed: x")
			condition(&hr.Status.Conditions, helmv2.ReleasedCondition, "False", helmv2.UpgradeFailedReason, "Helm upgrade failed: x")
			c.scene(s, hr)
			a, err := s.flux(t).Reconciler(t.Context(), webKey)
			if err != nil {
				t.Fatal(err)
			}
			if got := wordsOf(a); got != c.says {
				t.Errorf("says %q (%s), want %q", got, a.Unchanged, c.says)
			}
		})
	}
}

func TestWhatIsSearchedForABlame(t *testing.T) {
	const bad = revert
	for _, c := range []struct {
		name   string
		key    reconcile.Key
		scene  func(t *testing.T, s *scene)
		fail   v1alpha1.Failure
		object string
		good   string
		also   int
		want   string
	}{
		{"a build", appsKey, func(*testing.T, *scene) {}, v1alpha1.Failure{Cause: v1alpha1.CauseNotBuilt, Apply: &v1alpha1.Apply{}}, "", sha, 0, ""},
		{"an object that is refused", appsKey, func(*testing.T, *scene) {}, v1alpha1.Failure{Cause: v1alpha1.CauseObjectRefused,
			Apply: &v1alpha1.Apply{Object: &v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "develop", Name: "backend"}}}, "Deployment/develop/backend", sha, 0, ""},
		{"nobody says which object", appsKey, func(*testing.T, *scene) {}, v1alpha1.Failure{Cause: v1alpha1.CauseObjectRefused, Apply: &v1alpha1.Apply{}}, "", "", 0,
			"does not say which object"},
		{"it was never applied", appsKey, func(_ *testing.T, s *scene) { s.k.Status.LastAppliedRevision = "" },
			v1alpha1.Failure{Cause: v1alpha1.CauseNotBuilt, Apply: &v1alpha1.Apply{}}, "", "", 0, "never applied well"},
		{"a release", webKey, func(t *testing.T, s *scene) {
			s.applied(t).Spec.ValuesFrom = []meta.ValuesReference{{Kind: "ConfigMap", Name: "values"}}
		}, v1alpha1.Failure{Cause: v1alpha1.CauseNotReleased, Apply: &v1alpha1.Apply{}}, "HelmRelease/develop/web", "", 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			settle(&s.k.Status.Conditions)
			arrivedIn(s, bad)
			s.k.Status.LastAppliedRevision = "main@sha1:" + sha
			c.scene(t, s)
			f := s.flux(t)
			var asked *Suspicion
			f.options.Blame = func(_ context.Context, src reconcile.Source, q *Suspicion) (reconcile.Blamed, error) {
				asked = q
				return reconcile.Blamed{Suspect: &reconcile.PastCommit{Commit: bad}}, nil
			}
			got, err := f.Blame(t.Context(), c.key, c.fail, nil)
			if why, _ := reconcile.AsRefusal(err); !strings.Contains(why, c.want) || (err == nil) != (c.want == "") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err != nil {
				return
			}
			object := ""
			if asked.Object != nil {
				object = asked.Object.String()
			}
			if object != c.object || asked.Good != c.good || asked.Bad != bad || len(asked.Also) != c.also {
				t.Errorf("searched %+v", asked)
			}
			if got.Source != fleetRepo || got.By.Name != c.key.Subject.Name || got.Branch == "" {
				t.Errorf("found %+v", got)
			}
		})
	}
}

// Between which commits a release broke: what Helm went back to by itself is younger than the commit that broke it.
func TestWhenAReleaseWasDeployedWell(t *testing.T) {
	at := func(version int, status string, action helmv2.ReleaseAction) *helmv2.Snapshot {
		return &helmv2.Snapshot{Version: version, Status: status, Action: action, LastDeployed: metav1.Unix(int64(version), 0)}
	}
	const up, back = helmv2.ReleaseActionUpgrade, helmv2.ReleaseActionRollback
	for name, c := range map[string]struct {
		history helmv2.Snapshots
		// version that was deployed well; zero for none, and -1 where nobody can tell.
		version int64
	}{
		"a first install":                        {helmv2.Snapshots{at(1, "failed", helmv2.ReleaseActionInstall)}, 0},
		"an upgrade failed":                      {helmv2.Snapshots{at(3, "failed", up), at(2, "deployed", up)}, 2},
		"Helm went back":                         {helmv2.Snapshots{at(4, "deployed", back), at(3, "failed", up), at(2, "superseded", up)}, 2},
		"Helm went back more than once":          {helmv2.Snapshots{at(6, "deployed", back), at(5, "failed", up), at(4, "superseded", back)}, -1},
		"somebody mended it":                     {helmv2.Snapshots{at(5, "failed", up), at(4, "deployed", up), at(3, "failed", up)}, 4},
		"Helm went back, and does not say so":    {helmv2.Snapshots{at(4, "deployed", ""), at(3, "failed", ""), at(2, "superseded", "")}, 2},
		"an upgrade failed, and it does not say": {helmv2.Snapshots{at(3, "failed", ""), at(2, "deployed", "")}, 2},
	} {
		hr := &helmv2.HelmRelease{Status: helmv2.HelmReleaseStatus{History: c.history}}
		got, err := wellAt(hr)
		switch _, refused := reconcile.AsRefusal(err); {
		case refused != (c.version < 0):
			t.Errorf("%s: %v", name, err)
		case c.version > 0 && got.Unix() != c.version, c.version <= 0 && !got.IsZero():
			t.Errorf("%s: %s, want that of release v%d", name, got, c.version)
		}
	}
}
