package trigger_test

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// What makes one recorded failure another.

// templates are all that a workload has of its pods: the specs of its templates and of its pods.
func templates(r *recorded, alsoFormer, alsoTemplates bool, change func(*corev1.PodSpec)) {
	o := &r.objects
	if o.Deployment != nil && alsoTemplates {
		change(&o.Deployment.Spec.Template.Spec)
	}
	for i := range o.ReplicaSets {
		if rs := &o.ReplicaSets[i]; alsoTemplates && (alsoFormer || rs.Name == "web-bbbb") {
			change(&rs.Spec.Template.Spec)
		}
	}
	for i := range o.Pods {
		if p := &o.Pods[i]; alsoFormer || p.Labels["pod-template-hash"] == "bbbb" {
			change(&p.Spec)
		}
	}
	r.objects.Remembered = remembered(r)
}

// unchanged is what the former revision had too.
func unchanged(change func(*corev1.PodSpec)) func(*recorded) {
	return func(r *recorded) { templates(r, true, true, change) }
}

// inPods and inNewPods are what a webhook makes of pods.
func inPods(change func(*corev1.PodSpec)) func(*recorded) {
	return func(r *recorded) { templates(r, true, false, change) }
}

func inNewPods(change func(*corev1.PodSpec)) func(*recorded) {
	return func(r *recorded) { templates(r, false, false, change) }
}

var (
	pvc       = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "x"}}
	configMap = corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}}
	emptyDir  = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	hostPath  = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/opt"}}
)

func mounts(name, path string, of corev1.VolumeSource) func(*recorded) {
	return unchanged(func(s *corev1.PodSpec) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: name, VolumeSource: of})
		mountsIn(name, path)(s)
	})
}

func mountsIn(name, path string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) {
		s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
	}
}

func fills(volume string) func(*recorded) {
	return unchanged(func(s *corev1.PodSpec) {
		s.InitContainers = append(s.InitContainers, corev1.Container{Name: "fill", Image: "registry.example.com/tools:v1",
			VolumeMounts: []corev1.VolumeMount{{Name: volume, MountPath: "/out"}}})
	})
}

func command(words ...string) func(*recorded) {
	return unchanged(func(s *corev1.PodSpec) { s.Containers[0].Command = words })
}

func arguments(words ...string) func(*recorded) {
	return unchanged(func(s *corev1.PodSpec) { s.Containers[0].Args = words })
}

// failing are the statuses of the container that fails in the new pods.
func failing(change func(*corev1.Pod, *corev1.ContainerStatus)) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.Pods {
			p := &r.objects.Pods[i]
			for j := range p.Status.ContainerStatuses {
				if s := &p.Status.ContainerStatuses[j]; p.Labels["pod-template-hash"] == "bbbb" && s.Name == "web" {
					change(p, s)
				}
			}
		}
	}
}

func last(s *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if s.LastTerminationState.Terminated == nil {
		s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{}
	}
	return s.LastTerminationState.Terminated
}

// cannotStart is what containerd says of a process that cannot be begun.
func cannotStart(words string) func(*recorded) {
	return failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		t := last(s)
		t.Reason, t.ExitCode = "StartError", 128
		t.Message = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: " +
			"unable to start container process: " + words
		if s.RestartCount == 0 {
			s.RestartCount = 3
		}
	})
}

func ends(code int32, reason, message string) func(*recorded) {
	return failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) {
		t := last(s)
		t.ExitCode, t.Reason, t.Message = code, reason, message
	})
}

func runs(d time.Duration) func(*recorded) {
	return failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) {
		t := last(s)
		t.StartedAt = metav1.NewTime(t.FinishedAt.Add(-d))
	})
}

func restarted(n int32) func(*recorded) {
	return failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) { s.RestartCount = n })
}

func waits(reason, message string) func(*recorded) {
	return failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

func initEnds(code int32) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.Pods {
			for j := range r.objects.Pods[i].Status.InitContainerStatuses {
				if s := &r.objects.Pods[i].Status.InitContainerStatuses[j]; s.LastTerminationState.Terminated != nil {
					t := last(s)
					t.ExitCode, t.Reason, t.Message = code, "Error", ""
				}
			}
		}
	}
}

// initScript has the init container wait for something.
var initScript = unchanged(func(s *corev1.PodSpec) {
	s.InitContainers[0].Command = []string{"sh", "-c", "until wget -qO- http://api/health; do sleep 1; done"}
})

// after is the same failure of a revision that came some time before: its pods have lived that long.
func after(d time.Duration) func(*recorded) {
	return func(r *recorded) {
		o := &r.objects
		for i := range o.ReplicaSets {
			if o.ReplicaSets[i].Name == "web-bbbb" {
				o.ReplicaSets[i].CreationTimestamp.Time = o.ReplicaSets[i].CreationTimestamp.Add(-d)
			}
		}
		for i := range o.Pods {
			if p := &o.Pods[i]; p.Labels["pod-template-hash"] == "bbbb" {
				p.CreationTimestamp.Time = p.CreationTimestamp.Add(-d)
				p.Status.StartTime = &metav1.Time{Time: p.Status.StartTime.Add(-d)}
			}
		}
	}
}

