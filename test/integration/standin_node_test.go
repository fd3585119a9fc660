package integration

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/node"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// pod reads a pod of production again; nil if absent.
func (w *World) pod(name string) *corev1.Pod {
	w.t.Helper()
	p := &corev1.Pod{}
	err := w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(prod), Name: name}, p)
	if apierrors.IsNotFound(err) {
		return nil
	}
	w.must(err)
	return p
}

// podIs waits until a pod has a phase, and its containers these states: running, ended, or a reason to wait.
func (w *World) podIs(name string, phase corev1.PodPhase, states ...string) {
	w.t.Helper()
	w.Until(fmt.Sprintf("%s is %s %v", name, phase, states), func() error {
		p := w.pod(name)
		if p == nil {
			return fmt.Errorf("no pod %s", name)
		}
		var got []string
		for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			switch {
			case c.State.Running != nil:
				got = append(got, c.Name+" running")
			case c.State.Terminated != nil:
				got = append(got, c.Name+" ended")
			case c.State.Waiting != nil:
				got = append(got, c.Name+" "+c.State.Waiting.Reason)
			}
		}
		if p.Status.Phase != phase || strings.Join(got, ", ") != strings.Join(states, ", ") {
			return fmt.Errorf("%s %q", p.Status.Phase, got)
		}
		return nil
	})
}

// runPod creates a bare pod of containers, given as name=image; those before a "then" are init containers.
func (w *World) runPod(name string, restart corev1.RestartPolicy, containers ...string) {
	w.t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: name}, Spec: corev1.PodSpec{RestartPolicy: restart}}
	for _, c := range containers {
		if c == "then" {
			p.Spec.InitContainers, p.Spec.Containers = p.Spec.Containers, nil
			continue
		}
		called, image, _ := strings.Cut(c, "=")
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: called, Image: image})
	}
	w.Until("pod "+name+" is created", func() error { // its namespace needs a ServiceAccount first
		return w.Client.Create(w.t.Context(), p)
	})
}

func TestStandInNodeRunsPodsAsAKubeletDoes(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Node.FirstBackoff = 100 * time.Millisecond })
	good, missing := w.Fleet.Image("backend", fleet.Tag(prod, 0)), w.Fleet.Image("backend", "soon")
	w.runPod("main", corev1.RestartPolicyAlways, "a="+good, "b="+missing)
	w.runPod("init", corev1.RestartPolicyAlways, "one="+good, "two="+missing, "then", "a="+good)
	w.runPod("job", corev1.RestartPolicyNever, "a="+good)
	w.runPod("name", corev1.RestartPolicyAlways, "a=Nonsense:v1")
	_, err := w.Registry.PushImage("backend", "alien", "linux/arm64")
	w.must(err)
	w.runPod("alien", corev1.RestartPolicyAlways, "a="+w.Fleet.Image("backend", "alien"))

	w.podIs("job", corev1.PodSucceeded, "a ended")
	w.podIs("main", corev1.PodPending, "a running", "b ImagePullBackOff")
	w.podIs("init", corev1.PodPending, "one ended", "two ImagePullBackOff", "a PodInitializing")
	w.podIs("name", corev1.PodPending, "a InvalidImageName")
	w.podIs("alien", corev1.PodRunning, "a CrashLoopBackOff")
	w.podIs("main", corev1.PodPending, "a running", "b ErrImagePull") // it alternates

	digest := w.Publish("backend", "soon")
	w.podIs("main", corev1.PodRunning, "a running", "b running")
	w.podIs("init", corev1.PodRunning, "one ended", "two ended", "a running")
	b := w.pod("main").Status.ContainerStatuses[1]
	if b.Image != missing || b.ImageID != w.Registry.Host()+"/backend@"+digest || !b.Ready || b.State.Running.StartedAt.IsZero() {
		t.Errorf("the container that runs: %+v", b)
	}
	for _, c := range w.pod("main").Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			t.Errorf("condition %+v", c)
		}
	}
	w.must(w.Client.Delete(t.Context(), w.pod("main")))
	w.Until("a deleted pod is gone", func() error {
		if p := w.pod("main"); p != nil {
			return fmt.Errorf("it is %s", p.Status.Phase)
		}
		return nil
	})
}

