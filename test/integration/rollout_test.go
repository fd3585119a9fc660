package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/node"
)

// New revisions that have their image and do not become ready, on real ReplicaSets. Each scenario has an environment of
// one world, since what fails beside a workload in its namespace counts too.

// rolloutEnvs are the environments, by what happens in them.
var rolloutEnvs = []string{
	"crash", "slow", "start", "never", "oom", "init", "config", "missing", "recovers", "hint", "annotated", "canary",
	"killed", "arch", "cgroup", "lost", "root", "configmap",
}

// publishThat pushes an image whose containers behave.
func (w *World) publishThat(app, tag string, b node.Behaviour) string {
	w.t.Helper()
	said, err := json.Marshal(b)
	w.must(err)
	_, err = w.Registry.PushLabelled(app, tag, map[string]string{node.BehaviourLabel: string(said)})
	w.must(err)
	return w.Fleet.Image(app, tag)
}

// onRollouts is a policy for new revisions that fail.
func (w *World) onRollouts(env string, m v1alpha1.Mode, changes ...func(*v1alpha1.RollbackPolicy)) {
	w.t.Helper()
	change := func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Triggers = []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerRollout, Mode: m,
			GracePeriod: &metav1.Duration{Duration: time.Second}}}
	}
	w.auto(env, append([]func(*v1alpha1.RollbackPolicy){change}, changes...)...)
}

// crashed waits until a person is asked about a new revision, and gives the record and the failure.
func (w *World) crashed(env, image string) (*v1alpha1.Rollback, v1alpha1.Failure) {
	w.t.Helper()
	r := w.until(env, image, "asks about a rollout", func(s *v1alpha1.RollbackStatus) bool {
		return s.Question != nil && s.SeenBy(v1alpha1.TriggerRollout)
	})
	i := slices.IndexFunc(r.Status.Failures, func(f v1alpha1.Failure) bool { return f.Rollout != nil })
	return r, r.Status.Failures[i]
}

func doubtTypes(r *v1alpha1.Rollback) []v1alpha1.DoubtType {
	var out []v1alpha1.DoubtType
	for _, d := range r.Status.Question.Doubts {
		out = append(out, d.Type)
	}
	return out
}

// podsOf lists an app's pods of an environment.
func (w *World) podsOf(env, app string) []corev1.Pod {
	w.t.Helper()
	var list corev1.PodList
	w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.Namespace(env)), client.MatchingLabels{"app": app}))
	return list.Items
}

// editManifest changes an app's manifest before the world begins.
func editManifest(w *World, env, app, old, now string) {
	file := w.Fleet.File(env, app)
	w.Fleet.Files[file] = strings.Replace(w.Fleet.Files[file], old, now, 1)
}

func TestRollouts(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Fleet.Environments, s.Fleet.Apps, s.Fleet.Replicas = rolloutEnvs, []string{"backend"}, 2
		// So many automations that run twice a second leave no time for anything else.
		s.Fleet.Interval = 5 * time.Second
		s.Node.Nodes = []node.Node{{Name: "node-1", OS: "linux", Arch: "amd64"}, {Name: "node-2", OS: "linux", Arch: "amd64"}}
		s.Vary = varyRollouts
	})
	w.judges()
	// Five of the scenarios revert on one branch, which is more than the budget allows.
	startSidecar(t, w, "--budget=10/1h")
	w.auto("canary", onCanaries)
	for _, env := range rolloutEnvs {
		if env != "start" && env != "canary" && env != "config" && env != "configmap" {
			w.onRollouts(env, "")
		}
	}
	for _, env := range []string{"config", "configmap"} {
		// What a person's commit changed goes back only when a person says so, whatever the mode is.
		w.onRollouts(env, v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) { p.Spec.Triggers[0].Authors = v1alpha1.AuthorsAnyone })
	}
	w.onRollouts("start", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) { p.Spec.SoleCluster = true })
	w.Settle()
	for name, scenario := range map[string]func(*testing.T, *World){
		"crash at once without a readiness probe":                           crashAtOnce,
		"crash after 20 s":                                                  crashAfter20s,
		"a start that fails is reverted by itself where the policy says so": startFails,
		"readiness never":                                                   readinessNever,
		"OOMKilled with unchanged limits":                                   outOfMemory,
		"init container crashes":                                            initCrashes,
		"a probe kills it":                                                  killed,
		"another architecture":                                              otherArchitecture,
		"the node cannot run it":                                            nodeCannotRun,
		"the node is lost":                                                  nodeLost,
		"image and ConfigMap in one commit":                                 configToo,
		"ConfigMap alone":                                                   configAlone,
		"missing Secret key":                                                secretMissing,
		"recovers in the grace period":                                      recovers,
		"migration hint":                                                    migrationHint,
		"migration annotation":                                              annotatedNever,
		"runAsNonRoot with a root image":                                    rootImage,
		"a canary refuses an update":                                        canaryRefuses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of := *w
			of.t = t
			var err error
			of.Alice, err = fleet.NewPerson(t.Context(), "Alice", w.Repo, t.TempDir())
			of.must(err)
			scenario(t, &of)
		})
	}
}

