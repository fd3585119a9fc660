package watcher

import (
	"encoding/json"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// What the tests' objects are called: one workload "web" in the namespace "app" with a container "web".
const (
	goodImage = "registry.test/web:v1"
	badImage  = "registry.test/web:v2"
	notFound  = `rpc error: code = NotFound desc = failed to pull and unpack image "registry.test/web:v2": failed to resolve reference "registry.test/web:v2": registry.test/web:v2: not found`
)

func noon() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func named(kind, version, name string) (metav1.TypeMeta, metav1.ObjectMeta) {
	return metav1.TypeMeta{Kind: kind, APIVersion: version},
		metav1.ObjectMeta{Namespace: "app", Name: name, UID: types.UID("uid-" + name), Generation: 1}
}

func ownedBy(kind, version, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{
		Kind: kind, APIVersion: version, Name: name, UID: types.UID("uid-" + name), Controller: &yes,
	}}
}

func template(images ...string) corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}}
	for i, image := range images {
		name := "web"
		if i > 0 {
			name = "side"
		}
		t.Spec.Containers = append(t.Spec.Containers, corev1.Container{Name: name, Image: image})
	}
	return t
}

func selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
}

func deployment(images ...string) *appsv1.Deployment {
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Selector: selector(), Template: template(images...)}}
	d.TypeMeta, d.ObjectMeta = named("Deployment", "apps/v1", "web")
	d.Labels = map[string]string{"tier": "front"}
	return d
}

func replicaSet(name string, images ...string) *appsv1.ReplicaSet {
	r := &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Selector: selector(), Template: template(images...)}}
	r.TypeMeta, r.ObjectMeta = named("ReplicaSet", "apps/v1", name)
	r.OwnerReferences = ownedBy("Deployment", "apps/v1", "web")
	return r
}

func statefulSet(revision string, images ...string) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Selector: selector(), Template: template(images...)}}
	s.TypeMeta, s.ObjectMeta = named("StatefulSet", "apps/v1", "web")
	s.Status.UpdateRevision = revision
	return s
}

func daemonSet(generation string, images ...string) *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Selector: selector(), Template: template(images...)}}
	d.TypeMeta, d.ObjectMeta = named("DaemonSet", "apps/v1", "web")
	d.Annotations = map[string]string{appsv1.DeprecatedTemplateGeneration: generation}
	return d
}

func job(name string, images ...string) *batchv1.Job {
	j := &batchv1.Job{Spec: batchv1.JobSpec{Template: template(images...)}}
	j.TypeMeta, j.ObjectMeta = named("Job", "batch/v1", name)
	return j
}

func cronJob(images ...string) *batchv1.CronJob {
	c := &batchv1.CronJob{}
	c.Spec.JobTemplate.Spec.Template = template(images...)
	c.TypeMeta, c.ObjectMeta = named("CronJob", "batch/v1", "web")
	return c
}

func node(name, arch string) *corev1.Node {
	n := &corev1.Node{}
	n.TypeMeta, n.ObjectMeta = named("Node", "v1", name)
	n.Namespace = ""
	n.Status.NodeInfo.OperatingSystem, n.Status.NodeInfo.Architecture = "linux", arch
	return n
}

// change edits a pod.
type change func(*corev1.Pod)

// failingPod is a Pending pod of a ReplicaSet whose only container cannot have its image.
func failingPod(name string, changes ...change) *corev1.Pod {
	p := &corev1.Pod{Spec: template(badImage).Spec, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	p.TypeMeta, p.ObjectMeta = named("Pod", "v1", name)
	p.Labels = map[string]string{"app": "web", appsv1.DefaultDeploymentUniqueLabelKey: "h2"}
	p.OwnerReferences = ownedBy("ReplicaSet", "apps/v1", "web-h2")
	p.Spec.NodeName = "node1"
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", Image: badImage}}
	says("ErrImagePull", notFound)(p)
	for _, c := range changes {
		c(p)
	}
	return p
}

func says(reason, message string) change {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
		}
	}
}

func asks(image string) change {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Image = image }
}

