package trigger_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// siblingRuns is another workload's pod that runs the new image well.
func siblingRuns(name string) func(*recorded) {
	return func(r *recorded) {
		beside(name, "registry.example.com/web:v2")(r)
		p := &r.objects.Pods[len(r.objects.Pods)-1]
		p.Status.ContainerStatuses[0] = running(p.Spec.Containers[0].Name, "registry.example.com/web:v2", true, r.Now.Add(-2*time.Minute))
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
}

// oneRuns is a third pod of the new revision that runs well.
func oneRuns(r *recorded) {
	var p corev1.Pod
	for i := range r.objects.Pods {
		if r.objects.Pods[i].Labels["pod-template-hash"] == "bbbb" {
			r.objects.Pods[i].DeepCopyInto(&p)
		}
	}
	p.Name, p.UID = "web-bbbb-9", "pod-web-bbbb-9"
	p.Status.ContainerStatuses[0] = running("web", p.Spec.Containers[0].Image, true, r.Now.Add(-2*time.Minute))
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	r.objects.Pods = append(r.objects.Pods, p)
}