// varyRollouts gives environments what their scenario needs.
func varyRollouts(w *World) {
	editManifest(w, "start", "backend", "spec:\n", "spec:\n  strategy: {rollingUpdate: {maxSurge: 2, maxUnavailable: 0}}\n")
	editManifest(w, "crash", "backend", "spec:\n", "spec:\n  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}\n")
	for _, env := range []string{"init", "hint"} {
		name := map[string]string{"init": "setup", "hint": "db-migrate"}[env]
		editManifest(w, env, "backend", "      containers:\n", fmt.Sprintf(
			"      initContainers:\n      - {name: %s, image: %s}\n      containers:\n", name,
			w.Fleet.Image("backend", fleet.Tag(env, 0))))
	}
	for _, env := range []string{"config", "configmap"} {
		w.Fleet.Files["apps/"+env+"/settings.env"] = "mode=fast\n"
		w.Fleet.Files["apps/"+env+"/kustomization.yaml"] = "namespace: " + w.Fleet.Namespace(env) +
			"\nresources: [backend.yaml]\nconfigMapGenerator: [{name: settings, envs: [settings.env]}]\n"
		editManifest(w, env, "backend", "        - name: backend\n",
			"        - name: backend\n          env: [{name: MODE, valueFrom: {configMapKeyRef: {name: settings, key: mode}}}]\n")
	}
	// Another workload reads the same settings.
	second := strings.NewReplacer(" name: backend\n", " name: worker\n", " app: backend\n", " app: worker\n")
	w.Fleet.Files["apps/configmap/worker.yaml"] = second.Replace(w.Fleet.Files[w.Fleet.File("configmap", "backend")])
	w.Fleet.Files["apps/configmap/kustomization.yaml"] = strings.Replace(w.Fleet.Files["apps/configmap/kustomization.yaml"],
		"[backend.yaml]", "[backend.yaml, worker.yaml]", 1)
	for _, env := range []string{"config", "configmap", "missing"} {
		// A person's commit brings the image there.
		fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(env), env).Spec.Suspend = true
	}
	editManifest(w, "root", "backend", "      containers:\n", "      securityContext: {runAsNonRoot: true}\n      containers:\n")
	editManifest(w, "annotated", "backend", "  labels:\n", "  annotations: {backstop.dev/rollback: never}\n  labels:\n")
}

// A pod without a readiness probe is available for a moment, so that the rollout takes the old pods away.
func crashAtOnce(t *testing.T, w *World) {
	const env = "crash"
	good := w.Fleet.Image("backend", fleet.Tag(env, 0))
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 1, Message: "panic: no config"})
	suspect := w.wroteBack(env, "backend", fleet.Tag(env, 1))
	r, f := w.crashed(env, bad)
	if r.Spec.OpenedFor != v1alpha1.TriggerRollout || f.Cause != v1alpha1.CauseCrashed || *f.Rollout.ExitCode != 1 ||
		f.Rollout.FormerImage != good || f.Rollout.Restarts < 2 || f.Message != "panic: no config" {
		t.Errorf("opened for %s: %+v %+v", r.Spec.OpenedFor, f, f.Rollout)
	}
	w.Until("the old pods are gone", func() error {
		for _, p := range w.podsOf(env, "backend") {
			if p.Spec.Containers[0].Image == good {
				return fmt.Errorf("%s is there still", p.Name)
			}
		}
		return nil
	})
	if types := doubtTypes(r); !slices.Contains(types, v1alpha1.DoubtPolicyAsks) || !slices.Contains(types, v1alpha1.DoubtOtherClusters) {
		t.Errorf("asked because of %v", types)
	}
	w.answers(env, bad, v1alpha1.Approve)
	r = w.ends(env, bad, v1alpha1.ResultVerified, "runs "+good)
	if r.Status.Suspect.Commit != suspect || r.Status.Change.Lift != v1alpha1.LiftManual {
		t.Errorf("blamed %s, the hold is lifted by %s", r.Status.Suspect.Commit, r.Status.Change.Lift)
	}
	w.runs(env, "backend", fleet.Tag(env, 0))
	// A newer image does not lift the hold: a person does.
	w.Publish("backend", fleet.Tag(env, 2))
	time.Sleep(2 * time.Second)
	if r = w.record(env, bad); r.Status.Lifted != nil {
		t.Errorf("the hold was lifted by %+v", r.Status.Lifted)
	}
}

