package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// sourceOf has production deployed from another source.
func sourceOf(kind, name string) func(w *World) {
	return applySpec(func(s *kustomizev1.KustomizationSpec) { s.SourceRef.Kind, s.SourceRef.Name = kind, name })
}

// unheld takes holds out of the backend's file by hand, once there is a newer image that can run.
func unheld(w *World) {
	w.selected(prod, backend, w.newer())
	_, err := w.Alice.Change(w.t.Context(), w.Fleet.File(prod, backend), "Let it go", func(s string) string {
		return regexp.MustCompile(`# backstop:hold [^{]*`).ReplaceAllString(s, "# ")
	})
	w.must(err)
}

// reverted does the last of what a fix offers, which reverts the image.
func reverted(w *World, fix string) {
	i := strings.LastIndex(fix, "backstop revert ")
	if i < 0 {
		w.t.Fatalf("%q reverts nothing", fix)
	}
	w.do(fix[i:])
}

const keeper = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: POLICY}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [DELETE], resources: [configmaps], resourceNames: [keep]}]
  validations: [{expression: "false", message: "it is kept"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: POLICY}
spec: {policyName: POLICY, validationActions: [Deny]}
`

const kept = `apiVersion: v1
kind: ConfigMap
metadata: {name: keep, namespace: NS}
`

// mishapsOfTheCluster are those between what Flux fetches and the pods.
func mishapsOfTheCluster() map[string]mishap {
	waits := func(is bool, within time.Duration) func(w *World) {
		return applySpec(func(s *kustomizev1.KustomizationSpec) { s.Wait, s.Timeout = is, &metav1.Duration{Duration: within} })
	}
	// retried reports when Flux tries again what failed.
	retried := func(after time.Duration) func(w *World) {
		return applySpec(func(s *kustomizev1.KustomizationSpec) { s.RetryInterval = &metav1.Duration{Duration: after} })
	}
	bad := func(w *World) { w.publishBad(backend, w.nextTag()) }
	// lacking publishes the next image and does something with its layer before anybody pulls it.
	lacking := func(do func(w *World, layer string)) func(w *World) {
		return func(w *World) {
			w.Publish(backend, "layered")
			blobs, err := w.Registry.Blobs(backend, "layered")
			w.must(err)
			do(w, blobs[1])
			w.must(w.Registry.Retag(backend, "layered", w.nextTag()))
			w.must(w.Registry.DeleteTag(backend, "layered"))
		}
	}
	patches := func(patch string) func(w *World) {
		return func(w *World) {
			applySpec(func(s *kustomizev1.KustomizationSpec) {
				s.Patches = nil
				if patch != "" {
					s.Patches = []kustomize.Patch{{Patch: w.words(patch)}}
				}
			})(w)
		}
	}
	quota := func(w *World) *corev1.ResourceQuota {
		return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "none"},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}}}
	}
	const finalizer = "test.backstop.dev/keep"
	stray := v1alpha1.Workload{Kind: "Deployment", Name: "stray"}
	return map[string]mishap{
		"the Kustomization is suspended": {
			hop: "apply", why: "suspended", fix: "flux -n NSF resume kustomization production",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) { s.Suspend = true }),
		},
		"the Kustomization depends on what is not ready": {
			hop: "apply", why: "DependencyNotReady", fix: "flux -n NSF get kustomization nowhere",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) {
				s.DependsOn = []kustomizev1.DependencyReference{{Name: "nowhere"}}
			}),
			mend: by(applySpec(func(s *kustomizev1.KustomizationSpec) { s.DependsOn = nil })),
		},
		"the Kustomization does not build": {
			hop: "apply", why: "BuildFailed", fix: "correct the files below spec.path",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) { s.Path = "./apps/nowhere" }),
			mend:  by(applySpec(func(s *kustomizev1.KustomizationSpec) { s.Path = "./apps/production" })),
		},
		"somebody changed the image by hand": {
			hop: "workload", why: "set by kubectl-set", fix: "flux -n NSF reconcile kustomization production",
			spoil: func(w *World) { w.Publish(backend, "by-hand") },
			// Set before each look: an apply of the commit before may undo it in between.
			keep: func(w *World) {
				w.kubectl(prod, "set", "image", "deploy/backend", "backend="+w.Fleet.Image(backend, "by-hand"))
			},
			mend: func(w *World, fix string) {
				command, _, _ := strings.Cut(strings.TrimPrefix(fix, "restore what Git says: "), ";")
				w.do(command)
				w.must(w.Registry.DeleteTag(backend, "by-hand"))
			},
		},
		"somebody changed the image, and Flux is told to leave it": {
			hop: "workload", why: "tells Flux to leave it alone", fix: "take the annotation away",
			spoil: func(w *World) {
				w.Publish(backend, "by-hand")
				w.kubectl(prod, "annotate", "deploy/backend", "kustomize.toolkit.fluxcd.io/reconcile=disabled")
				w.kubectl(prod, "set", "image", "deploy/backend", "backend="+w.Fleet.Image(backend, "by-hand"))
			},
			mend: func(w *World, _ string) {
				w.kubectl(prod, "annotate", "deploy/backend", "kustomize.toolkit.fluxcd.io/reconcile-")
				w.do("flux -n " + w.Fleet.FluxNamespace() + " reconcile kustomization production")
				w.must(w.Registry.DeleteTag(backend, "by-hand"))
			},
		},
		"the rollout is paused": {
			hop: "workload", why: "paused", fix: "kubectl -n NS rollout resume deployment backend",
			spoil: func(w *World) {
				// Not as kubectl does it, whose fields Flux takes away at its next run.
				edit(w, &appsv1.Deployment{}, w.Fleet.Namespace(prod), backend, func(o *appsv1.Deployment) {
					o.Spec.Paused = true
					o.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "b"}}
				})
			},
		},
		"the image cannot be pulled": {
			hop: "pods", why: "waits with production-v1.", fix: "build ",
			spoil: func(w *World) { w.publishBad(backend, w.nextTag()) }, mend: by(repaired),
		},
		"the Kustomization is overdue": {
			hop: "apply", why: "though its source fetched that 5h ago", fix: "flux -n NSF reconcile kustomization production",
			spoil: func(w *World) { w.runs(prod, backend, w.newer()) },
			keep: func(w *World) {
				editStatus(w, &kustomizev1.Kustomization{}, w.Fleet.FluxNamespace(), prod, func(k *kustomizev1.Kustomization) {
					k.Status.LastAttemptedRevision = "main@sha1:" + w.git("rev-parse", fleet.Branch+"^")
					k.Status.LastAppliedRevision = k.Status.LastAttemptedRevision
				})
				editStatus(w, &sourcev1.GitRepository{}, w.Fleet.FluxNamespace(), "fleet", func(o *sourcev1.GitRepository) {
					o.Status.Artifact.LastUpdateTime = longAgo()
				})
			},
		},
		"the Kustomization is being deleted": {
			hop: "apply", why: "it is being deleted", fix: "see which finalizer keeps it: kubectl -n NSF get kustomization production -o yaml",
			spoil: func(w *World) {
				edit(w, &kustomizev1.Kustomization{}, w.Fleet.FluxNamespace(), prod, func(k *kustomizev1.Kustomization) { k.Finalizers = []string{finalizer} })
				w.must(w.Client.Delete(w.t.Context(), fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod).DeepCopy()))
			},
			mend: func(w *World, fix string) {
				_, command, _ := strings.Cut(fix, ": ")
				w.do(command)
				edit(w, &kustomizev1.Kustomization{}, w.Fleet.FluxNamespace(), prod, func(k *kustomizev1.Kustomization) { k.Finalizers = nil })
				k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod).DeepCopy()
				k.ObjectMeta = metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}
				w.Until("it can be made anew", func() error { return w.Client.Create(w.t.Context(), k.DeepCopy()) })
			},
		},
		"the Kustomization is not healthy": {
			hop: "apply", why: "it fails (HealthCheckFailed)", fix: "mend what it names (the hops below, where it is this workload), then: flux -n NSF reconcile kustomization production",
			spoil: all(waits(true, 2*time.Second), bad), mend: then(repaired), after: waits(false, 90*time.Second),
		},
		"the API server refuses an object": {
			hop: "apply", why: "it fails (ReconciliationFailed)", fix: "correct the object that it names and push, then: flux -n NSF reconcile kustomization production",
			spoil: file("apps/production/keep.yaml", strings.ReplaceAll(kept, "keep", "Not_A_Name")), mend: then(file("apps/production/keep.yaml", kept)),
			after: file("apps/production/keep.yaml", ""),
		},
		"an object cannot be pruned": {
			hop: "apply", why: "it fails (PruneFailed)", fix: "let the object that it names be deleted (an admission policy, a webhook or RBAC refuses it), then: flux -n NSF reconcile kustomization production",
			spoil: func(w *World) {
				// Flux forgets what it could not delete, so that its next try would succeed.
				retried(10 * time.Minute)(w)
				file("apps/production/keep.yaml", kept)(w)
				w.must(w.Env.Apply(w.t.Context(), w.words(keeper, "POLICY", w.Name+"-keep")))
				o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "keep"}}
				w.Until("it cannot be deleted", func() error {
					if err := w.Client.Delete(w.t.Context(), o, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "it is kept") {
						return fmt.Errorf("it can: %w", err)
					}
					return nil
				})
				// What is not in its inventory, Flux does not delete.
				w.Until("Flux knows that it made it", func() error {
					k := Object(w, &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.FluxNamespace(), Name: prod}})
					if k.Status.Inventory == nil || !slices.ContainsFunc(k.Status.Inventory.Entries, func(e kustomizev1.ResourceRef) bool {
						return strings.HasSuffix(e.ID, "_keep__ConfigMap")
					}) {
						return fmt.Errorf("its inventory is %v", k.Status.Inventory)
					}
					return nil
				})
				file("apps/production/keep.yaml", "")(w)
			},
			mend: then(func(w *World) {
				for _, kind := range []string{"validatingadmissionpolicybinding", "validatingadmissionpolicy"} {
					w.do("kubectl delete " + kind + " " + w.Name + "-keep")
				}
				w.Until("it can be deleted", func() error {
					return w.Client.Delete(w.t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "keep"}}, client.DryRunAll)
				})
			}),
			after: retried(time.Second),
		},
		"nothing of Flux's applies the workload": {
			hop: "apply", why: "is not applied by Flux", fix: "let a Kustomization or HelmRelease apply it, from a file in Git", of: stray,
			spoil: func(w *World) {
				w.kubectl(prod, "create", "deployment", "stray", "--image="+w.Fleet.Image(backend, w.selectedTag()))
			},
			mend: by(func(w *World) {
				w.must(w.Client.Delete(w.t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "stray"}}))
				text := w.File(w.Fleet.File(prod, backend))
				file("apps/production/stray.yaml", regexp.MustCompile(`(name|app): backend`).ReplaceAllString(text, "$1: stray"))(w)
			}),
			after: file("apps/production/stray.yaml", ""),
		},
		"a patch of the Kustomization changes the image": {
			hop: "workload", why: "something between changes it", fix: "look for spec.images and spec.patches of the Kustomization",
			spoil: all(publish("patched"), patches("{apiVersion: apps/v1, kind: Deployment, metadata: {name: backend, namespace: NS}, spec: {template: {spec: {containers: [{name: backend, image: 'IMAGE:patched'}]}}}}")),
			mend:  by(patches("")),
			after: func(w *World) { w.must(w.Registry.DeleteTag(backend, "patched")) },
		},
		"the API server refuses pods": {
			hop: "workload", why: "its pods are refused: pods ", fix: "what refuses them (a ResourceQuota, an admission policy, a webhook)",
			spoil: func(w *World) {
				w.must(w.Client.Create(w.t.Context(), quota(w)))
				editStatus(w, &corev1.ResourceQuota{}, w.Fleet.Namespace(prod), "none", func(q *corev1.ResourceQuota) {
					q.Status.Hard, q.Status.Used = q.Spec.Hard, q.Spec.Hard // as the quota controller, which does not run here
				})
				w.newer()
			},
			mend: by(func(w *World) { w.must(w.Client.Delete(w.t.Context(), quota(w))) }),
		},
		"the rollout is past its deadline": {
			hop: "workload", why: "have not got ready by the deadline of the rollout", fix: "kubectl -n NS describe deployment backend; or revert it: backstop revert deploy/backend -n NS --push",
			spoil: all(inFile("  replicas: 1\n", "  replicas: 1\n  progressDeadlineSeconds: 1\n"), lacking(func(w *World, layer string) {
				w.Registry.Fail("GET /v2/backend/blobs/"+layer, registrystub.Fault{Hang: true})
			})),
			mend: reverted,
			after: func(w *World) {
				w.Registry.Heal()
				unheld(w)
				inFile("  progressDeadlineSeconds: 1\n", "")(w)
			},
		},
		"a layer is missing": {
			hop: "pods", why: "waits with production-v1.", fix: "push IMAGE:production-v1.",
			spoil: lacking(func(w *World, layer string) { w.must(w.Registry.DeleteBlob(backend, layer)) }), mend: by(repaired),
		},
		"an image that cannot be pulled is reverted": {
			hop: "pods", why: "waits with production-v1.", fix: "revert it: backstop revert deploy/backend -n NS --push", spoil: bad, mend: reverted, after: unheld,
		},
		"a container crashes": {
			hop: "pods", why: "CrashLoopBackOff", fix: "-c backend --previous; or revert it: backstop revert deploy/backend -n NS --push",
			spoil: func(w *World) {
				_, err := w.Registry.PushImage(backend, w.nextTag(), "linux/arm64")
				w.must(err)
			}, mend: reverted, after: unheld,
		},
		"the pull policy is Never": {
			hop: "pods", why: "ErrImageNeverPull", fix: "see what the node says: kubectl -n NS describe pod",
			spoil: inFile("        - name: backend\n", "        - name: backend\n          imagePullPolicy: Never\n"),
			mend: func(w *World, fix string) {
				command, _, _ := strings.Cut(strings.TrimPrefix(fix, "see what the node says: "), ";")
				w.do(command)
				inFile("          imagePullPolicy: Never\n", "")(w)
			},
		},
		"no node takes a pod": {
			hop: "pods", why: "no node takes pod", fix: "kubectl -n NS describe pod",
			spoil: inFile("      containers:\n", "      schedulingGates: [{name: test.backstop.dev/wait}]\n      containers:\n"),
			mend: func(w *World, fix string) {
				w.do(fix)
				inFile("      schedulingGates: [{name: test.backstop.dev/wait}]\n", "")(w)
			},
		},
		"a container lacks its configuration": {
			hop: "pods", why: "CreateContainerConfigError", fix: "kubectl -n NS describe pod",
			keep: func(w *World) {
				var pods corev1.PodList
				w.must(w.Client.List(w.t.Context(), &pods, client.InNamespace(w.Fleet.Namespace(prod)), client.MatchingLabels{"app": backend}))
				for _, p := range pods.Items {
					editStatus(w, &corev1.Pod{}, p.Namespace, p.Name, func(p *corev1.Pod) {
						// As a kubelet writes it for a container that ran before; the stand-in leaves such a one alone.
						for i := range p.Status.ContainerStatuses {
							p.Status.ContainerStatuses[i].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
								Reason: "CreateContainerConfigError", Message: `configmap "settings" not found`}}
							p.Status.ContainerStatuses[i].LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
							p.Status.ContainerStatuses[i].Ready = false
						}
					})
				}
			},
			mend: func(w *World, fix string) {
				w.do(fix)
				w.kubectl(prod, "delete", "pod", "-l", "app=backend", "--wait=false")
			},
		},
	}
}