func of(kind, version, name string, labels ...string) change {
	return func(p *corev1.Pod) {
		p.OwnerReferences = ownedBy(kind, version, name)
		p.Labels = map[string]string{"app": "web"}
		for i := 0; i < len(labels); i += 2 {
			p.Labels[labels[i]] = labels[i+1]
		}
	}
}

// started makes the pod one whose container runs since then.
func started(at time.Time) change {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		start := metav1.NewTime(at.Add(-time.Minute))
		p.Status.StartTime = &start
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)},
		}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
}

func deleted(p *corev1.Pod) {
	at := metav1.NewTime(noon())
	p.DeletionTimestamp = &at
}

func on(node string) change { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

func rollback(name string, edit func(*v1alpha1.Rollback)) *v1alpha1.Rollback {
	r := &v1alpha1.Rollback{Spec: v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject(badImage)}}
	r.TypeMeta, r.ObjectMeta = named("Rollback", "backstop.dev/v1alpha1", name)
	if edit != nil {
		edit(r)
	}
	return r
}

func web(kind string) v1alpha1.Workload {
	return v1alpha1.Workload{Kind: kind, Name: "web", UID: "uid-web"}
}

// An image volume, and what the kubelet says of it.
const (
	modelImage   = "registry.test/models:v9"
	modelMissing = `failed to pull and unpack image "registry.test/models:v9": failed to resolve reference "registry.test/models:v9": registry.test/models:v9: not found`
)

func modelVolume() []corev1.Volume {
	return []corev1.Volume{{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: modelImage}}}}
}

func mounts(p *corev1.Pod) {
	p.Spec.Volumes = modelVolume()
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "model", MountPath: "/model"}}
}

func mounting(d *appsv1.Deployment) *appsv1.Deployment {
	d.Spec.Template.Spec.Volumes = modelVolume()
	return d
}

func replicaSetMounting(name string) *appsv1.ReplicaSet {
	r := replicaSet(name, goodImage)
	r.Spec.Template.Spec.Volumes = modelVolume()
	return r
}

// debugged adds a debug container whose image cannot be pulled.
func debugged(image string) change {
	return func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debugger", Image: image},
		}}
		p.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debugger", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: notFound},
		}}}
	}
}

// inPlace makes a pod one whose image OpenKruise changed while it ran.
func inPlace(p *corev1.Pod) {
	of("CloneSet", "apps.kruise.io/v1alpha1", "web", "lifecycle.apps.kruise.io/state", "Updating")(p)
	p.Annotations = map[string]string{
		annotationInPlace: `{"revision":"web-2","updateTimestamp":"2026-11-21T11:50:00Z","lastContainerStatuses":{"web":{"imageID":"old"}}}`,
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses[0].ImageID = "old"
	p.Status.ContainerStatuses[0].RestartCount = 1
	p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		StartedAt: metav1.NewTime(noon().Add(-time.Hour)),
	}
}

func created(at time.Time) change {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(at) }
}

func aged(r *appsv1.ReplicaSet, at time.Time) *appsv1.ReplicaSet {
	r.CreationTimestamp = metav1.NewTime(at)
	return r
}

func numbered(r *appsv1.ReplicaSet, revision string) *appsv1.ReplicaSet {
	r.Annotations, r.Labels = map[string]string{annotationRevision: revision}, map[string]string{"app": "web"}
	return r
}

// completed makes a Deployment one whose rollout was complete with a ReplicaSet.
func completed(d *appsv1.Deployment, replicaSet string) *appsv1.Deployment {
	d.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
		Message: `ReplicaSet "` + replicaSet + `" has successfully progressed.`,
	}}
	return d
}

func controllerRevision(name, image string, at time.Time) *appsv1.ControllerRevision {
	raw, err := json.Marshal(map[string]any{"spec": map[string]any{"template": template(image)}})
	if err != nil {
		panic(err)
	}
	c := &appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: raw}, Revision: at.Unix()}
	c.TypeMeta, c.ObjectMeta = named("ControllerRevision", "apps/v1", name)
	c.Labels, c.OwnerReferences = map[string]string{"app": "web"}, ownedBy("StatefulSet", "apps/v1", "web")
	c.CreationTimestamp = metav1.NewTime(at)
	return c
}
