package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/testenv"
)

// How a revert is seen to have arrived: by what the workload holds and runs, whatever stands beside it.

// checked has the Kustomization wait for the health of all that it applies, for so long.
func checked(timeout time.Duration) func(*setup) {
	return func(s *setup) { s.Fleet.Wait, s.Fleet.HealthTimeout = true, timeout }
}

func (w *World) kustomization() *kustomizev1.Kustomization {
	w.t.Helper()
	return Object(w, fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod))
}

// neighbour is a Deployment whose pods are never made, for want of a ServiceAccount, and a Service.
const neighbour = `apiVersion: apps/v1
kind: Deployment
metadata: {name: neighbour, namespace: NS}
spec:
  selector: {matchLabels: {app: neighbour}}
  template:
    metadata: {labels: {app: neighbour}}
    spec: {serviceAccountName: nobody, containers: [{name: a, image: IMAGE}]}
---
apiVersion: v1
kind: Service
metadata: {name: neighbour, namespace: NS}
spec: {selector: {app: neighbour}, ports: [{port: 80}]}
`

func TestBrokenNeighbourInTheSameKustomization(t *testing.T) {
	t.Parallel()
	const file = "apps/production/neighbour.yaml"
	w := world(t, quick, checked(2*time.Second), vary(func(w *World) {
		w.Fleet.Files[file] = strings.NewReplacer("NS", w.Fleet.Namespace(prod), "IMAGE", w.Fleet.Image("frontend", fleet.Tag(prod, 0))).Replace(neighbour)
	}))
	startSidecar(t, w)
	policy := w.auto(prod)
	w.Settle()

	// One that never gets healthy: the Kustomization is never ready, and the revert is verified all the same.
	good, bad := w.Fleet.Image("backend", fleet.Tag(prod, 0)), w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultVerified, "Deployment/backend runs "+good+" again")
	w.undone(r, map[string]string{w.Fleet.File(prod, "backend"): w.blob(suspect+"^", w.Fleet.File(prod, "backend"))})
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	k := w.kustomization()
	if apimeta.IsStatusConditionTrue(k.Status.Conditions, "Ready") || k.Status.LastAppliedRevision != "" {
		t.Errorf("the neighbour is broken, and still the Kustomization says %+v", k.Status)
	}

	// One that the API server refuses: nothing is applied, and the sentence says because of which object.
	w.changeMode(policy, v1alpha1.ModeApprove)
	bad = w.publishBad("frontend", fleet.Tag(prod, 1))
	w.waits(prod, bad, "the policy asks for an approval")
	worse, err := w.Alice.Change(t.Context(), file, "Another port", func(text string) string { return strings.Replace(text, "port: 80", "port: 800000", 1) })
	w.must(err)
	w.Until("the Kustomization fails", func() error {
		if k := w.kustomization(); k.Status.LastAttemptedRevision != "main@sha1:"+worse || !apimeta.IsStatusConditionFalse(k.Status.Conditions, "Ready") {
			return fmt.Errorf("it says %+v", k.Status)
		}
		return nil
	})
	w.changeMode(policy, v1alpha1.ModeAuto)
	says := "Kustomization/" + w.Fleet.FluxNamespace() + "/" + prod + " failed (ReconciliationFailed): Service/" + w.Fleet.Namespace(prod) + "/neighbour dry-run failed"
	r = w.waits(prod, bad, "Deployment/frontend still names "+bad+" for container frontend: "+says, "spec.ports[0].port")
	if r.Status.Change == nil || r.Status.Outcome != nil || w.LiveImage(prod, "frontend") != bad {
		t.Errorf("status %+v, live %s", r.Status, w.LiveImage(prod, "frontend"))
	}
	_, err = w.Alice.Change(t.Context(), file, "Mend it", func(text string) string { return strings.Replace(text, "port: 800000", "port: 80", 1) })
	w.must(err)
	w.ends(prod, bad, v1alpha1.ResultVerified, "Deployment/frontend runs "+w.Fleet.Image("frontend", fleet.Tag(prod, 0))+" again")
	w.runs(prod, "frontend", fleet.Tag(prod, 0))
}

var untilClock = regexp.MustCompile(`starts nothing else before that ends, at (\d\d:\d\d:\d\d UTC) at the latest`)

