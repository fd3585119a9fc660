package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

const kinds = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
        - name: db
          image: IMAGE:TAG # {"$imagepolicy": "NS:backend"}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: NS}
spec:
  updateStrategy: {type: RollingUpdate}
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
        - name: agent
          image: IMAGE:TAG # {"$imagepolicy": "NS:backend"}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: NS}
spec:
  schedule: "0 3 1 1 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: report
              image: IMAGE:TAG # {"$imagepolicy": "NS:backend"}
`

// mishapsOfKinds are those of workloads that are no Deployment of a Kustomization.
func mishapsOfKinds() map[string]mishap {
	shop := v1alpha1.Workload{Kind: "Deployment", Name: "shop"}
	db := v1alpha1.Workload{Kind: "StatefulSet", Name: "db"}
	agent := v1alpha1.Workload{Kind: "DaemonSet", Name: "agent"}
	report := v1alpha1.Workload{Kind: "CronJob", Name: "report"}
	bad := func(w *World) { w.publishBad(backend, w.nextTag()) }
	// names waits until the template of a workload holds some words.
	names := func(w *World, of string, words ...string) {
		w.Until(of+" names "+strings.Join(words, ", "), func() error {
			out, err := w.Env.Kubectl(w.t.Context(), "-n", w.Fleet.Namespace(prod), "get", of, "-o", "yaml")
			for _, one := range words {
				if err == nil && !strings.Contains(out, one) {
					err = fmt.Errorf("not %s: %s", one, out)
				}
			}
			return err
		})
	}
	// brought has image automation bring an image in that cannot be pulled.
	brought := func(w *World, of string, more ...string) string {
		tag := w.nextTag()
		w.publishBad(backend, tag)
		names(w, of, append(more, tag)...)
		return tag
	}
	// badThenGood has it bring in a good one after that.
	badThenGood := func(of string, run ...string) func(w *World) {
		return func(w *World) {
			tag := brought(w, of)
			if len(run) > 0 {
				w.kubectl(prod, run...)
			}
			w.fails(prod, tag)
			w.newer()
		}
	}
	// fresh lets the StatefulSet go on, which keeps its pod from whatever bad image came last.
	fresh := func(w *World) {
		w.kubectl(prod, "delete", "pod", "db-0", "--ignore-not-found")
		w.podIs("db-0", corev1.PodRunning, "db running")
	}
	once := []string{"create", "job", "once", "--from=cronjob/report"}
	status := func(change func(*helmv2.HelmRelease)) func(w *World) {
		return func(w *World) { editStatus(w, &helmv2.HelmRelease{}, w.Fleet.Namespace(prod), "shop", change) }
	}
	jobGone := func(w *World) { w.kubectl(prod, "delete", "job", "once", "--ignore-not-found") }
	return map[string]mishap{
		"the HelmRelease is suspended": {
			of: shop, hop: "release", why: "it is suspended, and upgrades nothing", fix: "flux -n NS resume helmrelease shop",
			spoil: releaseSpec(func(s *helmv2.HelmReleaseSpec) { s.Suspend = true }),
		},
		"the HelmRelease fails": {
			of: shop, hop: "release", why: "it fails (UpgradeFailed)", fix: "correct the values or the chart and push", spoil: bad, mend: by(next),
		},
		"the HelmRelease fails, and its image is pushed again": {
			of: shop, hop: "release", why: "it fails (UpgradeFailed)", fix: "to try the same again: flux -n NS reconcile helmrelease shop --reset", spoil: bad,
			mend: func(w *World, fix string) {
				repaired(w)
				_, command, _ := strings.Cut(fix, "again: ")
				w.do(command)
			},
		},
		"the HelmRelease depends on what is not there": {
			of: shop, hop: "release", why: "it fails (DependencyNotReady)", fix: "make ready what it depends on: flux -n NS get helmrelease nowhere",
			spoil: releaseSpec(func(s *helmv2.HelmReleaseSpec) { s.DependsOn = []helmv2.DependencyReference{{Name: "nowhere"}} }),
			mend: func(w *World, fix string) {
				w.do(strings.TrimPrefix(fix, "make ready what it depends on: "))
				releaseSpec(func(s *helmv2.HelmReleaseSpec) { s.DependsOn = nil })(w)
			},
		},
		"the HelmRelease has no chart": {
			of: shop, hop: "release", why: "it fails (SourceNotReady)", fix: "then: flux -n NS reconcile helmrelease shop",
			// The stand-in's chart is always there: the words are helm-controller's.
			keep: status(func(r *helmv2.HelmRelease) {
				apimeta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse,
					Reason: "SourceNotReady", Message: "HelmChart 'apps/shop' is not ready: chart pull error"})
			}),
			mend: then(releaseSpec(func(s *helmv2.HelmReleaseSpec) { s.Timeout = &metav1.Duration{Duration: 3 * time.Second} })),
		},
		"somebody changed what a HelmRelease made": {
			of: shop, hop: "workload", why: "set by kubectl-set", fix: "restore what Git says: flux -n NS reconcile helmrelease shop --force",
			spoil: func(w *World) { w.Publish(backend, "by-hand") },
			// Set before each look: an upgrade of the commit before may undo it in between.
			keep: func(w *World) {
				w.kubectl(prod, "set", "image", "deploy/shop", "shop="+w.Fleet.Image(backend, "by-hand"))
			},
			mend:  func(w *World, fix string) { w.do(strings.TrimPrefix(fix, "restore what Git says: ")) },
			after: func(w *World) { w.must(w.Registry.DeleteTag(backend, "by-hand")) },
		},
		"a pod of a StatefulSet is stuck": {
			of: db, hop: "workload", why: "it does not replace a pod by itself that cannot start", fix: "kubectl -n NS delete pod db-0", spoil: all(fresh, badThenGood("sts/db")),
		},
		"a pod of a StatefulSet still has the older image": {
			of: db, hop: "pods", why: "pod db-0 still waits with ", fix: "kubectl -n NS delete pod db-0", spoil: all(fresh, badThenGood("sts/db")),
		},
		"a StatefulSet's image cannot be pulled": {
			of: db, hop: "pods", why: "pod db-0 waits with ", fix: "; or revert it: backstop revert sts/db -n NS --push",
			spoil: all(fresh, bad), mend: by(repaired),
		},
		"somebody changed a StatefulSet's image": {
			of: db, hop: "workload", why: "set by kubectl-set", fix: "restore what Git says: flux -n NSF reconcile kustomization production",
			spoil: func(w *World) {
				fresh(w)
				w.Publish(backend, "by-hand")
			},
			keep: func(w *World) {
				w.kubectl(prod, "set", "image", "sts/db", "db="+w.Fleet.Image(backend, "by-hand"))
			},
			mend:  func(w *World, fix string) { w.do(strings.TrimPrefix(fix, "restore what Git says: ")) },
			after: func(w *World) { w.must(w.Registry.DeleteTag(backend, "by-hand")) },
		},
		"a DaemonSet's image cannot be pulled": {
			of: agent, hop: "pods", why: "waits with production-v1.", fix: "; or revert it: backstop revert ds/agent -n NS --push", spoil: bad, mend: by(repaired),
		},
		"a pod of a DaemonSet that replaces none is stuck": {
			of: agent, hop: "workload", why: "it does not replace a pod by itself that cannot start", fix: "kubectl -n NS delete pod agent-",
			// A DaemonSet's pods are only made anew where somebody deletes them: so is the one with the bad image.
			spoil: func(w *World) {
				inGit(kindsFile, "RollingUpdate", "OnDelete")(w)
				tag := brought(w, "ds/agent", "type: OnDelete")
				w.kubectl(prod, "delete", "pod", "-l", "app=agent", "--wait=false")
				w.fails(prod, tag)
				w.newer()
			},
			after: inGit(kindsFile, "OnDelete", "RollingUpdate"),
		},
		"the CronJob is suspended": {
			of: report, hop: "workload", why: "it is suspended, and starts no Jobs", fix: "or: kubectl -n NS patch cronjob report -p '{\"spec\":{\"suspend\":false}}'",
			spoil: func(w *World) { w.kubectl(prod, "patch", "cronjob", "report", "-p", `{"spec":{"suspend":true}}`) },
			mend: func(w *World, fix string) {
				_, command, _ := strings.Cut(fix, "or: ")
				w.do(command)
			},
		},
		"a Job's image cannot be pulled": {
			of: report, hop: "pods", why: "waits with production-v1.", fix: "; or revert it: backstop revert cj/report -n NS --push",
			spoil: func(w *World) {
				brought(w, "cj/report")
				w.kubectl(prod, once...)
			},
			mend: by(repaired), after: jobGone,
		},
		"a Job's program cannot run": {
			of: report, hop: "pods", why: "has failed (StartError, exit code 128)", fix: "-c report; or revert it: backstop revert cj/report -n NS --push",
			spoil: func(w *World) {
				tag := w.nextTag()
				_, err := w.Registry.PushImage(backend, tag, "linux/arm64")
				w.must(err)
				names(w, "cj/report", tag)
				w.kubectl(prod, once...)
			},
			mend: by(next), after: jobGone,
		},
		"a Job keeps an image that cannot be pulled": {
			of: report, hop: "pods", why: "and nobody replaces it", fix: "kubectl -n NS delete job once", spoil: badThenGood("cj/report", once...),
		},
	}
}

const kindsFile = "apps/production/kinds.yaml"

func TestTraceNamesTheMishapsOfEveryKindOfWorkload(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend), func(s *setup) {
		s.Vary = func(w *World) {
			w.Fleet.Files[kindsFile] = w.words(kinds)
			w.releases(release, "TIMEOUT", "15s")
		}
	})
	w.Settle()
	g := w.tracer()
	for _, name := range []string{"Deployment/shop", "StatefulSet/db", "DaemonSet/agent", "CronJob/report"} {
		kind, name, _ := strings.Cut(name, "/")
		w.Until(name+" is where it should be", w.arrived(g, v1alpha1.Workload{Kind: kind, Name: name}))
	}
	for _, args := range [][]string{{"deploy/shop"}, {"sts/db"}, {"ds/agent"}, {"cronjob/report"}, {w.Fleet.Image(backend, fleet.Tag(prod, 0))}} {
		if out, code := w.runBackstop(w.Env.Kubeconfig, "trace", args[0], "-n", w.Fleet.Namespace(prod)); code != 0 {
			t.Errorf("%s: code %d\n%s", args[0], code, out)
		}
	}
	w.suffer(g, mishapsOfKinds())
}
