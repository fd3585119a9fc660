package node

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeIP is of a range that is kept for documents.
const nodeIP = "192.0.2.2"

var capacity = corev1.ResourceList{
	corev1.ResourceCPU:    resource.MustParse("1000"),
	corev1.ResourceMemory: resource.MustParse("1000Gi"),
	corev1.ResourcePods:   resource.MustParse("10000"),
}

// begin fills the status of a pod that was just bound: all its containers wait.
func begin(pod *corev1.Pod, now time.Time) {
	start := metav1.NewTime(now)
	pod.Status.StartTime = &start
	pod.Status.Phase = corev1.PodPending
	pod.Status.HostIP, pod.Status.HostIPs = nodeIP, []corev1.HostIP{{IP: nodeIP}}
	waits := "ContainerCreating"
	if len(pod.Spec.InitContainers) > 0 {
		waits = "PodInitializing"
	}
	pod.Status.InitContainerStatuses = waiting(pod.Spec.InitContainers, "PodInitializing")
	pod.Status.ContainerStatuses = waiting(pod.Spec.Containers, waits)
	conclude(pod, len(pod.Spec.InitContainers) == 0)
}

func waiting(containers []corev1.Container, reason string) []corev1.ContainerStatus {
	var all []corev1.ContainerStatus
	for _, c := range containers {
		started := false
		all = append(all, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Started: &started,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
		})
	}
	return all
}

// finish ends a container with exit code 0.
func finish(status *corev1.ContainerStatus, now time.Time) {
	started := false
	status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "Completed", StartedAt: status.State.Running.StartedAt, FinishedAt: metav1.NewTime(now),
		ContainerID: status.ContainerID,
	}}
	status.Ready, status.Started = true, &started
}

// crash is a container whose program is for another platform.
func crash(pod *corev1.Pod, status *corev1.ContainerStatus, now time.Time) {
	at := metav1.NewTime(now)
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 128, Reason: "StartError", StartedAt: at, FinishedAt: at, ContainerID: status.ContainerID,
		Message: `failed to create containerd task: failed to create shim task: OCI runtime create failed: ` +
			`runc create failed: ` +
			`unable to start container process: exec: "/app": exec format error: unknown`,
	}}
	if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
		status.State = ended
		return
	}
	status.RestartCount, status.LastTerminationState = 1, ended
	status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
		Reason:  "CrashLoopBackOff",
		Message: backOff(pod, status.Name),
	}}
}

// finishJob ends the containers of a pod that is to end, once they have run long enough. It reports when that is.
func (s *standIn) finishJob(pod *corev1.Pod) time.Duration {
	var again time.Duration
	for i := range pod.Status.ContainerStatuses {
		status := &pod.Status.ContainerStatuses[i]
		if status.State.Running == nil {
			continue
		}
		// A time in a status has whole seconds only, which is coarser than most jobs here.
		m := time.Since(status.State.Running.StartedAt.Time)
		if m >= s.JobTime {
			finish(status, time.Now())
		} else if left := s.JobTime - m; again == 0 || left < again {
			again = left
		}
	}
	return again
}

// conclude sets phase and conditions from the containers' states.
func conclude(pod *corev1.Pod, initialized bool) {
	var unready []string
	running, stopped, failing, broken := 0, 0, 0, false
	for _, c := range pod.Status.ContainerStatuses {
		switch {
		case c.State.Running != nil:
			running++
		case c.State.Terminated != nil, c.LastTerminationState.Terminated != nil:
			stopped++
			broken = broken || c.State.Terminated != nil && c.State.Terminated.ExitCode != 0
		default:
			failing++
		}
		if !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	switch {
	case !initialized || failing > 0:
		pod.Status.Phase = corev1.PodPending
	case running == 0 && stopped > 0 && pod.Spec.RestartPolicy != corev1.RestartPolicyAlways:
		pod.Status.Phase = corev1.PodSucceeded
		if broken {
			pod.Status.Phase = corev1.PodFailed
		}
	default:
		pod.Status.Phase = corev1.PodRunning
	}
	set(pod, corev1.PodReadyToStartContainers, true, "", "")
	var incomplete []string
	for _, c := range pod.Status.InitContainerStatuses {
		if !c.Ready {
			incomplete = append(incomplete, c.Name)
		}
	}
	set(pod, corev1.PodInitialized, initialized, "ContainersNotInitialized",
		fmt.Sprintf("containers with incomplete status: %v", incomplete))
	reason, message := "ContainersNotReady", fmt.Sprintf("containers with unready status: %v", unready)
	if pod.Status.Phase == corev1.PodSucceeded {
		reason, message = "PodCompleted", ""
	} else if pod.Status.Phase == corev1.PodFailed {
		reason, message = "PodFailed", ""
	}
	ready := initialized && len(unready) == 0
	set(pod, corev1.PodReady, ready, reason, message)
	set(pod, corev1.ContainersReady, ready, reason, message)
	pod.Status.ObservedGeneration = pod.Generation
}

// set writes a condition; why and message are those of a false one.
func set(pod *corev1.Pod, kind corev1.PodConditionType, is bool, why, message string) {
	c := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: why, Message: message,
		ObservedGeneration: pod.Generation}
	if is {
		c.Status, c.Reason, c.Message = corev1.ConditionTrue, "", ""
	}
	c.LastTransitionTime = metav1.Now()
	for i, old := range pod.Status.Conditions {
		if old.Type == kind {
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			pod.Status.Conditions[i] = c
			return
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, c)
}
