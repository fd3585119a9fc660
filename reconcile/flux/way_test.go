package flux

import (
	"errors"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

var (
	fleetRepo  = ref("GitRepository", "flux-system", "fleet")
	apps       = ref("Kustomization", "flux-system", "apps-develop")
	webRelease = ref("HelmRelease", "develop", "web")
)

// facts are what the stops of a way say, by object: the words that are true of it.
func facts(stops []reconcile.Stop) map[string]string {
	out := map[string]string{}
	for _, s := range stops {
		for _, f := range []struct {
			is   bool
			word string
		}{{s.Reached, "reached "}, {s.Taken, "taken "}, {s.Busy, "busy "}, {s.Barred, "barred "}, {s.Deaf, "deaf "}} {
			if f.is {
				out[s.Object.Kind+"/"+s.Object.Name] += f.word
			} else {
				out[s.Object.Kind+"/"+s.Object.Name] += ""
			}
		}
	}
	return out
}

// stalled is a HelmRelease whose upgrade to the bad values failed for good. Its values come from a ConfigMap.
func stalled(t *testing.T, s *scene) *helmv2.HelmRelease {
	t.Helper()
	hr := s.applied(t)
	hr.Status.ObservedGeneration = 3
	hr.Spec.ValuesFrom = []meta.ValuesReference{{Kind: "ConfigMap", Name: "web-values"}}
	condition(&hr.Status.Conditions, meta.StalledCondition, "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)")
	condition(&hr.Status.Conditions, meta.ReadyCondition, "False", helmv2.UpgradeFailedReason, "context deadline exceeded")
	return hr
}

// arrivedIn has the source fetch the revert, and the Kustomization attempt what it is given.
func arrivedIn(s *scene, attempted string) {
	s.repo.Status.Artifact.Revision = "main@sha1:" + revert
	s.k.Status.LastAttemptedRevision = "main@sha1:" + attempted
}

func checking(conditions *[]metav1.Condition, commit string) {
	condition(conditions, meta.ReconcilingCondition, "True", meta.ProgressingReason,
		"Running health checks for revision main@sha1:"+commit+" with a timeout of 1m30s")
	condition(conditions, meta.ReadyCondition, "Unknown", meta.ProgressingReason, "Reconciliation in progress")
}

func TestTheWayOfARevert(t *testing.T) {
	for _, c := range []struct {
		name  string
		scene func(t *testing.T, s *scene)
		want  map[string]string
	}{
		{"the source has not fetched it, and the bad revision is checked", func(*testing.T, *scene) {},
			map[string]string{"GitRepository/fleet": "reached deaf ", "Kustomization/apps-develop": "busy "}},
		{"fetched, and the bad revision is checked", func(_ *testing.T, s *scene) {
			arrivedIn(s, sha)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached busy "}},
		{"fetched, and the bad revision's check failed", func(_ *testing.T, s *scene) {
			arrivedIn(s, sha)
			condition(&s.k.Status.Conditions, meta.ReconcilingCondition, "True", meta.ProgressingWithRetryReason, "Running health checks")
			condition(&s.k.Status.Conditions, meta.ReadyCondition, "False", meta.HealthCheckFailedReason, "timeout waiting for")
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached "}},
		{"attempted, and checked", func(_ *testing.T, s *scene) {
			arrivedIn(s, revert)
			checking(&s.k.Status.Conditions, revert)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken busy "}},
		{"suspended both", func(_ *testing.T, s *scene) {
			settle(&s.k.Status.Conditions)
			s.k.Spec.Suspend, s.repo.Spec.Suspend = true, true
		}, map[string]string{"GitRepository/fleet": "reached barred deaf ", "Kustomization/apps-develop": "barred "}},
		{"a dependency that is not ready", func(_ *testing.T, s *scene) {
			arrivedIn(s, sha)
			settle(&s.k.Status.Conditions)
			s.k.Spec.DependsOn = []meta.DependencyReference{{Name: "infra"}}
			condition(&s.k.Status.Conditions, meta.ReadyCondition, "False", meta.DependencyNotReadyReason, "'flux-system/infra' is not ready")
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached barred deaf "}},
		{"a dependency that is ready by now", func(_ *testing.T, s *scene) {
			arrivedIn(s, sha)
			settle(&s.k.Status.Conditions)
			dep := s.k.DeepCopy()
			dep.Name, dep.Status.ObservedGeneration = "infra", dep.Generation
			dep.Status.LastAppliedRevision = "main@sha1:" + revert
			s.more = append(s.more, dep)
			s.k.Spec.DependsOn = []meta.DependencyReference{{Name: "infra"}}
			condition(&s.k.Status.Conditions, meta.ReadyCondition, "False", meta.DependencyNotReadyReason, "'flux-system/infra' is not ready")
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached deaf "}},
		{"a release that upgrades to the bad values", func(t *testing.T, s *scene) {
			hr := stalled(t, s)
			hr.Status.Conditions = nil
			condition(&hr.Status.Conditions, meta.ReconcilingCondition, "True", meta.ProgressingReason, "Running 'upgrade' action with timeout of 5m0s")
			settle(&s.k.Status.Conditions)
			arrivedIn(s, revert)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken ", "HelmRelease/web": "reached taken busy deaf "}},
		{"a release that is stalled on a ConfigMap", func(t *testing.T, s *scene) {
			stalled(t, s)
			settle(&s.k.Status.Conditions)
			arrivedIn(s, revert)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken ", "HelmRelease/web": "reached deaf "}},
		{"and its Kustomization is in its health check", func(t *testing.T, s *scene) {
			stalled(t, s)
			checking(&s.k.Status.Conditions, revert)
			arrivedIn(s, revert)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken busy ", "HelmRelease/web": "reached deaf "}},
		{"and its Kustomization is still applying", func(t *testing.T, s *scene) {
			stalled(t, s)
			condition(&s.k.Status.Conditions, meta.ReconcilingCondition, "True", meta.ProgressingReason,
				"Detecting drift for revision main@sha1:"+revert+" with a timeout of 1m30s")
			arrivedIn(s, revert)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken busy ", "HelmRelease/web": "deaf "}},
		{"and its Kustomization could not apply it", func(t *testing.T, s *scene) {
			stalled(t, s)
			settle(&s.k.Status.Conditions)
			arrivedIn(s, revert)
			s.k.Status.LastAppliedRevision = "main@sha1:" + sha
			condition(&s.k.Status.Conditions, meta.ReadyCondition, "False", meta.ReconciliationFailedReason, "dry-run failed")
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken ", "HelmRelease/web": "deaf "}},
		{"a stalled release with all its values in its spec", func(t *testing.T, s *scene) {
			stalled(t, s).Spec.ValuesFrom = nil
			settle(&s.k.Status.Conditions)
			arrivedIn(s, revert)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken ", "HelmRelease/web": "reached taken deaf "}},
		{"a stalled release with a new spec", func(t *testing.T, s *scene) {
			stalled(t, s).Generation = 4
			settle(&s.k.Status.Conditions)
			arrivedIn(s, revert)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken ", "HelmRelease/web": "reached taken deaf "}},
		{"a suspended release", func(t *testing.T, s *scene) {
			stalled(t, s).Spec.Suspend = true
			settle(&s.k.Status.Conditions)
			arrivedIn(s, revert)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken ", "HelmRelease/web": "reached barred deaf "}},
		{"images in the Kustomization's own file", func(_ *testing.T, s *scene) {
			s.under("flux-system", revert)
			arrivedIn(s, sha)
			settle(&s.k.Status.Conditions)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/flux-system": "reached taken ", "Kustomization/apps-develop": "reached "}},
		{"which its parent has not applied", func(_ *testing.T, s *scene) {
			s.under("flux-system", sha)
			arrivedIn(s, sha)
			settle(&s.k.Status.Conditions)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/flux-system": "reached ", "Kustomization/apps-develop": ""}},
		{"which it applies itself", func(_ *testing.T, s *scene) {
			s.under("apps-develop", revert)
			arrivedIn(s, sha)
			settle(&s.k.Status.Conditions)
		}, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(t, s)
			rb := landed(revert)
			if s.deployment.Labels["helm.toolkit.fluxcd.io/name"] != "" {
				rb.Status.Suspect.Reconciler = webRelease
			}
			got, err := s.flux(t).Rollout(t.Context(), rb, descends())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, facts(got.Way)); diff != "" {
				t.Error(diff)
			}
			for i := range got.Way {
				if got.Way[i].Version == "" {
					t.Errorf("%s has no version", got.Way[i].Object)
				}
			}
		})
	}
}

// under has the Kustomization hold an image itself, in a file that a Kustomization of the name applies.
func (s *scene) under(name, attempted string) {
	s.k.Spec.Images = []kustomize.Image{{Name: "backend", NewTag: "v2"}}
	s.k.Labels = fluxLabels("kustomize", name, "flux-system")
	entry := kustomizev1.ResourceRef{ID: "flux-system_apps-develop_kustomize.toolkit.fluxcd.io_Kustomization"}
	if name == s.k.Name {
		s.k.Status.Inventory.Entries = append(s.k.Status.Inventory.Entries, entry)
		return
	}
	parent := s.k.DeepCopy()
	parent.Name, parent.Labels, parent.Spec.Path, parent.Spec.Images = name, nil, "./clusters/a", nil
	parent.Status.Inventory.Entries = []kustomizev1.ResourceRef{entry}
	parent.Status.LastAttemptedRevision = "main@sha1:" + attempted
	settle(&parent.Status.Conditions)
	s.more = append(s.more, parent)
}

func TestTheWayOfARestore(t *testing.T) {
	rb := landed(sha)
	rb.Status.Landed, rb.Status.Suspect.Commit = nil, sha
	rb.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Reject, By: "bob"}
	for _, c := range []struct {
		name       string
		scene      func(t *testing.T, s *scene)
		reconciler v1alpha1.ObjectRef
		want       map[string]string
		waits      bool
	}{
		{"the Kustomization applies again", func(_ *testing.T, s *scene) { settle(&s.k.Status.Conditions) }, apps,
			map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached deaf "}, false},
		{"after its health check", func(*testing.T, *scene) {}, apps,
			map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached busy deaf "}, true},
		{"the HelmRelease does", func(t *testing.T, s *scene) {
			s.applied(t)
			settle(&s.k.Status.Conditions)
		}, webRelease, map[string]string{"GitRepository/fleet": "reached taken deaf ", "Kustomization/apps-develop": "reached taken ", "HelmRelease/web": "reached deaf "}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(t, s)
			rb.Status.Suspect.Reconciler = c.reconciler
			got, err := s.flux(t).Rollout(t.Context(), rb, descends())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, facts(got.Way)); diff != "" {
				t.Error(diff)
			}
			if (got.Waits != "") != c.waits || got.WaitsUntil.IsZero() == c.waits {
				t.Errorf("waits %q until %s", got.Waits, got.WaitsUntil)
			}
		})
	}
}

func TestAnObjectIsAskedAsItWasRead(t *testing.T) {
	s := captured(t)
	f, c := s.client(t)
	before := &kustomizev1.Kustomization{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(s.k), before); err != nil {
		t.Fatal(err)
	}
	stop := reconcile.Stop{Object: apps, Version: before.ResourceVersion}
	// It begins a health check in between.
	now := before.DeepCopy()
	checking(&now.Status.Conditions, revert)
	now.Status.LastHandledReconcileAt = time.Now().String()
	if err := c.Update(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := f.Ask(t.Context(), stop, token); !errors.Is(err, reconcile.ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	stop.Version = now.ResourceVersion
	if err := f.Ask(t.Context(), stop, token); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(s.k), now); err != nil {
		t.Fatal(err)
	}
	if got := now.Annotations[meta.ReconcileRequestAnnotation]; got != token {
		t.Errorf("carries %q", got)
	}
	// What it carries already is not asked for again, whatever became of it.
	stop.Token = token
	if err := f.Ask(t.Context(), stop, token); err != nil {
		t.Error(err)
	}
	if len(s.managers) != 2 {
		t.Errorf("sent %d patches, want 2", len(s.managers))
	}
}

func TestAskFails(t *testing.T) {
	s := captured(t)
	s.forbidden["Kustomization"] = true
	s.missing["HelmRelease"] = true
	f := s.flux(t)
	for o, want := range map[v1alpha1.ObjectRef]string{
		apps:                    "needs patch on it in namespace flux-system",
		webRelease:              "the kind is not installed",
		ref("Secret", "a", "b"): "does not know how to ask a Secret",
	} {
		err := f.Ask(t.Context(), reconcile.Stop{Object: o}, token)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", o, err, want)
		}
	}
}
