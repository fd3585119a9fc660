package flux

import (
	"errors"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const badImage = "localhost:5000/backend:develop-v1.1.0-1700000200"

// landed is a Rollback whose revert is the commit.
func landed(commit string, workloads ...v1alpha1.Workload) *v1alpha1.Rollback {
	r := &v1alpha1.Rollback{}
	r.Namespace, r.Name, r.Spec.Subject = "develop", "x-1", v1alpha1.ImageSubject(badImage)
	r.Status.Suspect = &v1alpha1.Suspect{
		Source: ref("GitRepository", "develop", "fleet"), Reconciler: ref("Kustomization", "flux-system", "apps-develop"),
	}
	r.Status.Landed = &v1alpha1.Landed{Commit: commit}
	for _, w := range workloads {
		r.Status.Failures = append(r.Status.Failures, v1alpha1.Failure{Trigger: v1alpha1.TriggerImagePull, Workload: w, Container: "backend"})
	}
	return r
}

// descends answers that a commit contains only those given.
func descends(commits ...string) func(tip, commit string) (bool, error) {
	return func(tip, commit string) (bool, error) {
		for _, c := range commits {
			if c == tip+">"+commit {
				return true, nil
			}
		}
		return false, nil
	}
}

const revert = "1111111111111111111111111111111111111111"

func condition(conditions *[]metav1.Condition, typ string, status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(conditions, metav1.Condition{
		Type: typ, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(time.Date(2026, 11, 21, 9, 20, 22, 0, time.UTC)),
	})
}

func TestRolloutArrives(t *testing.T) {
	s := captured(t)
	f := s.flux(t)
	for _, c := range []struct {
		name, landed string
		contains     func(tip, commit string) (bool, error)
		want         bool
	}{
		{"the landed commit itself is attempted", sha, descends(), true},
		{"a later commit is attempted", revert, descends(sha + ">" + revert), true},
		{"an older commit is attempted", revert, descends(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := f.Rollout(t.Context(), landed(c.landed), c.contains)
			if err != nil || got.Contains != c.want || got.Fetched != c.want || got.Attempted != sha {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	if _, err := f.Rollout(t.Context(), &v1alpha1.Rollback{}, descends()); err == nil {
		t.Error("a Rollback that has not landed has no rollout")
	}
}

func TestRolloutWaits(t *testing.T) {
	const fetched = sha + ">" + revert
	noon := time.Date(2026, 11, 21, 9, 20, 22, 0, time.UTC)
	for _, c := range []struct {
		name     string
		scene    func(t *testing.T, s *scene)
		source   string
		waits    string
		until    time.Time
		contains string
	}{
		{"for a health check of the bad revision, as captured", func(*testing.T, *scene) {}, "",
			"Kustomization/flux-system/apps-develop is busy (running health checks of main@sha1:" + sha +
				") and starts nothing else before that ends, at 09:21:52 UTC at the latest", noon.Add(90 * time.Second),
			""},
		{"for a suspended Kustomization", func(_ *testing.T, s *scene) { s.k.Spec.Suspend = true }, "",
			"is suspended and applies nothing: flux -n flux-system resume kustomization apps-develop", time.Time{}, ""},
		{"for a Kustomization that is gone", func(_ *testing.T, s *scene) { s.k = nil }, "", "does not exist any more",
			time.Time{}, ""},
		{"for a suspended source", func(_ *testing.T, s *scene) {
			settle(&s.k.Status.Conditions)
			s.repo.Spec.Suspend = true
		}, "GitRepository/flux-system/fleet is suspended and fetches nothing: flux -n flux-system resume source git " +
			"fleet", "", time.Time{}, ""},
		{"for a source that cannot be fetched, without telling the token", func(_ *testing.T, s *scene) {
			settle(&s.k.Status.Conditions)
			condition(&s.repo.Status.Conditions, sourcev1.FetchFailedCondition, "True", "GitOperationFailed",
				"unable to clone 'https://x:hunter2@github.com/a/b': authentication required")
		}, "cannot be fetched: unable to clone 'https://[redacted]@github.com/a/b': authentication required", "",
			time.Time{}, ""},
		{"for a source that wants a signature", func(_ *testing.T, s *scene) {
			settle(&s.k.Status.Conditions)
			condition(&s.repo.Status.Conditions, sourcev1.SourceVerifiedCondition, "False", "InvalidCommitSignature",
				"not signed")
		}, "refuses the commit's signature: not signed", "", time.Time{}, ""},
		{"for a source that is not ready", func(_ *testing.T, s *scene) {
			settle(&s.k.Status.Conditions)
			condition(&s.repo.Status.Conditions, "Ready", "False", "DirCreationFailed", "no space left on device")
		}, "is not ready: no space left on device", "", time.Time{}, ""},
		{"for a source that is gone", func(_ *testing.T, s *scene) {
			settle(&s.k.Status.Conditions)
			s.repo = nil
		}, "GitRepository/flux-system/fleet does not exist any more", "", time.Time{}, ""},
		{"for a dependency, as long as that is busy", func(_ *testing.T, s *scene) {
			dep := s.k.DeepCopy()
			dep.Name = "infra"
			condition(&dep.Status.Conditions, meta.ReconcilingCondition, "True", meta.ProgressingReason,
				"Running health checks for revision main@sha1:"+sha+" with a timeout of 5m0s")
			s.more = append(s.more, dep)
			settle(&s.k.Status.Conditions)
			s.k.Spec.DependsOn = []meta.DependencyReference{{Name: "infra"}, {Name: "gone", Namespace: "nowhere"}}
			condition(&s.k.Status.Conditions, "Ready", "False", meta.DependencyNotReadyReason,
				"dependency 'flux-system/infra' is not ready")
		}, "", "waits for what it depends on: dependency 'flux-system/infra' is not ready", noon.Add(5 * time.Minute),
			""},
		{"for the next try after a failure", func(_ *testing.T, s *scene) {
			settle(&s.k.Status.Conditions)
			condition(&s.k.Status.Conditions, "Ready", "False", meta.BuildFailedReason, "kustomize build failed")
			s.repo.Status.Artifact.Revision = "main@sha1:" + revert
		}, "", "failed (BuildFailed): kustomize build failed; it tries again every 1m0s", noon.Add(time.Minute), ""},
		{"for the next try after a failed health check, which is over", func(_ *testing.T, s *scene) {
			condition(&s.k.Status.Conditions, meta.ReconcilingCondition, "True", meta.ProgressingWithRetryReason,
				"Running health checks for revision main@sha1:"+sha+" with a timeout of 1m30s")
			condition(&s.k.Status.Conditions, "Ready", "False", meta.HealthCheckFailedReason, "timeout waiting for")
			s.repo.Status.Artifact.Revision = "main@sha1:" + revert
		}, "", "failed (HealthCheckFailed): timeout waiting for", noon.Add(time.Minute), ""},
		{"for nothing that it says, while the source has not fetched", func(_ *testing.T, s *scene) {
			settle(&s.k.Status.Conditions)
			condition(&s.k.Status.Conditions, "Ready", "False", meta.HealthCheckFailedReason, "timeout waiting for")
		}, "", "", time.Time{}, ""},
		{"for a HelmRelease that upgrades to the bad values", func(t *testing.T, s *scene) {
			hr := s.applied(t)
			hr.Generation = 4
			condition(&hr.Status.Conditions, meta.ReconcilingCondition, "True", meta.ProgressingReason,
				"Running 'upgrade' action with timeout of 5m0s")
		}, "", "HelmRelease/develop/web is busy (running 'upgrade' action)", noon.Add(5 * time.Minute), fetched},
		{"for a suspended HelmRelease", func(t *testing.T, s *scene) {
			hr := s.applied(t)
			hr.Generation, hr.Spec.Suspend = 4, true
		}, "", "flux -n develop resume helmrelease web", time.Time{}, fetched},
		{"for a HelmRelease that has not begun", func(t *testing.T, s *scene) { s.applied(t).Generation = 4 }, "",
			"has not attempted its newest values yet", time.Time{}, fetched},
		{"for a HelmRelease with a dependency", func(t *testing.T, s *scene) {
			hr := s.applied(t)
			hr.Generation = 4
			condition(&hr.Status.Conditions, "Ready", "False", "DependencyNotReady", "dependency 'develop/db' is not "+
				"ready")
		}, "", "waits for what it depends on: dependency 'develop/db'", time.Time{}, fetched},
		{"for a HelmRelease that fails", func(t *testing.T, s *scene) {
			hr := s.applied(t)
			hr.Generation = 4
			condition(&hr.Status.Conditions, "Ready", "False", "ValuesError", "no such key")
		}, "", "(ValuesError): no such key", time.Time{}, fetched},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(t, s)
			rb := landed(revert)
			if s.deployment.Labels["helm.toolkit.fluxcd.io/name"] != "" {
				rb.Status.Suspect.Reconciler = ref("HelmRelease", "develop", "web")
			}
			got, err := s.flux(t).Rollout(t.Context(), rb, descends(c.contains))
			if err != nil {
				t.Fatal(err)
			}
			if got.Contains {
				t.Error("contains the landed commit")
			}
			if (c.source == "") != (got.Source == "") || !strings.Contains(got.Source, c.source) {
				t.Errorf("source: got %q, want %q", got.Source, c.source)
			}
			if (c.waits == "") != (got.Waits == "") || !strings.Contains(got.Waits, c.waits) {
				t.Errorf("waits: got %q, want %q", got.Waits, c.waits)
			}
			if !got.WaitsUntil.Equal(c.until) {
				t.Errorf("until: got %s, want %s", got.WaitsUntil, c.until)
			}
		})
	}
}

func TestRolloutOfAHelmReleaseThatAttemptedTheValues(t *testing.T) {
	s := captured(t)
	s.applied(t)
	rb := landed(sha)
	rb.Status.Suspect.Reconciler = ref("HelmRelease", "develop", "web")
	got, err := s.flux(t).Rollout(t.Context(), rb, descends())
	if err != nil || !got.Contains || got.Waits != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhatKeepsAnAttemptFromBeingApplied(t *testing.T) {
	for _, c := range []struct{ name, reason, message, want string }{
		{"a neighbour that the API server refuses", meta.ReconciliationFailedReason, "Service/develop/db dry-run failed: invalid",
			"Kustomization/flux-system/apps-develop failed (ReconciliationFailed): Service/develop/db dry-run failed: invalid"},
		{"a build that fails", meta.BuildFailedReason, "kustomize build failed", "failed (BuildFailed): kustomize build failed"},
		// It was applied, so its own workloads say how far they are.
		{"a neighbour that does not get healthy", meta.HealthCheckFailedReason, "timeout waiting for", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			settle(&s.k.Status.Conditions)
			condition(&s.k.Status.Conditions, "Ready", "False", c.reason, c.message)
			got, err := s.flux(t).Rollout(t.Context(), landed(sha), descends())
			if err != nil || !got.Contains {
				t.Fatalf("got %+v, %v", got, err)
			}
			if (c.want == "") != (got.Waits == "") || !strings.Contains(got.Waits, c.want) {
				t.Errorf("waits: got %q, want %q", got.Waits, c.want)
			}
			if !got.WaitsUntil.IsZero() {
				t.Errorf("until %s, want no end", got.WaitsUntil)
			}
		})
	}
}

func TestAttemptedRevisionOfAnArtifact(t *testing.T) {
	const digest = "latest@sha256:" + sha256
	src := deployed{ref: ref("OCIRepository", "flux-system", "fleet")}
	fetched := src
	fetched.artifact = &meta.Artifact{Revision: digest, Metadata: map[string]string{originRevision: "main@sha1:" + sha}}
	newer := src
	newer.artifact = &meta.Artifact{Revision: "latest@sha256:0",
		Metadata: map[string]string{originRevision: "main@sha1:" + other}}
	for _, c := range []struct {
		name   string
		src    deployed
		status kustomizev1.KustomizationStatus
		want   string
	}{
		{"the source still has it", fetched, kustomizev1.KustomizationStatus{LastAttemptedRevision: digest}, sha},
		{"it was applied", newer, kustomizev1.KustomizationStatus{
			LastAttemptedRevision: digest, LastAppliedRevision: digest, LastAppliedOriginRevision: "main@sha1:" + sha,
		}, sha},
		{"the history has it", newer, kustomizev1.KustomizationStatus{LastAttemptedRevision: digest,
			History: meta.History{
				{Metadata: map[string]string{"revision": digest, "originRevision": "main/" + sha}},
			}}, sha},
		{"nobody knows it", newer, kustomizev1.KustomizationStatus{
			LastAttemptedRevision: digest, LastAppliedRevision: "x", LastAppliedOriginRevision: "main@sha1:" + other,
		}, ""},
		{"its digest is no commit", src, kustomizev1.KustomizationStatus{LastAttemptedRevision: digest}, ""},
		{"nothing was attempted", src, kustomizev1.KustomizationStatus{LastAppliedOriginRevision: "main@sha1:" + sha},
			""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := commitOf(&kustomizev1.Kustomization{Status: c.status}, c.src, c.status.LastAttemptedRevision); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRolloutFromABucketGoesByTheWorkloads(t *testing.T) {
	for _, c := range []struct {
		name, image string
		want        bool
	}{
		{"a template that is good again", "localhost:5000/backend:develop-v1.0.0-1700000001", true},
		{"a template that is still bad", badImage, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			settle(&s.k.Status.Conditions)
			s.k.Spec.SourceRef.Kind = "Bucket"
			s.deployment.Spec.Template.Spec.Containers[0].Image = c.image
			bucket := &sourcev1.Bucket{}
			bucket.Namespace, bucket.Name = "flux-system", "fleet"
			s.more = append(s.more, bucket)
			got, err := s.flux(t).Rollout(t.Context(), landed(revert, backend), descends())
			if err != nil || got.Contains != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestRolloutSaysWhenACommitIsNotKnownAnyMore(t *testing.T) {
	s := captured(t)
	settle(&s.k.Status.Conditions)
	got, err := s.flux(t).Rollout(t.Context(), landed(revert), func(string, string) (bool, error) {
		return true, errors.New("no such commit in https://x:hunter2@host/r")
	})
	const want = "it cannot be told whether " + sha + " contains " + revert +
		": no such commit in https://[redacted]@host/r"
	if err != nil || got.Contains || got.Fetched || got.Waits != want || got.Source != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReachedAsksForACommitOnce(t *testing.T) {
	asked := 0
	has := reached(revert, func(string, string) (bool, error) { asked++; return true, nil })
	for _, tip := range []string{sha, sha, "", revert} {
		got, why := has(tip)
		if why != "" || got != (tip != "") {
			t.Errorf("%q: got %v, %s", tip, got, why)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// A kind that no Role of Backstop's names cannot be seen to run again: who reads that is told which right is missing.
func TestAKindThatMayNotBeReadNamesTheRight(t *testing.T) {
	k := ks("flux-system/apps", "flux-system/fleet", "./apps/develop", "develop")
	of := k[0].(*kustomizev1.Kustomization)
	of.Status.Inventory.Entries = append(of.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: "develop_db_postgresql.cnpg.io_Cluster", Version: "v1"})
	s := layout(Options{}, k)
	s.forbidden["Cluster"] = true
	got, err := s.flux(t).state(t.Context(), place{reconciler: ref("Kustomization", "flux-system", "apps"), kustomization: of}, ref("Cluster", "develop", "db"), bad{})
	if want := "Backstop may not read Cluster/develop/db: give its ServiceAccount get on it in namespace develop"; err != nil || got.Complete || got.Gone || got.Says != want {
		t.Errorf("says %q, complete %v, gone %v, %v", got.Says, got.Complete, got.Gone, err)
	}
}
