package flux

import (
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestOriginOfACapturedCluster(t *testing.T) {
	s := captured(t)
	shared := s.k.DeepCopy()
	shared.Name, shared.Spec.Path = "apps-staging", "./apps/staging/"
	elsewhere := s.k.DeepCopy()
	elsewhere.Name, elsewhere.Spec.SourceRef.Name = "infra", "infra"
	infra := s.repo.DeepCopy()
	infra.Name, infra.Spec.URL = "infra", "http://127.0.0.1:3000/infra.git"
	next := s.repo.DeepCopy()
	next.Name, next.Spec.Reference.Branch = "next", "next"
	branched := s.k.DeepCopy()
	branched.Name, branched.Spec.SourceRef.Name = "branched", "next"
	s.more = append(s.more, shared, elsewhere, infra, next, branched)
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	automation := ref("ImageUpdateAutomation", "develop", "develop")
	want := reconcile.Origin{
		Reconciler: ref("Kustomization", "flux-system", "apps-develop"),
		Root:       reconcile.Root{By: ref("Kustomization", "flux-system", "apps-develop"), Path: "apps/develop"},
		Others:     []reconcile.Root{{By: ref("Kustomization", "flux-system", "apps-staging"), Path: "apps/staging"}},
		Lands:      map[v1alpha1.ObjectRef][]string{ref("Kustomization", "flux-system", "apps-staging"): {"develop"}},
		Source: reconcile.Source{
			Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"},
			URL:  "http://127.0.0.1:3000/fleet.git", Branch: "main", Timeout: time.Minute,
			Auth: reconcile.Auth{Provider: "generic", Secret: map[string][]byte{
				"username": []byte("reader"), "password": []byte("readme"),
			}},
			// The automation's GitRepository is the one that can push.
			Push: &reconcile.Pusher{
				Name: types.NamespacedName{Namespace: "develop", Name: "fleet"},
				URL:  "http://127.0.0.1:3000/fleet.git", Timeout: time.Minute,
				Auth: reconcile.Auth{Provider: "generic", Secret: map[string][]byte{
					"username": []byte("writer"), "password": []byte("hunter2"),
				}},
			},
			AuthorName: "fluxcdbot", AuthorEmail: "fluxcdbot@users.noreply.github.com",
		},
		Policies: []reconcile.ImagePolicy{{
			Name: "develop:backend", Latest: "localhost:5000/backend:develop-v1.1.0-1700000200",
			Previous: "localhost:5000/backend:develop-v1.0.0-1700000001", Automation: &automation,
		}},
		Applied: "e70400abca8b51a05e41a04c2cf1c017fbc93c97",
		Healthy: []reconcile.Healthy{{
			By:     v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps-develop"},
			Commit: "fe244a45bba0ed558285a8a48ecce231bfc1db2d", At: time.Date(2026, 11, 21, 9, 7, 28, 0, time.UTC),
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// applied makes the Deployment a HelmRelease's, and the HelmRelease the Kustomization's.
func (s *scene) applied(t *testing.T) *helmv2.HelmRelease {
	t.Helper()
	hr := &helmv2.HelmRelease{}
	hr.Namespace, hr.Name, hr.Generation = "develop", "web", 3
	hr.Labels = fluxLabels("kustomize", "apps-develop", "flux-system")
	hr.Status.LastAttemptedGeneration = 3
	hr.Status.Inventory = &helmv2.ResourceInventory{
		Entries: []helmv2.ResourceRef{{ID: "develop_backend_apps_Deployment", Version: "v1"}},
	}
	s.deployment.Labels = fluxLabels("helm", "web", "develop")
	s.k.Status.Inventory.Entries = []kustomizev1.ResourceRef{
		{ID: "develop_web_helm.toolkit.fluxcd.io_HelmRelease", Version: "v2"},
	}
	s.more = append(s.more, hr)
	return hr
}

func TestOriginThroughAHelmRelease(t *testing.T) {
	s := captured(t)
	s.applied(t)
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Reconciler != ref("HelmRelease", "develop", "web") || got.Root.By.Name != "apps-develop" {
		t.Errorf("got applier %s in root %s", got.Reconciler, got.Root.By)
	}
}

// settle takes the reconcile off that was under way in the capture.
func settle(conditions *[]metav1.Condition) {
	apimeta.RemoveStatusCondition(conditions, meta.ReconcilingCondition)
	apimeta.SetStatusCondition(conditions, metav1.Condition{Type: "Ready", Status: "True", Reason: "Succeeded"})
}

func TestOriginRefuses(t *testing.T) {
	forge := func(s *scene) {
		settle(&s.k.Status.Conditions)
		s.k.Status.Inventory.Entries = s.k.Status.Inventory.Entries[:1]
	}
	for _, c := range []struct {
		name  string
		scene func(t *testing.T, s *scene)
		with  *types.NamespacedName
		want  string
	}{
		{"a workload that is gone", func(_ *testing.T, s *scene) { s.deployment = nil }, nil,
			"Deployment/develop/backend does not exist any more"},
		{"a workload that no Flux object owns", func(_ *testing.T, s *scene) { s.deployment.Labels = nil }, nil,
			"is not applied by Flux"},
		{"labels with a name and no namespace", func(_ *testing.T, s *scene) {
			delete(s.deployment.Labels, "kustomize.toolkit.fluxcd.io/namespace")
		}, nil, "is not applied by Flux"},
		{"a Flagger primary", func(_ *testing.T, s *scene) {
			s.deployment.Labels = nil
			s.deployment.OwnerReferences = controlledBy("Canary", "backend")
		}, nil, "made by Flagger for Canary develop/backend: its image was promoted and ran before"},
		{"a workload that an operator made", func(_ *testing.T, s *scene) {
			s.deployment.Labels = nil
			s.deployment.OwnerReferences = controlledBy("Keycloak", "sso")
		}, nil, "is made by Keycloak develop/sso"},
		{"a workload of a ResourceSet", func(_ *testing.T, s *scene) {
			s.deployment.Labels = map[string]string{
				"resourceset.fluxcd.controlplane.io/name":      "apps",
				"resourceset.fluxcd.controlplane.io/namespace": "flux-system",
			}
		}, nil, "ResourceSet flux-system/apps"},
		{"labels that the Kustomization's inventory does not confirm", func(_ *testing.T, s *scene) { forge(s) }, nil,
			"its inventory does not hold it: labels can be forged"},
		{"labels that are not confirmed while health checks run", func(_ *testing.T, s *scene) {
			s.k.Status.Inventory.Entries = s.k.Status.Inventory.Entries[:1]
		}, nil, "labels can be forged"},
		{"an inventory that holds another kind of that name", func(_ *testing.T, s *scene) {
			forge(s)
			s.k.Status.Inventory.Entries = append(s.k.Status.Inventory.Entries,
				kustomizev1.ResourceRef{ID: "develop_backend_apps_StatefulSet"}, kustomizev1.ResourceRef{ID: "rubbish"})
		}, nil, "labels can be forged"},
		{"a Kustomization that does not exist", func(_ *testing.T, s *scene) { s.k = nil }, nil,
			"which does not exist"},
		{"a Kustomization for a remote cluster", func(_ *testing.T, s *scene) {
			s.k.Spec.KubeConfig = &meta.KubeConfigReference{}
		}, nil, "applies to a remote cluster (spec.kubeConfig)"},
		{"a HelmRelease for a remote cluster", func(t *testing.T, s *scene) {
			s.applied(t).Spec.KubeConfig = &meta.KubeConfigReference{}
		}, nil, "HelmRelease/develop/web applies to a remote cluster"},
		{"a HelmRelease without an inventory", func(t *testing.T, s *scene) {
			hr := s.applied(t)
			hr.Status.Inventory = nil
			settle(&hr.Status.Conditions)
		}, nil, "helm-controller writes one since Flux 2.8"},
		{"a HelmRelease that its inventory does not confirm", func(t *testing.T, s *scene) {
			hr := s.applied(t)
			hr.Status.Inventory.Entries[0].ID = "develop_frontend_apps_Deployment"
			settle(&hr.Status.Conditions)
		}, nil, "HelmRelease/develop/web, but its inventory does not hold it"},
		{"a HelmRelease that was created by hand", func(t *testing.T, s *scene) { s.applied(t).Labels = nil }, nil,
			"HelmRelease/develop/web is not applied by a Kustomization"},
		{"a HelmRelease with forged labels", func(t *testing.T, s *scene) {
			s.applied(t)
			forge(s)
			s.k.Status.Inventory.Entries = nil
		}, nil, "HelmRelease/develop/web is labelled as applied by Kustomization/flux-system/apps-develop, but"},
		{"an OCIRepository", func(_ *testing.T, s *scene) { s.k.Spec.SourceRef.Kind = "OCIRepository" }, nil,
			"deployed from OCIRepository/flux-system/fleet, which is no Git repository that Backstop could write to"},
		{"a Bucket", func(_ *testing.T, s *scene) { s.k.Spec.SourceRef.Kind = "Bucket" }, nil, "(spec.sourceRef)"},
		{"an ExternalArtifact", func(_ *testing.T, s *scene) { s.k.Spec.SourceRef.Kind = "ExternalArtifact" }, nil,
			"ExternalArtifact/flux-system/fleet"},
		{"a GitRepository pinned to a tag", func(_ *testing.T, s *scene) {
			s.repo.Spec.Reference = &sourcev1.GitRepositoryRef{Tag: "v1.0.0"}
		}, nil, "GitRepository/flux-system/fleet is pinned to tag v1.0.0"},
		{"a GitRepository pinned to a commit", func(_ *testing.T, s *scene) { s.repo.Spec.Reference.Commit = sha }, nil,
			"pinned to commit " + sha},
		{"a source in another namespace where that is forbidden", func(_ *testing.T, s *scene) {
			s.options.NoCrossNamespaceRefs = true
			s.k.Spec.SourceRef.Namespace = "develop"
		}, nil, "--no-cross-namespace-refs"},
		{"a policy's source in another namespace where that is forbidden", func(_ *testing.T, s *scene) {
			s.options.NoCrossNamespaceRefs = true
		}, &types.NamespacedName{Namespace: "team-b", Name: "fleet"}, "--no-cross-namespace-refs"},
		{"a policy's source that does not exist", func(*testing.T, *scene) {},
			&types.NamespacedName{Namespace: "develop", Name: "rw"},
			"spec.sourceRef names GitRepository/develop/rw, which does not exist"},
		{"a policy's source of another branch", func(_ *testing.T, s *scene) { s.writer.Spec.Reference.Branch = "dev" },
			&types.NamespacedName{Namespace: "develop", Name: "fleet"}, "follows branch dev, while"},
		{"a Kustomization that may not be read", func(_ *testing.T, s *scene) { s.forbidden["Kustomization"] = true },
			nil,
			"may not read Kustomization/flux-system/apps-develop"},
		{"automations that may not be listed", func(_ *testing.T, s *scene) {
			s.forbidden["ImageUpdateAutomation"] = true
		}, nil, "may not list ImageUpdateAutomation objects in the cluster"},
		{"credentials that may not be read", func(_ *testing.T, s *scene) { s.forbidden["Secret"] = true }, nil,
			"may not read Secret flux-system/fleet, which GitRepository/flux-system/fleet names: use the component " +
				"credentials in " +
				"namespace flux-system (a Role with get on secrets, resourceNames fleet)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(t, s)
			_, err := s.flux(t).Origin(t.Context(), "develop", backend, c.with, time.Time{})
			if why := refusal(t, err); !strings.Contains(why, c.want) {
				t.Errorf("got  %s\nwant %s", why, c.want)
			}
		})
	}
}

func controlledBy(kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{Kind: kind, Name: name, UID: "1", Controller: &yes}}
}

func TestOriginWaits(t *testing.T) {
	for _, c := range []struct {
		name  string
		scene func(s *scene)
		want  string
	}{
		{"for a kind that is not installed", func(s *scene) { s.missing["Kustomization"] = true }, "not installed"},
		{"for an inventory that is being written", func(s *scene) {
			s.k.Status.Inventory = nil
			for i := range s.k.Status.Conditions {
				s.k.Status.Conditions[i].Message = "Detecting drift for revision main@sha1:" + sha + " with a " +
					"timeout of 1m30s"
			}
		}, "does not hold Deployment/develop/backend yet"},
		{"for a Kustomization that was never reconciled", func(s *scene) {
			s.k.Status = kustomizev1.KustomizationStatus{}
		}, "does not hold Deployment/develop/backend yet"},
		{"for a GitRepository that is not there", func(s *scene) { s.repo = nil }, "GitRepository/flux-system/fleet"},
		{"for a Secret that is not there", func(s *scene) { s.more = nil }, "Secret flux-system/fleet"},
		{"for a Secret that Backstop may not read yet", func(s *scene) { s.forbidden["Secret"] = true }, "Secret flux-system/fleet"},
		{"for a right to read what applies it", func(s *scene) { s.forbidden["Kustomization"] = true }, "may not read Kustomization"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(s)
			_, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
			_, refused := reconcile.AsRefusal(err)
			if err == nil || refused && !reconcile.KindOf(err).Heals() || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error to try again with %q", err, c.want)
			}
		})
	}
}

func TestOriginWithoutImageAutomation(t *testing.T) {
	s := captured(t)
	for _, kind := range []string{"ImageUpdateAutomation", "ImagePolicy", "ImageRepository"} {
		s.missing[kind] = true
	}
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Source.Name.Namespace != "flux-system" || got.Source.AuthorName != "Backstop" || len(got.Policies) != 0 {
		t.Errorf("got source %s, author %s, policies %v", got.Source.Name, got.Source.AuthorName, got.Policies)
	}
	if string(got.Source.Auth.Secret["username"]) != "reader" {
		t.Error("the deployed GitRepository's credentials are not used")
	}
}

func TestOriginOfAnUnknownKindIsFoundByInventory(t *testing.T) {
	s := captured(t)
	s.k.Status.Inventory.Entries = append(s.k.Status.Inventory.Entries,
		kustomizev1.ResourceRef{ID: "develop_backend_argoproj.io_Rollout", Version: "v1alpha1"})
	f := s.flux(t)
	got, err := f.Origin(t.Context(), "develop", v1alpha1.Workload{Kind: "Rollout", Name: "backend"}, nil, time.Time{})
	if err != nil || got.Reconciler.Name != "apps-develop" {
		t.Errorf("got %s, %v", got.Reconciler, err)
	}
	_, err = f.Origin(t.Context(), "develop", v1alpha1.Workload{Kind: "CloneSet", Name: "backend"}, nil, time.Time{})
	if why := refusal(t, err); !strings.Contains(why, "is in the inventory of no Kustomization or HelmRelease") {
		t.Error(why)
	}
	hr := s.applied(t)
	hr.Status.Inventory.Entries[0].ID = "develop_web_argoproj.io_Rollout"
	got, err = s.flux(t).Origin(t.Context(), "develop", v1alpha1.Workload{Kind: "Rollout", Name: "web"}, nil, time.Time{})
	if err != nil || got.Reconciler != ref("HelmRelease", "develop", "web") {
		t.Errorf("got %s, %v", got.Reconciler, err)
	}
}

func TestOriginWithAPolicysSource(t *testing.T) {
	s := captured(t)
	s.k.Spec.SourceRef.Kind = "OCIRepository"
	oci := &sourcev1.OCIRepository{}
	oci.Namespace, oci.Name = "flux-system", "fleet"
	oci.Status.Artifact = &meta.Artifact{
		Revision: "latest@sha256:" + sha256, Metadata: map[string]string{originRevision: "main@sha1:" + sha},
	}
	s.more = append(s.more, oci)
	with := &types.NamespacedName{Namespace: "develop", Name: "fleet"}
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, with, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Source.Name != *with || got.Source.ReadOnly != "" {
		t.Errorf("got source %s, read-only %q", got.Source.Name, got.Source.ReadOnly)
	}

	oci.Status.Artifact.Metadata[originRevision] = "v1.2.3@sha1:" + sha
	got, err = s.flux(t).Origin(t.Context(), "develop", backend, with, time.Time{})
	if err != nil || !strings.Contains(got.Source.ReadOnly, "was built from v1.2.3") {
		t.Errorf("got read-only %q, %v", got.Source.ReadOnly, err)
	}
}

func TestOriginOfASourceByItsReferenceName(t *testing.T) {
	s := captured(t)
	s.repo.Spec.Reference = &sourcev1.GitRepositoryRef{Name: "refs/heads/main"}
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil || got.Source.Branch != "main" || got.Source.ReadOnly != "" {
		t.Errorf("got branch %q, read-only %q, %v", got.Source.Branch, got.Source.ReadOnly, err)
	}
}

func TestOriginPushesWithThePolicysSource(t *testing.T) {
	s := captured(t)
	rw := s.repo.DeepCopy()
	rw.Name, rw.Spec.URL, rw.Spec.SecretRef = "fleet-rw", "ssh://git@127.0.0.1/fleet", nil
	s.more = append(s.more, rw)
	got, err := s.flux(t).Origin(t.Context(), "develop", backend,
		&types.NamespacedName{Namespace: "flux-system", Name: "fleet-rw"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Source.Push; p == nil || p.Name.Name != "fleet-rw" || p.URL != rw.Spec.URL || p.Auth.Secret != nil {
		t.Errorf("got %s", got.Source.Pushes())
	}
	if got.Source.Name.Name != "fleet" || got.Source.AuthorName != "Backstop" {
		t.Errorf("it is read from %s, and signed by %s", got.Source.Name, got.Source.AuthorName)
	}
}

func TestOriginNamesWhatIsSuspended(t *testing.T) {
	s := captured(t)
	hr := s.applied(t)
	hr.Spec.Suspend, s.k.Spec.Suspend, s.repo.Spec.Suspend = true, true, true
	got, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := []v1alpha1.ObjectRef{fleetRepo, apps, webRelease}
	if diff := cmp.Diff(want, got.Suspended); diff != "" {
		t.Error(diff)
	}
}
