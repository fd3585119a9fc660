package trigger

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// steady says whether a pod runs well: ready, never restarted, and for a while.
func (v *view) steady(pod *corev1.Pod) bool {
	if over(pod) || !ready(pod) {
		return false
	}
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		if c.RestartCount > 0 || c.State.Running == nil || v.Now.Sub(c.State.Running.StartedAt.Time) < steadyFor {
			return false
		}
	}
	return len(pod.Status.ContainerStatuses) > 0
}

// RunsWell names what made a pod that runs well; empty where it does not.
func RunsWell(pod *corev1.Pod, now time.Time) string {
	v := view{Facts: &Facts{Now: now}}
	if !v.steady(pod) {
		return ""
	}
	return ownerOf(pod)
}

// formerReady is how many pods of the former revision are ready, and how many of them started after the new one was
// made.
func (v *view) formerReady() (all, since int) {
	for i := range v.Facts.Pods {
		pod := &v.Facts.Pods[i]
		if !v.Former.of(pod) || over(pod) || !ready(pod) {
			continue
		}
		all++
		if pod.Status.StartTime != nil && pod.Status.StartTime.After(v.New.Made) {
			since++
		}
	}
	return all, since
}

// mutated compares what webhooks made of the pods: a policy that is new may keep them from running as the former did.
func (v *view) mutated() string {
	now := rewritten(v.now, v.worst.pod)
	if len(now) == 0 {
		return ""
	}
	for i := range v.Facts.Pods {
		if pod := &v.Facts.Pods[i]; v.Former.of(pod) && slices.Equal(rewritten(v.was, pod), now) {
			return ""
		}
	}
	return fmt.Sprintf("a webhook changed %s in its pods, and no former pod has the same", now[0])
}

// rewritten is how a container of a pod differs from its template. Mounts of tokens and rewritten registries do not
// count.
func rewritten(template *container, pod *corev1.Pod) []v1alpha1.TemplateChange {
	if template == nil {
		return nil
	}
	is := containersOf(&pod.Spec)[template.Name]
	if is == nil {
		return nil
	}
	return slices.DeleteFunc(containerChanges(template, is), func(c v1alpha1.TemplateChange) bool {
		return c.Part == v1alpha1.PartImage || c.Part == v1alpha1.PartMounts
	})
}