func crashAfter20s(t *testing.T, w *World) {
	const env = "slow"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 3, RunsFor: 20 * time.Second})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	if _, f := w.crashed(env, bad); f.Rollout.LastRun == nil || f.Rollout.LastRun.Duration < 19*time.Second {
		t.Errorf("%+v", f.Rollout)
	}
}

func startFails(t *testing.T, w *World) {
	const env = "start"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 128, Reason: "StartError", Message: "failed to create " +
		`containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container ` +
		`process: exec: "serve": executable file not found in $PATH`})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	r := w.ends(env, bad, v1alpha1.ResultVerified, "runs "+w.Fleet.Image("backend", fleet.Tag(env, 0)))
	// Whether the target was chosen before the second pod had failed, on its own node, is a matter of the machine.
	if r.Status.Verdict.Source != v1alpha1.VerdictByPolicy || len(r.Status.Failures[0].Rollout.Nodes) != 2 {
		t.Errorf("%+v, the target is %+v, and the rollout %+v", r.Status.Verdict, r.Status.Target, r.Status.Failures[0].Rollout)
	}
}

func readinessNever(t *testing.T, w *World) {
	const env = "never"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{NeverReady: true})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	// The workload's own deadline, which the controller would write ten minutes later.
	w.Until("the deadline passes", func() error {
		d := w.deployment(env, "backend")
		if d.Status.UpdatedReplicas == 0 {
			return fmt.Errorf("%+v", d.Status)
		}
		seconds := int32(1)
		d.Spec.ProgressDeadlineSeconds = &seconds
		return w.Client.Update(t.Context(), d)
	})
	r, f := w.crashed(env, bad)
	if f.Cause != v1alpha1.CauseNotReady || !slices.Contains(doubtTypes(r), v1alpha1.DoubtProbe) || f.Rollout.Pods.FormerReady == 0 {
		t.Errorf("%s %v %+v", f.Cause, doubtTypes(r), f.Rollout)
	}
}

func outOfMemory(t *testing.T, w *World) {
	const env = "oom"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 137, Reason: "OOMKilled"})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	if r, f := w.crashed(env, bad); f.Cause != v1alpha1.CauseOutOfMemory || !slices.Contains(doubtTypes(r), v1alpha1.DoubtMemory) {
		t.Errorf("%s %v", f.Cause, doubtTypes(r))
	}
}

func killed(t *testing.T, w *World) {
	const env = "killed"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 137, RunsFor: 30 * time.Second})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	if r, f := w.crashed(env, bad); f.Cause != v1alpha1.CauseKilled || !slices.Contains(doubtTypes(r), v1alpha1.DoubtProbe) {
		t.Errorf("%s %v", f.Cause, doubtTypes(r))
	}
}

func otherArchitecture(t *testing.T, w *World) {
	const env = "arch"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 255, Message: "exec /app/run: exec format error"})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	if _, f := w.crashed(env, bad); f.Cause != v1alpha1.CauseWrongArchitecture || f.Rollout.Platform != "linux/amd64" {
		t.Errorf("%s %+v", f.Cause, f.Rollout)
	}
}