func TestRunningHealthCheck(t *testing.T) {
	t.Parallel()
	// As long as a slow machine takes to push, and not longer than anybody waits.
	const timeout, verify = 45 * time.Second, 10 * time.Second
	w := world(t, quick, checked(timeout))
	startSidecar(t, w)
	w.auto(prod, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Triggers[0].GracePeriod = &metav1.Duration{}
		p.Spec.VerifyTimeout.Duration = verify
	})
	w.Settle()
	good, bad := w.Fleet.Image("backend", fleet.Tag(prod, 0)), w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.waits(prod, bad, "Kustomization/"+w.Fleet.FluxNamespace()+"/"+prod+" is busy (running health checks of main@sha1:"+suspect+")")
	said := untilClock.FindStringSubmatch(r.Status.Waiting.Why)
	begun := apimeta.FindStatusCondition(w.kustomization().Status.Conditions, "Reconciling").LastTransitionTime
	ends := begun.Add(timeout)
	if said == nil || said[1] != ends.UTC().Format("15:04:05 MST") {
		t.Errorf("the check ends at %s, and it says %q", ends, r.Status.Waiting.Why)
	}
	// It does not give up before Flux had as long as the policy says, counted from the end of the check.
	if until := r.Status.Waiting.Until; until == nil || !until.Time.Equal(ends.Add(verify)) {
		t.Errorf("it gives up at %v, want %s", until, ends.Add(verify))
	}
	if w.LiveImage(prod, "backend") != bad || r.Status.Change == nil {
		t.Errorf("while the check runs, live is %s and the change %+v", w.LiveImage(prod, "backend"), r.Status.Change)
	}
	r = w.ends(prod, bad, v1alpha1.ResultVerified, "Deployment/backend runs "+good+" again")
	if at := r.Status.Outcome.At; at.Time.Before(ends) {
		t.Errorf("verified at %s, while the check ran until %s", at, ends)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
}

// ordered is a StatefulSet whose pods are made one after another, with a marker.
const ordered = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
        - name: a
          image: IMAGE
`

// withManifest adds an app beside the backend whose manifest is of another kind.
func withManifest(app, text string) func(*setup) {
	return func(s *setup) {
		apps("backend", app)(s)
		s.Vary = func(w *World) {
			w.Publish(app, fleet.Tag(prod, 0))
			w.Fleet.Files[w.Fleet.File(prod, app)] = strings.NewReplacer("NS", w.Fleet.Namespace(prod),
				"IMAGE", w.Fleet.Image(app, fleet.Tag(prod, 0))+" "+w.Fleet.Marker(prod, app, "")).Replace(text)
			w.Fleet.Apps = []string{"backend"}
		}
	}
}

// grantUnstick gives Backstop in an environment what the component unstick adds to its ClusterRole.
func (w *World) grantUnstick(env string) {
	w.t.Helper()
	var role rbacv1.ClusterRole
	folder := w.t.TempDir()
	rel, err := filepath.Rel(folder, filepath.Join(w.Env.Root, "deploy", "kustomize"))
	w.must(err)
	w.must(os.WriteFile(filepath.Join(folder, "kustomization.yaml"),
		[]byte("resources: ["+rel+"/default]\ncomponents: ["+rel+"/components/unstick]\n"), 0o644))
	text, err := w.Env.Kubectl(w.t.Context(), "kustomize", folder)
	w.must(err)
	for document := range strings.SplitSeq(text, "\n---\n") {
		if strings.Contains(document, "kind: ClusterRole\n") && strings.Contains(document, "\n  name: backstop\n") {
			w.must(yaml.Unmarshal([]byte(document), &role))
		}
	}
	meta := metav1.ObjectMeta{Namespace: w.Fleet.Namespace(env), Name: "backstop-with-unstick"}
	w.must(w.Client.Create(w.t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: role.Rules}))
	w.must(w.Client.Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: testenv.Namespace, Name: testenv.ServiceAccount}},
	}))
}

// podsDeleted are the pods of an environment that Backstop asked to delete.
func (w *World) podsDeleted(env string) []string {
	w.t.Helper()
	uses, err := w.Env.Audit()
	w.must(err)
	var out []string
	for _, u := range uses {
		if u.User == "system:serviceaccount:"+testenv.Namespace+":"+testenv.ServiceAccount && u.Verb == "delete" &&
			u.Resource == "pods" && u.Namespace == w.Fleet.Namespace(env) {
			out = append(out, fmt.Sprint(u.Code))
		}
	}
	return out
}

// set reads the StatefulSet.
func (w *World) set() *appsv1.StatefulSet {
	w.t.Helper()
	s := &appsv1.StatefulSet{}
	w.must(w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(prod), Name: "db"}, s))
	return s
}

func TestStatefulSetWithAStuckPodWithAndWithoutTheComponent(t *testing.T) {
	t.Parallel()
	// stuckSet is a world whose StatefulSet gets an image that cannot run.
	stuckSet := func(t *testing.T, flags ...string) (w *World, bad, good string) {
		w = world(t, quick, withManifest("db", ordered))
		w.auto(prod)
		if len(flags) > 0 {
			w.grantUnstick(prod)
		}
		startSidecar(t, w, flags...)
		w.Until("both pods run", func() error {
			if p := w.pod("db-1"); p == nil || p.Status.Phase != "Running" {
				return fmt.Errorf("db-1 is %+v", p)
			}
			return nil
		})
		return w, w.publishBad("db", fleet.Tag(prod, 1)), w.Fleet.Image("db", fleet.Tag(prod, 0))
	}
	// whole checks that it runs as before, and that the pod which was fine was let be.
	whole := func(t *testing.T, w *World, kept *metav1.ObjectMeta, good string) {
		t.Helper()
		s := w.set()
		if s.Status.ReadyReplicas != 2 || s.Spec.Template.Spec.Containers[0].Image != good {
			t.Errorf("the set is not whole: %+v", s.Status)
		}
		if now := w.pod("db-0"); now.UID != kept.UID {
			t.Error("db-0, which ran all the time, was replaced")
		}
	}
	t.Run("without it a person is told the command", func(t *testing.T) {
		t.Parallel()
		w, bad, good := stuckSet(t)
		kept := w.pod("db-0").ObjectMeta
		ns := w.Fleet.Namespace(prod)
		command := "kubectl -n " + ns + " delete pod db-1"
		r := w.waits(prod, bad, "StatefulSet/"+ns+"/db is good again but does not replace a pod by itself that cannot start: "+command)
		stuck := w.pod("db-1").UID
		if got := w.set().Spec.Template.Spec.Containers[0].Image; got != good || !r.Status.Landed.At.Before(&r.Status.Waiting.Since) {
			t.Errorf("the template holds %s", got)
		}
		w.automationRan(prod, 3)
		if now := w.pod("db-1"); now.UID != stuck || len(w.podsDeleted(prod)) > 0 {
			t.Errorf("the pod was replaced: %+v, by %q", now.ObjectMeta, w.podsDeleted(prod))
		}
		_, said, _ := strings.Cut(w.record(prod, bad).Status.Waiting.Why, ": kubectl ")
		_, err := w.Env.Kubectl(t.Context(), strings.Fields(said)...)
		w.must(err)
		w.ends(prod, bad, v1alpha1.ResultVerified, "StatefulSet/db runs "+good+" again")
		whole(t, w, &kept, good)
	})
	t.Run("with it Backstop deletes the pod", func(t *testing.T) {
		t.Parallel()
		w, bad, good := stuckSet(t, "--unstick")
		kept := w.pod("db-0").ObjectMeta
		w.ends(prod, bad, v1alpha1.ResultVerified, "StatefulSet/db runs "+good+" again")
		whole(t, w, &kept, good)
		if got := w.podsDeleted(prod); len(got) != 1 || got[0] != "200" {
			t.Errorf("pods were deleted with these answers: %q, want one", got)
		}
	})
}

// often is a CronJob with a marker whose Jobs are gone when they succeed.
const often = `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: NS}
spec:
  schedule: "@every 2s"
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 0
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: a
              image: IMAGE