// madeAgain is a revision of long ago, whose first pods are gone.
func madeAgain(d time.Duration) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.ReplicaSets {
			if rs := &r.objects.ReplicaSets[i]; rs.Name == "web-bbbb" {
				rs.CreationTimestamp.Time = rs.CreationTimestamp.Add(-d)
			}
		}
	}
}

func without(pod string) func(*recorded) {
	return func(r *recorded) {
		r.objects.Pods = slices.DeleteFunc(r.objects.Pods, func(p corev1.Pod) bool { return p.Name == pod })
	}
}

// was describes what a watch remembers of a revision that was replaced last.
func was(replicaSet string, how v1alpha1.Availability) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.ReplicaSets {
			if rs := &r.objects.ReplicaSets[i]; rs.Name == replicaSet {
				r.objects.Remembered = trigger.Remembered{Former: trigger.TemplateHash(&rs.Spec.Template), FormerWas: how}
			}
		}
	}
}

// beside is another workload that crashes since then.
func beside(name, image string) func(*recorded) {
	return func(r *recorded) {
		var p corev1.Pod
		for i := range r.objects.Pods {
			if r.objects.Pods[i].Labels["pod-template-hash"] == "bbbb" {
				r.objects.Pods[i].DeepCopyInto(&p)
			}
		}
		p.Name, p.Labels = name+"-cccc-0", map[string]string{"app": name, "pod-template-hash": "cccc"}
		p.OwnerReferences[0].Name = name + "-cccc"
		p.Spec.Containers[0].Image, p.Status.ContainerStatuses[0].Image = image, image
		r.objects.Pods = append(r.objects.Pods, p)
	}
}

// neighbour is another container of the same pods, whose image did not change, and which crashes in the new ones.
func neighbour(name string) func(*recorded) {
	return func(r *recorded) {
		unchanged(func(s *corev1.PodSpec) {
			s.Containers = append(s.Containers, corev1.Container{Name: name, Image: "registry.example.com/" + name + ":v1"})
		})(r)
		failing(func(p *corev1.Pod, s *corev1.ContainerStatus) {
			also := *s.DeepCopy()
			also.Name, also.Image, also.RestartCount = name, "registry.example.com/"+name+":v1", 1
			also.LastTerminationState.Terminated.ExitCode = 1
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, also)
		})(r)
	}
}

func paused(r *recorded) { r.objects.Deployment.Spec.Paused = true }

func scaled(n int32) func(*recorded) {
	return func(r *recorded) { r.objects.Deployment.Spec.Replicas = &n }
}

func partitioned(at int32) func(*recorded) {
	return func(r *recorded) {
		r.objects.StatefulSet.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType,
			RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &at}}
	}
}

func onDelete(r *recorded) {
	r.objects.DaemonSet.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
}

func deadline(r *recorded) {
	r.objects.Deployment.Status.Conditions = append(r.objects.Deployment.Status.Conditions, appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"})
}

func madeByFlagger(r *recorded) {
	r.objects.Deployment.OwnerReferences = []metav1.OwnerReference{{APIVersion: "flagger.app/v1beta1", Kind: "Canary", Name: "web", Controller: new(true)}}
}

func joined(nodes ...string) func(*recorded) {
	return func(r *recorded) {
		for i := range r.objects.Nodes {
			if n := &r.objects.Nodes[i]; slices.Contains(nodes, n.Name) {
				n.CreationTimestamp = metav1.NewTime(r.Now.Add(-3 * time.Minute))
			}
		}
	}
}

// runsWell are containers that are ready, of pods that are not: something else has a say in that.
var runsWell = failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) {
	s.LastTerminationState, s.RestartCount, s.Ready = corev1.ContainerState{}, 0, true
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
})

// formerToo has the former pod fail as the new ones do.
func formerToo(r *recorded) {
	var as corev1.ContainerStatus
	failing(func(_ *corev1.Pod, s *corev1.ContainerStatus) { s.DeepCopyInto(&as) })(r)
	for i := range r.objects.Pods {
		if p := &r.objects.Pods[i]; p.Labels["pod-template-hash"] == "aaaa" {
			as.Image, as.ImageID = p.Status.ContainerStatuses[0].Image, p.Status.ContainerStatuses[0].ImageID
			p.Status.ContainerStatuses[0] = as
			p.Status.Conditions[0].Status = corev1.ConditionFalse
		}
	}
}

// plainOn has one pod crash in another way than the other.
func plainOn(pod string) func(*recorded) {
	return failing(func(p *corev1.Pod, s *corev1.ContainerStatus) {
		if p.Name == pod {
			last(s).ExitCode = 1
		}
	})
}
