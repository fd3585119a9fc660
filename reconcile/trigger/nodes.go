package trigger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// oneNode: what tells that the start itself fails has to be seen on two nodes, one of which was there before.
func (v *view) oneNode() string {
	if s := v.among(func(s *symptom) bool { return s.cause.Fault() == v1alpha1.FaultNode }); s != nil {
		return fmt.Sprintf("pod %s fails for its node", s.pod.Name)
	}
	alike := v.group
	if v.worst.decisive {
		alike = slices.DeleteFunc(slices.Clone(v.group), func(s *symptom) bool {
			return !s.decisive || s.cause != v.worst.cause
		})
	}
	nodes := nodesOf(alike)
	if len(nodes) <= 1 {
		return "it was seen to fail on one node alone"
	}
	if slices.ContainsFunc(nodes, func(name string) bool { return !v.joinedSince(name) }) {
		return ""
	}
	return "it was seen to fail on nodes alone that joined since: " + strings.Join(nodes[:min(len(nodes), 3)], ", ")
}

// joinedSince reports whether a node is newer than the revision, or almost, and no pod runs well on it.
func (v *view) joinedSince(name string) bool {
	n := v.Nodes[name]
	if n.Made.IsZero() || n.Made.Before(v.New.Made.Add(-around)) {
		return false
	}
	return !slices.ContainsFunc(v.Facts.Pods, func(pod corev1.Pod) bool {
		return pod.Spec.NodeName == name && v.steady(&pod)
	})
}

func (v *view) architecture() string {
	wrong := v.worst.cause == v1alpha1.CauseWrongArchitecture
	here := v.Nodes[v.worst.pod.Spec.NodeName].Platform
	if wrong && here == "" {
		return "the architecture of its node is not known"
	}
	former := ""
	for i := range v.Facts.Pods {
		pod := &v.Facts.Pods[i]
		if p := v.Nodes[pod.Spec.NodeName].Platform; v.Former.of(pod) && p != "" {
			if p == here {
				return ""
			}
			former = p
		}
	}
	switch {
	case former == "" && wrong:
		return "no former pod is left to tell on which architecture they ran"
	case former == "" || here == "":
		return ""
	}
	return fmt.Sprintf("it fails on %s, and the former pods run on %s", here, former)
}

// neverStarts reports whether a pod's process cannot be begun.
func (v *view) neverStarts(pod *corev1.Pod) bool {
	for i := range pod.Status.InitContainerStatuses {
		if s := symptomOf(pod, &pod.Status.InitContainerStatuses[i], true); s != nil && s.startFails() && !v.healed(s) {
			return true
		}
	}
	for i := range pod.Status.ContainerStatuses {
		if s := symptomOf(pod, &pod.Status.ContainerStatuses[i], false); s != nil && s.startFails() && !v.healed(s) {
			return true
		}
	}
	return false
}

// startFails reports that it never came to a process.
func (s *symptom) startFails() bool {
	return s.decisive && !s.begun || s.cause == v1alpha1.CauseNodeCannotRun
}

// ranFor is how long a pod has to have run for its revision to count as one that ran well.
const ranFor = 30 * time.Minute

// ranLong: what ran for long before it began to fail fails for something that came since.
func (v *view) ranLong() string {
	for _, s := range v.group {
		if s.pod.Status.StartTime == nil || s.restarts == 0 || s.run < 0 {
			continue
		}
		failing := backedOff(s.restarts)*5/4 + time.Duration(s.restarts+1)*max(s.run, shortRun/2)
		if ran := v.Now.Sub(s.pod.Status.StartTime.Time) - failing; ran >= ranFor {
			return fmt.Sprintf("pod %s ran for about %s before it began to fail", s.pod.Name, ran.Round(time.Minute))
		}
	}
	return ""
}

// hadPods: a revision makes its pods at once, so that younger ones alone are not its first.
func (v *view) hadPods() string {
	oldest := slices.MinFunc(v.group, func(a, b *symptom) int {
		return a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time)
	}).pod
	if age := oldest.CreationTimestamp.Sub(v.New.Made); !v.New.Made.IsZero() && !v.New.Reused && age >= ranFor {
		return fmt.Sprintf("revision %s is %s older than each pod that fails: it may have run here before", v.New.Name,
			age.Round(time.Minute))
	}
	return ""
}

func (v *view) paused() string {
	if !v.Paused {
		return ""
	}
	return fmt.Sprintf("the rollout of %s is paused: somebody is at work there", v.Workload)
}

func (v *view) othersCrash() string {
	var now, before []string
	for _, o := range v.Others {
		if o.Well {
			before = append(before, o.Workload)
			continue
		}
		now = append(now, o.Workload)
	}
	switch {
	case len(now) > 0:
		return "other workloads of the namespace crash: " + strings.Join(now[:min(len(now), 3)], ", ")
	case len(before) > 0:
		return "other workloads of the namespace crashed a moment ago, and run well again: " +
			strings.Join(before[:min(len(before), 3)], ", ")
	}
	for i := range v.Facts.Pods {
		pod := &v.Facts.Pods[i]
		switch {
		case v.New.of(pod) || over(pod) || !v.ailing(pod):
		case v.back(pod):
			return fmt.Sprintf("pod %s of an older revision was restarted a moment ago, and runs well again", pod.Name)
		default:
			return fmt.Sprintf("pod %s of an older revision fails too", pod.Name)
		}
	}
	return v.neighbour()
}

// neighbour is another container of the pods that fail, whose image did not change or is in no template, and that fails
// too.
func (v *view) neighbour() string {
	now, was := containersOf(&v.New.Template.Spec), map[string]*container{}
	if v.Former != nil {
		was = containersOf(&v.Former.Template.Spec)
	}
	for _, s := range v.group {
		for _, c := range slices.Concat(s.pod.Status.InitContainerStatuses, s.pod.Status.ContainerStatuses) {
			a, b := now[c.Name], was[c.Name]
			last := cmp.Or(c.State.Terminated, c.LastTerminationState.Terminated)
			if c.Name == s.container || a != nil && b != nil && a.Image != b.Image {
				continue
			}
			if c.RestartCount > 0 && last != nil && last.ExitCode != 0 {
				return fmt.Sprintf("container %s of its pods fails too, and its image did not change", c.Name)
			}
			if a == nil && b == nil && c.State.Running != nil && !c.Ready {
				return fmt.Sprintf("container %s, which a webhook injected into its pods, is not ready", c.Name)
			}
		}
	}
	return ""
}

// ailing reports whether a pod of an older revision crashed or lost its readiness since the new one was made. One that
// is only on its way is not.
func (v *view) ailing(pod *corev1.Pod) bool {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		last := c.LastTerminationState.Terminated
		if c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 {
			last = c.State.Terminated
		}
		if last != nil && !last.FinishedAt.Time.Before(v.New.Made.Add(-around)) {
			return true
		}
		if c.State.Waiting != nil && c.State.Waiting.Reason == reasonCrashLoop {
			return true
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse && pod.Status.Phase == corev1.PodRunning &&
			v.Now.Sub(c.LastTransitionTime.Time) >= 10*time.Second {
			return true
		}
	}
	return false
}
