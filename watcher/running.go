package watcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/watcher/classify"
)

// running looks at the pods of a workload for the key's image. Only a container that is seen to have started proves
// that an image can be pulled: a Pending pod that vanished proves nothing.
func (s *observation) running(ctx context.Context, w v1alpha1.Workload) error {
	h, err := s.get(ctx, w.Kind, w.Name)
	if err != nil {
		return err
	}
	if w.Kind == kindPod {
		return s.barePod(ctx, w)
	}
	if h.gone {
		return nil
	}
	if _, ok := s.labels[w.String()]; !ok {
		s.labels[w.String()] = h.labels
	}
	var sel metav1.ListOptions
	switch {
	case h.selector != nil:
		selector, err := metav1.LabelSelectorAsSelector(h.selector)
		if err != nil {
			return fmt.Errorf("read the selector of %s in %s: %w", w, s.namespace, err)
		}
		sel.LabelSelector = selector.String()
	case w.Kind == "CronJob":
		// A CronJob selects nothing itself; its pods are those of its Jobs.
		sel.LabelSelector = "batch.kubernetes.io/job-name"
	}
	sel = s.seen(sel)
	since, failed := s.failedSince(w)
	err = s.eachOf(ctx, h, sel, func(ctx context.Context, pod *corev1.Pod) error {
		if !began(pod) {
			return nil
		}
		o, err := s.owner(ctx, pod)
		if err != nil {
			return err
		}
		// Selectors of different workloads may overlap, and are all there is for a kind that is not known.
		if o.workload.Kind == w.Kind && o.workload.Name == w.Name {
			s.witness(pod, &o, since, failed)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.ranBefore(ctx, w, h)
}

// eachOf visits the pods of a workload: those that the list has, or else those of a selection.
func (s *observation) eachOf(ctx context.Context, h *holder, sel metav1.ListOptions,
	visit func(context.Context, *corev1.Pod) error,
) error {
	pods, listed := s.listing.podsOf(h.workload, h.workload.UID)
	if !listed {
		return s.each(ctx, sel, visit)
	}
	for _, pod := range pods {
		if err := visit(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// seen asks for nothing older than what the pods were watched up to.
func (s *observation) seen(sel metav1.ListOptions) metav1.ListOptions {
	if s.pods.Seen == nil {
		return sel
	}
	if sel.ResourceVersion = s.pods.Seen(s.namespace); sel.ResourceVersion != "" {
		sel.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	}
	return sel
}

func (s *observation) barePod(ctx context.Context, w v1alpha1.Workload) error {
	since, failed := s.failedSince(w)
	return s.each(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + w.Name},
		func(ctx context.Context, pod *corev1.Pod) error {
			o, err := s.owner(ctx, pod)
			if err != nil || o.workload.Kind != kindPod {
				return err
			}
			s.labels[w.String()] = pod.Labels
			s.witness(pod, &o, since, failed)
			return nil
		})
}

// began leaves out pods in which nothing has started, before their owner is asked for.
func began(pod *corev1.Pod) bool {
	for _, statuses := range statusesOf(pod) {
		for i := range statuses {
			if !firstStart(pod, &statuses[i]).IsZero() {
				return true
			}
		}
	}
	return false
}

// failedSince is when the workload was first seen failing with the image: as a Rollback recorded it, or else now.
func (s *observation) failedSince(w v1alpha1.Workload) (time.Time, bool) {
	var since time.Time
	if s.pods.Since != nil {
		since, _ = s.pods.Since(s.key, w)
	}
	for _, f := range s.found {
		if f.Workload == w && (since.IsZero() || f.Since.Time.Before(since)) {
			since = f.Since.Time
		}
	}
	return since, !since.IsZero()
}

// witness takes in what a pod proves: that a container started with the image after the workload had failed with it,
// and that a revision with the image is ready.
func (s *observation) witness(pod *corev1.Pod, o *owner, since time.Time, failed bool) {
	for _, statuses := range statusesOf(pod) {
		for i := range statuses {
			c := &statuses[i]
			start := firstStart(pod, c)
			if start.IsZero() || o.asked(c.Name, specImage(pod, c)) != s.key.Image() {
				continue
			}
			// The kubelet's times are whole seconds.
			if failed && pod.DeletionTimestamp == nil && s.started == "" && !start.Before(since.Truncate(time.Second)) {
				s.started = fmt.Sprintf("container %s of pod %s", c.Name, pod.Name)
			}
			switch {
			case s.ranHere != "":
			case podReady(pod):
				s.ranHere = o.workload.String()
				if o.revision != "" {
					s.ranHere += " revision " + o.revision
				}
			case waitsAgain(pod, c):
				s.ranHere = fmt.Sprintf("%s, whose container %s of pod %s ran before it waits for the image", o.workload, c.Name,
					pod.Name)
			}
		}
	}
}

// waitsAgain reports whether a container waits for the image with which it has run in the same pod: it was restarted,
// and the image is pulled each time.
func waitsAgain(pod *corev1.Pod, c *corev1.ContainerStatus) bool {
	if c.State.Waiting == nil || c.LastTerminationState.Terminated == nil || replaced(pod, c) {
		return false
	}
	_, pulls := classify.Waiting(c.State.Waiting.Reason, c.State.Waiting.Message)
	return pulls
}

// firstStart is when a container started for the first time, as far back as its status tells: two runs. Of one that
// was restarted more often only the pod's start is known, which is earlier: then nothing is claimed that is not so.
func firstStart(pod *corev1.Pod, c *corev1.ContainerStatus) time.Time {
	last, state := c.LastTerminationState.Terminated, c.State
	switch {
	case replaced(pod, c) && state.Running != nil:
		return state.Running.StartedAt.Time
	case replaced(pod, c) && state.Waiting != nil:
		return time.Time{}
	case c.RestartCount > 1 && pod.Status.StartTime != nil:
		return pod.Status.StartTime.Time
	case last != nil:
		return last.StartedAt.Time
	case state.Running != nil:
		return state.Running.StartedAt.Time
	case state.Terminated != nil:
		return state.Terminated.StartedAt.Time
	}
	return time.Time{}
}

func podReady(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded {
		return true
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// ranBefore looks for what tells that the image ran here although no pod of it lives any more: a rollout that was
// complete with it, a ReplicaSet that has ready pods, a revision that is older than the pods that fail.
func (s *observation) ranBefore(ctx context.Context, w v1alpha1.Workload, h *holder) error {
	if s.ranHere != "" || h.selector == nil || !s.fails(w) {
		return nil
	}
	if h.completed != "" {
		last, err := s.get(ctx, "ReplicaSet", h.completed)
		if err != nil {
			return err
		}
		if namedIn(last.images, s.key.Image()) {
			s.ranHere = fmt.Sprintf("%s, whose rollout was complete with ReplicaSet %s", w, h.completed)
			return nil
		}
	}
	past, err := s.history(ctx, h, s.seen(metav1.ListOptions{}))
	if err != nil {
		return err
	}
	made := s.made[w.String()]
	for i := range past.Revisions {
		r := &past.Revisions[i]
		if !namedIn(r.Images, s.key.Image()) {
			continue
		}
		kept := strings.TrimSuffix(past.Of, "s") + " " + r.Name
		switch {
		case r.Ready > 0:
			s.ranHere = fmt.Sprintf("%s, of which %s has ready pods", w, kept)
		case !r.Made.IsZero() && !made.IsZero() && r.Made.Before(made.Add(-settledAfter)):
			s.ranHere = fmt.Sprintf("%s, for %s is of %s and the pods that fail are of %s", w, kept, clock(r.Made), clock(made))
		default:
			continue
		}
		return nil
	}
	return nil
}