func TestStandInNodeOfAnOlderKubelet(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Node.Wording, s.Node.FirstBackoff = node.Old, 100*time.Millisecond })
	missing := w.Fleet.Image("backend", "missing")
	w.runPod("old", corev1.RestartPolicyAlways, "a="+missing)
	// It goes to and fro between the error and the back-off.
	w.Until("the back-off hides the error", func() error {
		p := w.pod("old")
		if p == nil || len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].State.Waiting == nil {
			return errors.New("it does not wait yet")
		}
		s := p.Status.ContainerStatuses[0].State.Waiting
		if s.Reason != "ImagePullBackOff" || s.Message != `Back-off pulling image "`+missing+`"` {
			return fmt.Errorf("it says %s: %s", s.Reason, s.Message)
		}
		return nil
	})
}

func TestStandInNodeUsesPullSecrets(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Registry.Token = &registrystub.Login{Username: "u", Password: "p"}
		s.Node.FirstBackoff = 100 * time.Millisecond
	})
	w.Until("the fleet cannot be pulled without a secret", func() error {
		if all := strings.Join(w.Waiting(prod), "\n"); !strings.Contains(all, "401 Unauthorized") {
			return fmt.Errorf("pods say %q", all)
		}
		return nil
	})
	auth := base64.StdEncoding.EncodeToString([]byte("u:p"))
	w.must(w.Client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "pull"},
		Type:       corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, w.Registry.Host(), auth)},
	}))
	w.must(w.Client.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "private"},
		Spec: corev1.PodSpec{
			ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
			Containers:       []corev1.Container{{Name: "a", Image: w.Fleet.Image("backend", fleet.Tag(prod, 0))}},
		},
	}))
	w.podIs("private", corev1.PodRunning, "a running")
}

// sets are one of each kind that makes pods beside a Deployment.
const sets = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: a, image: IMAGE}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: NS}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: a, image: IMAGE}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: NS}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: a, image: IMAGE}]}
`

func TestStandInNodeServesEveryKindOfWorkload(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	apply := func(tag string, manifests string) {
		t.Helper()
		w.must(w.Env.Apply(t.Context(), strings.NewReplacer("NS", w.Fleet.Namespace(prod), "IMAGE", w.Fleet.Image("backend", tag)).Replace(manifests)))
	}
	apply(fleet.Tag(prod, 0), sets)
	w.podIs("db-1", corev1.PodRunning, "a running")
	w.Until("the Job is complete", func() error {
		job := &batchv1.Job{}
		w.must(w.Client.Get(t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(prod), Name: "migrate"}, job))
		if job.Status.Succeeded != 1 || job.Status.CompletionTime == nil {
			return fmt.Errorf("%+v", job.Status)
		}
		return nil
	})
	out, err := w.Env.Kubectl(t.Context(), "get", "node", "node-1", "-o", "jsonpath={.status.nodeInfo.operatingSystem}/{.status.nodeInfo.architecture}")
	if err != nil || out != "linux/amd64" {
		t.Errorf("the node's platform is %q, %v", out, err)
	}
	w.Until("every node has the DaemonSet's pod", func() error {
		out, err := w.Env.Kubectl(t.Context(), "get", "daemonset", "agent", "-n", w.Fleet.Namespace(prod), "-o", "jsonpath={.status.desiredNumberScheduled} {.status.numberReady}")
		w.must(err)
		if desired, ready, _ := strings.Cut(out, " "); desired == "0" || ready != desired {
			return fmt.Errorf("desired and ready are %s", out)
		}
		return nil
	})

	// A StatefulSet keeps its stuck pod after its template is good again.
	statefulSet, _, _ := strings.Cut(sets, "---")
	apply("missing", statefulSet)
	w.podIs("db-1", corev1.PodPending, "a ImagePullBackOff")
	apply(fleet.Tag(prod, 0), statefulSet)
	w.Until("the controller has seen that the template is good", func() error {
		set := &appsv1.StatefulSet{}
		w.must(w.Client.Get(t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(prod), Name: "db"}, set))
		if set.Status.ObservedGeneration != set.Generation || set.Status.UpdateRevision != set.Status.CurrentRevision {
			return fmt.Errorf("%+v", set.Status)
		}
		return nil
	})
	w.podIs("db-1", corev1.PodPending, "a ImagePullBackOff")
	w.must(w.Client.Delete(t.Context(), w.pod("db-1")))
	w.podIs("db-1", corev1.PodRunning, "a running")
}