`

func TestCronJob(t *testing.T) {
	t.Parallel()
	w := world(t, quick, withManifest("nightly", often))
	startSidecar(t, w)
	w.auto(prod)
	ns := w.Fleet.Namespace(prod)
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "nightly"}}
	succeeds := func(after time.Time) {
		t.Helper()
		w.Until("a Job succeeds", func() error {
			err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(cron), cron)
			if last := cron.Status.LastSuccessfulTime; err == nil && (last == nil || !last.After(after)) {
				err = fmt.Errorf("status %+v", cron.Status)
			}
			return err
		})
	}
	succeeds(time.Time{})
	good, bad := w.Fleet.Image("nightly", fleet.Tag(prod, 0)), w.publishBad("nightly", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "nightly", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultVerified, "CronJob/nightly runs "+good+" again; CronJob/"+ns+"/nightly still runs with the image that cannot be pulled: kubectl -n "+ns+" delete job nightly-")
	w.undone(r, map[string]string{w.Fleet.File(prod, "nightly"): w.blob(suspect+"^", w.Fleet.File(prod, "nightly"))})
	if f := r.Status.Failures; f[0].Workload.Kind != "CronJob" || f[0].Workload.Name != "nightly" {
		t.Errorf("failures %+v", f)
	}
	// The Job that runs keeps its image and fails on; that is the same failure, which the record knows.
	w.automationRan(prod, 3)
	if Object(w, cron); len(cron.Status.Active) != 1 || w.record(prod, bad).Name != r.Name {
		t.Errorf("active %+v, and the record is %s", cron.Status.Active, w.record(prod, bad).Name)
	}
	_, said, _ := strings.Cut(r.Status.Outcome.Message, ": kubectl ")
	_, err := w.Env.Kubectl(t.Context(), strings.Fields(said)...)
	w.must(err)
	succeeds(r.Status.Outcome.At.Time)
	if got := Object(w, cron).Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image; got != good {
		t.Errorf("the CronJob has %s", got)
	}
}
