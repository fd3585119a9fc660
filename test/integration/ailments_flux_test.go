package integration

import (
	"errors"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	shopFile  = "apps/production/shop.yaml"
	agentFile = "apps/production/agent.yaml"
)

const settings = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: NS}
data: {a: b}
`

const agentSet = `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: NS}
spec:
  updateStrategy: {type: RollingUpdate}
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
        - {name: agent, image: "IMAGE:agent"}
`

const orderedSet = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  serviceName: db
  podManagementPolicy: OrderedReady
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
        - {name: db, image: "IMAGE:agent"}
`

// infraSpec changes the Kustomization that production can depend on.
func infraSpec(change func(*kustomizev1.KustomizationSpec)) func(w *World) {
	return func(w *World) {
		edit(w, &kustomizev1.Kustomization{}, w.Fleet.FluxNamespace(), "infra", func(k *kustomizev1.Kustomization) { change(&k.Spec) })
	}
}

// dependsOn has production wait for other Kustomizations.
func dependsOn(names ...string) func(w *World) {
	return applySpec(func(s *kustomizev1.KustomizationSpec) {
		s.DependsOn = nil
		for _, n := range names {
			s.DependsOn = append(s.DependsOn, kustomizev1.DependencyReference{Name: n})
		}
	})
}

// ailmentsOfFlux are those of whether Flux would bring a revert to the cluster.
func ailmentsOfFlux() map[string]ailment {
	branch := func(name string) func(w *World) {
		return sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Branch = name })
	}
	path := func(p string) func(w *World) {
		return applySpec(func(s *kustomizev1.KustomizationSpec) { s.Path = p })
	}
	// then does what a fix ends with, once what it says first was done.
	then := func(first func(w *World)) func(w *World, fix string) {
		return func(w *World, fix string) {
			first(w)
			_, command, _ := strings.Cut(fix, "then: ")
			w.do(command)
		}
	}
	return map[string]ailment{
		"the source is suspended": {
			check: "apply", why: "suspended", fix: "flux -n NSF resume source git fleet", spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Suspend = true }),
		},
		"the Kustomization is suspended": {
			check: "apply", why: "suspended", fix: "flux -n NSF resume kustomization production", spoil: applySpec(func(s *kustomizev1.KustomizationSpec) { s.Suspend = true }),
		},
		"the HelmRelease is suspended": {
			check: "apply", why: "it is suspended, and upgrades nothing", fix: "flux -n NS resume helmrelease shop", spoil: releaseSpec(func(s *helmv2.HelmReleaseSpec) { s.Suspend = true }),
		},
		"the source cannot be fetched": {
			check: "apply", why: "cannot be fetched", fix: "flux -n NSF reconcile source git fleet", spoil: branch("mian"), mend: then(branch("main")),
		},
		"the Kustomization does not build": {
			check: "apply", why: "failed (BuildFailed)", fix: "flux -n NSF reconcile kustomization production", spoil: path("./apps/nowhere"), mend: then(path("./apps/production")),
		},
	}
}