// The image says no user, and the template forbids root: the kubelet makes no container.
func rootImage(t *testing.T, w *World) {
	const env = "root"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{AsRoot: true})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	if r, f := w.crashed(env, bad); f.Cause != v1alpha1.CauseRunsAsRoot || f.Rollout.ExitCode != nil || f.Rollout.Pods.FormerReady == 0 {
		t.Errorf("%s %v %+v", f.Cause, doubtTypes(r), f.Rollout)
	}
}

// What the node cannot do is told, and never asked about.
func nodeCannotRun(_ *testing.T, w *World) {
	const env = "cgroup"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 128, Reason: "StartError",
		Message: "failed to create containerd task: unable to apply cgroup configuration: no space left on device"})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	w.toldOnly(env, bad, "the node cannot run it")
}

func nodeLost(_ *testing.T, w *World) {
	const env = "lost"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 137, Reason: "ContainerStatusUnknown"})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	w.toldOnly(env, bad, "the node was lost")
}

// toldOnly waits until an Event says why nothing is reverted, and sees that no Rollback was opened.
func (w *World) toldOnly(env, image, why string) {
	w.t.Helper()
	w.notReverted(env, "Deployment", why)
	if r := w.record(env, image); r != nil {
		w.t.Errorf("a Rollback was opened: %+v", r.Status.Failures)
	}
}

// An init container that ends badly keeps the pod Pending, without waiting for an image.
func initCrashes(t *testing.T, w *World) {
	const env = "init"
	bad := w.publishThat("backend", "setup-2", node.Behaviour{Exit: 1})
	_, err := w.Alice.Change(t.Context(), w.Fleet.File(env, "backend"), "A new setup", func(s string) string {
		return strings.Replace(s, "name: setup, image: "+w.Fleet.Image("backend", fleet.Tag(env, 0)), "name: setup, image: "+bad, 1)
	})
	w.must(err)
	w.Until("the record is told about or asks", func() error {
		r := w.record(env, bad)
		if r == nil || len(r.Status.Failures) == 0 || r.Status.Failures[0].Rollout == nil {
			return fmt.Errorf("there is none")
		}
		if f := r.Status.Failures[0]; f.Container != "setup" {
			t.Errorf("%+v", f)
		}
		return nil
	})
}

// notReverted waits for an Event on an object of the backend that explains why nothing is reverted.
func (w *World) notReverted(env, kind, why string) {
	w.t.Helper()
	w.Until("an Event on the "+kind+" says why nothing is reverted", func() error {
		var list corev1.EventList
		w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.Namespace(env))))
		for _, e := range list.Items {
			of := e.InvolvedObject
			if e.Reason == "RolloutFails" && of.Kind == kind && of.Name == "backend" && strings.Contains(e.Message, why) {
				return nil
			}
		}
		return fmt.Errorf("%d Events do not", len(list.Items))
	})
}

func secretMissing(t *testing.T, w *World) {
	const env = "missing"
	image := w.Publish("backend", "secret-2")
	bad := w.Fleet.Image("backend", "secret-2")
	_, err := w.Alice.Change(t.Context(), w.Fleet.File(env, "backend"), "Read a Secret", func(s string) string {
		s = strings.Replace(s, w.Fleet.Image("backend", fleet.Tag(env, 0)), bad, 1)
		return strings.Replace(s, "          image: "+bad,
			"          env: [{name: DB, valueFrom: {secretKeyRef: {name: db, key: url}}}]\n          image: "+bad, 1)
	})
	w.must(err)
	w.Until("a container lacks its Secret", func() error {
		for _, p := range w.podsOf(env, "backend") {
			for _, c := range p.Status.ContainerStatuses {
				if c.State.Waiting != nil && c.State.Waiting.Reason == "CreateContainerConfigError" {
					return nil
				}
			}
		}
		return fmt.Errorf("none does, of %s", image)
	})
	time.Sleep(2 * time.Second)
	if r := w.record(env, bad); r != nil {
		t.Errorf("a Rollback was opened: %+v", r.Status.Failures)
	}
}

// A pod that crashed twice and then runs is over, whoever was asked before.
func recovers(t *testing.T, w *World) {
	const env = "recovers"
	bad := w.publishThat("backend", fleet.Tag(env, 1), node.Behaviour{Exit: 1, Times: 4})
	w.wroteBack(env, "backend", fleet.Tag(env, 1))
	w.ends(env, bad, v1alpha1.ResultRecovered, "runs well after all")
}
