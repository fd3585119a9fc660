package flux

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAPodThatCrashesKeepsAnOrderedSetFromMovingOn(t *testing.T) {
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	for name, c := range map[string]struct {
		state corev1.ContainerState
		want  bool
	}{
		"it waits to be started again": {waiting("CrashLoopBackOff"), true},
		"it cannot be started":         {waiting("RunContainerError"), true},
		"it is being made":             {waiting("ContainerCreating"), false},
		"it runs":                      {corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning,
				ContainerStatuses: []corev1.ContainerStatus{{State: c.state}}}}
			if got := crashes(pod); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}