// ailmentsThatDelay are those that make a revert wait.
func ailmentsThatDelay() map[string]ailment {
	wait := func(is bool) func(w *World) {
		return applySpec(func(s *kustomizev1.KustomizationSpec) { s.Wait = is })
	}
	within := func(d time.Duration) func(*kustomizev1.KustomizationSpec) {
		return func(s *kustomizev1.KustomizationSpec) { s.Timeout = &metav1.Duration{Duration: d} }
	}
	// spec.podManagementPolicy cannot be changed: the set is deleted until Flux makes it anew as Git says now.
	remade := func(w *World) {
		w.Until("StatefulSet db is made anew", func() error {
			var set appsv1.StatefulSet
			err := w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(prod), Name: "db"}, &set)
			if err != nil || set.Spec.PodManagementPolicy == appsv1.ParallelPodManagement {
				return err
			}
			w.kubectl(prod, "delete", "statefulset", "db", "--wait=true", "--ignore-not-found")
			return errors.New("it was deleted")
		})
	}
	// What comes next writes it anew, which Flux could not apply to what is there.
	pruned := func(w *World) {
		w.Until("Flux prunes StatefulSet db", func() error {
			err := w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(prod), Name: "db"}, &appsv1.StatefulSet{})
			if err == nil {
				return errors.New("it is still there")
			}
			return client.IgnoreNotFound(err)
		})
	}
	unstick := func(verbs ...string) func(w *World) {
		return func(w *World) {
			w.may("backstop-unstick", w.Fleet.Namespace(prod), rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: verbs})
		}
	}
	const cancels = "--feature-gates=CancelHealthCheckOnNewRevision=true"
	return map[string]ailment{
		"a health check makes a revert wait": {
			check: "health", why: "spec.wait makes a revert wait up to 1m30s", fix: cancels,
			spoil: wait(true), mend: by(args("kustomize-controller", cancels)),
			after: all(wait(false), args("kustomize-controller", "--watch-all-namespaces=true")),
		},
		"a health check lasts too long": {
			check: "health", why: "spec.wait makes a revert wait up to 1m30s", fix: "or set spec.timeout: 1m",
			spoil: wait(true), mend: by(applySpec(within(time.Minute))), after: all(wait(false), applySpec(within(90*time.Second))),
		},
		"an upgrade lasts too long": {
			check: "health", why: "an upgrade waits up to 20m before it gives up", fix: "set spec.timeout: 5m",
			spoil: inGit(shopFile, "timeout: 5m", "timeout: 20m"), mend: by(inGit(shopFile, "timeout: 20m", "timeout: 5m")),
		},
		"the Kustomization depends on what is not there": {
			check: "dependsOn", why: "the Kustomization waits for it, and it is not ready: it does not exist", fix: "flux -n NSF get kustomization nowhere",
			spoil: dependsOn("nowhere"),
			mend: func(w *World, fix string) {
				w.do(strings.TrimPrefix(fix, "mend it: "))
				dependsOn()(w)
			},
		},
		"the Kustomization depends on what is not ready": {
			check: "dependsOn", why: "it is not ready: kustomization path not found", fix: "flux -n NSF get kustomization infra",
			spoil: all(dependsOn("infra"), infraSpec(func(s *kustomizev1.KustomizationSpec) { s.Path = "./nowhere" })),
			mend:  by(infraSpec(func(s *kustomizev1.KustomizationSpec) { s.Path = "./infra" })), after: dependsOn(),
		},
		"the Kustomization depends on what is suspended": {
			check: "dependsOn", why: "the Kustomization waits for it, and it is suspended", fix: "flux -n NSF resume kustomization infra",
			spoil: all(dependsOn("infra"), infraSpec(func(s *kustomizev1.KustomizationSpec) { s.Suspend = true })), after: dependsOn(),
		},
		"the Kustomization depends on what is checked for long": {
			check: "dependsOn", why: "the Kustomization waits for it, and its health checks take up to 20m", fix: "or set spec.timeout: 1m",
			spoil: all(dependsOn("infra"), infraSpec(func(s *kustomizev1.KustomizationSpec) { s.Wait = true; within(20 * time.Minute)(s) })),
			mend:  by(infraSpec(within(time.Minute))),
			after: all(dependsOn(), infraSpec(func(s *kustomizev1.KustomizationSpec) { s.Wait = false })),
		},
		"the HelmRelease depends on what is not there": {
			check: "dependsOn", why: "the HelmRelease waits for it, and it is not ready: it does not exist", fix: "flux -n NS get helmrelease nowhere",
			spoil: releaseSpec(func(s *helmv2.HelmReleaseSpec) { s.DependsOn = []helmv2.DependencyReference{{Name: "nowhere"}} }),
			mend: func(w *World, fix string) {
				w.do(strings.TrimPrefix(fix, "mend it: "))
				releaseSpec(func(s *helmv2.HelmReleaseSpec) { s.DependsOn = nil })(w)
			},
		},
		"a StatefulSet keeps its stuck pods": {
			check: "ordered", why: "not replaced", fix: "spec.podManagementPolicy: Parallel",
			spoil: file("apps/production/db.yaml", orderedSet),
			mend:  by(file("apps/production/db.yaml", strings.ReplaceAll(orderedSet, "OrderedReady", "Parallel")), remade),
			after: all(file("apps/production/db.yaml", ""), pruned),
		},
		"a StatefulSet's stuck pods may be deleted": {
			check: "ordered", why: "not replaced", fix: "use deploy/kustomize/components/unstick (--unstick)",
			spoil: file("apps/production/db.yaml", orderedSet), mend: by(unstick("delete"), args("backstop", "--unstick")),
			after: all(file("apps/production/db.yaml", ""), pruned, unstick("get"), args("backstop")),
		},
		"an update strategy replaces nothing": {
			check: "ordered", why: "its update strategy OnDelete replaces no pod by itself", fix: "set spec.updateStrategy.type: RollingUpdate",
			spoil: inGit(agentFile, "RollingUpdate", "OnDelete"), mend: by(inGit(agentFile, "OnDelete", "RollingUpdate")),
		},
	}
}
