package flux

import (
	"slices"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// behind is the captured cluster, where the source has the revert and the Kustomization checks the bad revision, with a
// Rollback of a workload.
func behind(s *scene, w v1alpha1.Workload) *v1alpha1.Rollback {
	s.repo.Status.Artifact.Revision = "main@sha1:" + revert
	rb := landed(revert)
	c := s.deployment.Spec.Template.Spec.Containers[0]
	rb.Namespace, rb.Spec.Subject = "develop", v1alpha1.ImageSubject(c.Image)
	rb.Status.Target = &v1alpha1.Target{Image: "reg/former:v1"}
	rb.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: w, Container: c.Name}}
	return rb
}

// custom is an object of a kind that is not built in.
func custom(apiVersion, kind, name, ref string, to any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{ref: to}}}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetNamespace("develop")
	o.SetName(name)
	return o
}

// Each never of fast-forward is read from what stands in the cluster; what becomes of it the engine says.
func TestWhatAFastForwardGoesByIsRead(t *testing.T) {
	marked := func(name, value string) func(*scene) {
		return func(s *scene) {
			s.deployment.Annotations = map[string]string{kustomizev1.GroupVersion.Group + "/" + name: value}
		}
	}
	leftAlone := func(want string) func(*reconcile.Ahead) bool {
		return func(a *reconcile.Ahead) bool { return a.Workloads[0].LeftAlone == want }
	}
	dependent := func(change func(*kustomizev1.Kustomization)) func(*scene) {
		return func(s *scene) {
			o := s.k.DeepCopy()
			o.Name, o.Spec.DependsOn = "after", []kustomizev1.DependencyReference{{Name: s.k.Name}}
			change(o)
			s.more = append(s.more, o)
		}
	}
	target := map[string]any{"kind": "Deployment", "name": "backend"}
	canary := func(want string) func(*reconcile.Ahead) bool {
		return func(a *reconcile.Ahead) bool { return a.Workloads[0].Canary == want }
	}
	for name, c := range map[string]struct {
		change func(*scene)
		reads  func(*reconcile.Ahead) bool
	}{
		"nothing is against it": {func(*scene) {}, func(a *reconcile.Ahead) bool {
			w := a.Workloads[0]
			return !a.Remote && len(a.Suspended)+len(a.Dependents) == 0 && a.Release == nil && w.LeftAlone == "" && w.Canary == "" &&
				!w.Paused && !w.ByHand && !w.Partition && !w.Gone && len(w.Containers) == 1 && w.Containers[0].Want == ""
		}},
		"the Kustomization is suspended": {func(s *scene) { s.k.Spec.Suspend = true }, func(a *reconcile.Ahead) bool {
			return slices.Contains(a.Suspended, ref("Kustomization", "flux-system", "apps-develop"))
		}},
		"the source is suspended": {func(s *scene) { s.repo.Spec.Suspend = true }, func(a *reconcile.Ahead) bool {
			return slices.Contains(a.Suspended, ref("GitRepository", "flux-system", "fleet"))
		}},
		"reconcile: disabled":             {marked("reconcile", "disabled"), leftAlone("reconcile: disabled")},
		"reconcile: Disabled, in a word":  {marked("reconcile", "Disabled"), leftAlone("reconcile: Disabled")},
		"reconcile: enabled":              {marked("reconcile", "enabled"), leftAlone("")},
		"ssa: Ignore":                     {marked("ssa", "Ignore"), leftAlone("ssa: Ignore")},
		"ssa: IfNotPresent":               {marked("ssa", "IfNotPresent"), leftAlone("ssa: IfNotPresent")},
		"ssa: Merge":                      {marked("ssa", "Merge"), leftAlone("ssa: Merge")},
		"ssa: what a later Flux may know": {marked("ssa", "Whatever"), leftAlone("ssa: Whatever")},
		"ssa: Override":                   {marked("ssa", "Override"), leftAlone("")},
		"ssa: Ignore as a label": {func(s *scene) {
			s.deployment.Labels[kustomizev1.GroupVersion.Group+"/ssa"] = "Ignore"
		}, leftAlone("ssa: Ignore")},
		"its rollout is paused": {func(s *scene) { s.deployment.Spec.Paused = true }, func(a *reconcile.Ahead) bool {
			return a.Workloads[0].Paused
		}},
		"it is being deleted": {func(s *scene) {
			now := metav1.Now()
			s.deployment.DeletionTimestamp, s.deployment.Finalizers = &now, []string{"x/y"}
		}, func(a *reconcile.Ahead) bool { return a.Workloads[0].Gone }},
		"it was made anew": {func(s *scene) { s.deployment.UID = "another" }, func(a *reconcile.Ahead) bool {
			return a.Workloads[0].Gone
		}},
		"it is gone": {func(s *scene) { s.deployment = nil }, func(a *reconcile.Ahead) bool { return a.Workloads[0].Gone }},
		"somebody undid it by hand": {func(s *scene) {
			s.deployment.Spec.Template.Spec.Containers[0].Image = "reg/former:v1"
		}, func(a *reconcile.Ahead) bool { return len(a.Workloads[0].Containers) == 0 }},
		"Flagger's own Deployment": {func(s *scene) {
			yes := true
			s.deployment.OwnerReferences = []metav1.OwnerReference{{APIVersion: "flagger.app/v1beta1", Kind: "Canary", Name: "backend",
				UID: "c", Controller: &yes}}
		}, canary("Canary/backend")},
		"the target of a Canary": {func(s *scene) {
			s.more = append(s.more, custom("flagger.app/v1beta1", "Canary", "watch", "targetRef", target))
		}, canary("Canary/watch")},
		"the target of another Canary": {func(s *scene) {
			s.more = append(s.more, custom("flagger.app/v1beta1", "Canary", "watch", "targetRef",
				map[string]any{"kind": "Deployment", "name": "frontend"}))
		}, canary("")},
		"what a Rollout takes its template from": {func(s *scene) {
			s.more = append(s.more, custom("argoproj.io/v1alpha1", "Rollout", "shift", "workloadRef", target))
		}, canary("Rollout/shift")},
		"Canaries may not be read": {func(s *scene) { s.forbidden["Canary"] = true },
			canary("a Canary, which Backstop may not read,")},
		"one depends on it by an expression": {dependent(func(k *kustomizev1.Kustomization) {
			k.Spec.DependsOn[0].ReadyExpr = "true"
		}), func(a *reconcile.Ahead) bool { return len(a.Dependents) == 1 && a.Dependents[0].Expr }},
		"one depends on it from another source": {dependent(func(k *kustomizev1.Kustomization) {
			k.Spec.SourceRef.Name = "another"
		}), func(a *reconcile.Ahead) bool { return len(a.Dependents) == 1 && a.Dependents[0].OtherSource }},
		"one of another namespace depends on it": {dependent(func(k *kustomizev1.Kustomization) {
			k.Namespace, k.Spec.DependsOn[0].Namespace = "team", "flux-system"
		}), func(a *reconcile.Ahead) bool { return len(a.Dependents) == 1 && a.Dependents[0].OtherSource }},
		"one of another namespace depends on its namesake": {dependent(func(k *kustomizev1.Kustomization) {
			k.Namespace = "team"
		}), func(a *reconcile.Ahead) bool { return len(a.Dependents) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			uid := s.deployment.UID
			rb := behind(s, v1alpha1.Workload{Kind: "Deployment", Name: "backend", UID: uid})
			c.change(s)
			got, err := s.flux(t).Ahead(t.Context(), rb, descends())
			if err != nil || !got.Held || len(got.Workloads) != 1 {
				t.Fatalf("got %+v, %v; want one workload, kept by a check", got, err)
			}
			if !c.reads(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestHowAWorkloadReplacesItsPodsIsRead(t *testing.T) {
	one := int32(1)
	for name, c := range map[string]struct {
		change func(*appsv1.StatefulSet)
		reads  func(reconcile.AheadWorkload) bool
	}{
		"one after another": {func(*appsv1.StatefulSet) {}, func(o reconcile.AheadWorkload) bool {
			return o.Ordered && !o.ByHand && !o.Partition
		}},
		"all at once": {func(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement },
			func(o reconcile.AheadWorkload) bool { return !o.Ordered }},
		"OnDelete": {func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType },
			func(o reconcile.AheadWorkload) bool { return o.ByHand }},
		"up to a partition": {func(s *appsv1.StatefulSet) {
			s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &one}
		}, func(o reconcile.AheadWorkload) bool { return o.Partition }},
	} {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "develop", Name: "db", UID: "u"}}
			set.Spec.Template = s.deployment.Spec.Template
			c.change(set)
			s.more = append(s.more, set)
			rb := behind(s, v1alpha1.Workload{Kind: "StatefulSet", Name: "db", UID: "u"})
			got, err := s.flux(t).Ahead(t.Context(), rb, descends())
			if err != nil || len(got.Workloads) != 1 || !c.reads(got.Workloads[0]) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestWhatAReleaseForbidsAFastForwardIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*helmv2.HelmRelease)
		reads  func(*reconcile.AheadRelease) bool
	}{
		"as it comes": {func(*helmv2.HelmRelease) {}, func(r *reconcile.AheadRelease) bool {
			return !r.OptedIn && !r.NoHooks && !r.Tests && !r.Drift
		}},
		"the second opt-in": {func(hr *helmv2.HelmRelease) {
			hr.Annotations = map[string]string{reconcile.FastForwardLabel: reconcile.FastForwardAllowed}
		}, func(r *reconcile.AheadRelease) bool { return r.OptedIn }},
		"hooks are off": {func(hr *helmv2.HelmRelease) { hr.Spec.Upgrade = &helmv2.Upgrade{DisableHooks: true} },
			func(r *reconcile.AheadRelease) bool { return r.NoHooks }},
		"tests": {func(hr *helmv2.HelmRelease) { hr.Spec.Test = &helmv2.Test{Enable: true} },
			func(r *reconcile.AheadRelease) bool { return r.Tests }},
		"drift is corrected": {func(hr *helmv2.HelmRelease) {
			hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionEnabled}
		}, func(r *reconcile.AheadRelease) bool { return r.Drift }},
		"drift is told": {func(hr *helmv2.HelmRelease) {
			hr.Spec.DriftDetection = &helmv2.DriftDetection{Mode: helmv2.DriftDetectionWarn}
		}, func(r *reconcile.AheadRelease) bool { return !r.Drift }},
	} {
		t.Run(name, func(t *testing.T) {
			hr := &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: "develop", Name: "web"}}
			c.change(hr)
			if got := aheadRelease(hr); !c.reads(got) || got.Object != ref("HelmRelease", "develop", "web") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// What a HelmRelease itself says of the way to a workload is read too.
func TestAReleaseThatIsSuspendedOrOfAnotherClusterIsLeftAlone(t *testing.T) {
	const upgrades = "Reconciling=True Progressing Running 'upgrade' action with timeout of 5m0s"
	for name, c := range map[string]struct {
		change func(*helmv2.HelmRelease)
		reads  func(*reconcile.Ahead) bool
	}{
		"nothing is against it": {func(*helmv2.HelmRelease) {}, func(a *reconcile.Ahead) bool {
			return a.Held && !a.Remote && len(a.Suspended) == 0
		}},
		"it is suspended": {func(hr *helmv2.HelmRelease) { hr.Spec.Suspend = true }, func(a *reconcile.Ahead) bool {
			return a.Held && slices.Contains(a.Suspended, ref("HelmRelease", "develop", "web"))
		}},
		"it installs into another cluster (spec.kubeConfig)": {func(hr *helmv2.HelmRelease) {
			hr.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "far"}}
		}, func(a *reconcile.Ahead) bool { return !a.Held && len(a.Workloads) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			rb := behind(s, v1alpha1.Workload{Kind: "Deployment", Name: "backend"})
			hr := s.applied(t)
			says(hr, "Ready=Unknown Progressing Running", upgrades)
			c.change(hr)
			rb.Status.Suspect.Reconciler = ref("HelmRelease", "develop", "web")
			got, err := s.flux(t).Ahead(t.Context(), rb, descends())
			if err != nil || !c.reads(got) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// One image may run in workloads of several releases: what is asked of one counts for its own workloads alone.
func TestAWorkloadThatAnotherOneAppliesIsNotSetByTheFirstOnesWord(t *testing.T) {
	worker := func(s *scene, labels map[string]string) *appsv1.Deployment {
		d := s.deployment.DeepCopy()
		d.Name, d.UID, d.Labels = "worker", "w", labels
		s.more = append(s.more, d)
		return d
	}
	release := func(s *scene, name, holds string) {
		hr := &helmv2.HelmRelease{}
		hr.Namespace, hr.Name = "develop", name
		hr.Status.Inventory = &helmv2.ResourceInventory{Entries: []helmv2.ResourceRef{{ID: holds, Version: "v1"}}}
		s.more = append(s.more, hr)
	}
	const held = "develop_worker_apps_Deployment"
	for name, c := range map[string]struct {
		change func(*scene)
		want   string
	}{
		"of the same Kustomization": {func(s *scene) {
			worker(s, s.deployment.Labels)
			s.k.Status.Inventory.Entries = append(s.k.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: held, Version: "v1"})
		}, ""},
		"of a release": {func(s *scene) {
			worker(s, fluxLabels("helm", "worker", "develop"))
			release(s, "worker", held)
		}, "HelmRelease/develop/worker applies it"},
		"of another Kustomization": {func(s *scene) { worker(s, fluxLabels("kustomize", "apps-test", "flux-system")) },
			"Kustomization/flux-system/apps-test applies it"},
		"labels that no inventory confirms": {func(s *scene) { worker(s, s.deployment.Labels) }, "nobody confirms who applies it"},
		"of nobody":                         {func(s *scene) { worker(s, nil) }, "nobody confirms who applies it"},
		"taken over, and still in the old inventory": {func(s *scene) {
			worker(s, fluxLabels("helm", "worker", "develop"))
			s.k.Status.Inventory.Entries = append(s.k.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: held, Version: "v1"})
		}, "HelmRelease/develop/worker applies it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			rb := behind(s, v1alpha1.Workload{Kind: "Deployment", Name: "backend"})
			second := rb.Status.Failures[0]
			second.Workload.Name = "worker"
			rb.Status.Failures = append(rb.Status.Failures, second)
			c.change(s)
			got, err := s.flux(t).Ahead(t.Context(), rb, descends())
			if err != nil || len(got.Workloads) != 2 {
				t.Fatalf("got %+v, %v", got, err)
			}
			if got.Workloads[0].Elsewhere != "" || got.Workloads[1].Elsewhere != c.want {
				t.Errorf("the first %q, the second %q, want %q", got.Workloads[0].Elsewhere, got.Workloads[1].Elsewhere, c.want)
			}
		})
	}
}

// A check that ends by itself, or that checks the revert already, needs nobody to help it.
func TestOnlyACheckOfAnotherRevisionIsHelped(t *testing.T) {
	for name, change := range map[string]func(*scene){
		"the artifact does not hold the revert yet": func(s *scene) { s.repo.Status.Artifact.Revision = "main@sha1:" + sha },
		"the check is of the revert": func(s *scene) {
			condition(&s.k.Status.Conditions, meta.ReconcilingCondition, "True", meta.ProgressingReason,
				"Running health checks for revision main@sha1:"+revert+" with a timeout of 5m0s")
		},
		"no check runs": func(s *scene) { settle(&s.k.Status.Conditions) },
		"it applies to another cluster (spec.kubeConfig)": func(s *scene) {
			s.k.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "far"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			rb := behind(s, v1alpha1.Workload{Kind: "Deployment", Name: "backend"})
			change(s)
			if got, err := s.flux(t).Ahead(t.Context(), rb, descends()); err != nil || got.Held {
				t.Errorf("got %+v, %v; want nothing that is held", got, err)
			}
		})
	}
}
