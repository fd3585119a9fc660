package trigger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
)

// steady reports whether a pod runs well: ready, never restarted, and for a while.
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

// mutated compares what webhooks made of the pods: a policy that is new, or changed, may keep them from running as the
// former did, and so may a webhook that was away as they were made.
func (v *view) mutated() string {
	now, put := rewritten(v.now, &v.New.Template, v.worst.pod), v.putInto(v.New, v.worst.pod)
	var was, had []string
	changedAlike, putAlike, seen := false, false, false
	for i := range v.Facts.Pods {
		pod := &v.Facts.Pods[i]
		if !v.Former.of(pod) {
			continue
		}
		before, putBefore := rewritten(v.was, &v.Former.Template, pod), v.putInto(v.Former, pod)
		changedAlike = changedAlike || slices.Equal(before, now) &&
			(len(now) == 0 || alike(v.worst.container, pod, v.worst.pod))
		putAlike, seen = putAlike || slices.Equal(putBefore, put), true
		for _, c := range before {
			was = append(was, c.String())
		}
		had = append(had, putBefore...)
	}
	if !seen {
		changedAlike, putAlike = len(now) == 0, len(put) == 0
	}
	switch more, less := firstBeside(put, had), firstBeside(had, put); {
	case !changedAlike && len(now) > 0:
		return fmt.Sprintf("a webhook changed %s in its pods, and no former pod has the same", now[0])
	case !changedAlike:
		return fmt.Sprintf("a webhook changed %s in former pods, and not in its own", was[0])
	case !putAlike && more != "":
		return fmt.Sprintf("a webhook put container %s into its pods, and no former pod has the same", more)
	case !putAlike && less != "":
		return fmt.Sprintf("a webhook put container %s into former pods, and not into its own", less)
	}
	return ""
}

// firstBeside is the first of some that others are not; empty where there is none.
func firstBeside(of, but []string) string {
	for _, s := range of {
		if !slices.Contains(but, s) {
			return s
		}
	}
	return ""
}

// putInto names the containers of a pod that are in no template, with their images. Where no process began they have no
// part in it.
func (v *view) putInto(of *Revision, pod *corev1.Pod) []string {
	if v.worst.neverBegan(v.now) {
		return nil
	}
	var out []string
	own := containersOf(&of.Template.Spec)
	for name, c := range containersOf(&pod.Spec) {
		if own[name] == nil {
			out = append(out, fmt.Sprintf("%s (%s)", name, c.Image))
		}
	}
	slices.Sort(out)
	return out
}

// rewritten is how a container of a pod, and the pod around it, differ from the template. Mounts of tokens do not
// count.
func rewritten(of *container, template *corev1.PodTemplateSpec, pod *corev1.Pod) []v1alpha1.TemplateChange {
	if of == nil {
		return nil
	}
	is := containersOf(&pod.Spec)[of.Name]
	if is == nil {
		return nil
	}
	return append(containerChanges(of, bareOfTokens(is)), surroundings(&template.Spec, &pod.Spec)...)
}

// alike reports whether a container is the same in two pods, but for its image.
func alike(name string, a, b *corev1.Pod) bool {
	was, is := containersOf(&a.Spec)[name], containersOf(&b.Spec)[name]
	if was == nil || is == nil || len(surroundings(&a.Spec, &b.Spec)) > 0 {
		return false
	}
	changed := containerChanges(bareOfTokens(was), bareOfTokens(is))
	return !slices.ContainsFunc(changed, func(c v1alpha1.TemplateChange) bool { return c.Part != v1alpha1.PartImage })
}

func bareOfTokens(c *container) *container {
	out := *c
	out.VolumeMounts = withoutTokens(c.VolumeMounts)
	return &out
}

// surroundings is how two pods differ in what decides how their processes are run.
func surroundings(a, b *corev1.PodSpec) []v1alpha1.TemplateChange {
	var out []v1alpha1.TemplateChange
	orNone := func(s *corev1.PodSecurityContext) *corev1.PodSecurityContext {
		if s == nil {
			return &corev1.PodSecurityContext{}
		}
		return s
	}
	if !equality.Semantic.DeepEqual(orNone(a.SecurityContext), orNone(b.SecurityContext)) {
		out = append(out, v1alpha1.TemplateChange{Part: v1alpha1.PartSecurity})
	}
	if !equality.Semantic.DeepEqual([]any{a.RuntimeClassName, a.HostUsers, a.ShareProcessNamespace},
		[]any{b.RuntimeClassName, b.HostUsers, b.ShareProcessNamespace}) {
		out = append(out, v1alpha1.TemplateChange{Part: v1alpha1.PartPod})
	}
	return out
}

// ownerOf names what made a pod, as people name it.
func ownerOf(pod *corev1.Pod) string {
	ref := metav1.GetControllerOf(pod)
	switch {
	case ref == nil:
		return workload.Pod + "/" + pod.Name
	case ref.Kind == workload.ReplicaSet && pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != "":
		return workload.Deployment + "/" +
			strings.TrimSuffix(ref.Name, "-"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
	}
	return ref.Kind + "/" + ref.Name
}

func withoutTokens(all []corev1.VolumeMount) []corev1.VolumeMount {
	var out []corev1.VolumeMount
	for _, m := range all {
		if !strings.HasPrefix(m.MountPath, tokens) {
			out = append(out, m)
		}
	}
	return out
}

// tokens is where the mounts are that the API server adds to each pod.
const tokens = "/var/run/secrets/"
