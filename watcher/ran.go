package watcher

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// settled is how much older than its failing pods a revision must be to tell that other pods came before them: those of
// a rollout are made within a moment.
const settled = 10 * time.Minute

// ranBefore looks for what tells that the image ran here although no pod of it lives any more: a rollout that was
// complete with it, a ReplicaSet that has ready pods, a revision that is older than the pods that fail.
func (s *sighting) ranBefore(ctx context.Context, w v1alpha1.Workload, h *holder) error {
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
	past, err := s.history(ctx, h)
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
		case !r.Made.IsZero() && !made.IsZero() && r.Made.Before(made.Add(-settled)):
			s.ranHere = fmt.Sprintf("%s, for %s is of %s and the pods that fail are of %s", w, kept, clock(r.Made), clock(made))
		default:
			continue
		}
		return nil
	}
	return nil
}

// fails says whether the workload fails with the image now.
func (s *sighting) fails(w v1alpha1.Workload) bool {
	for id := range s.found {
		if id.kind == w.Kind && id.name == w.Name {
			return true
		}
	}
	return false
}

// wasMade notes the oldest pod of a workload that fails.
func (s *sighting) wasMade(w v1alpha1.Workload, pod *corev1.Pod) {
	at := pod.CreationTimestamp.Time
	if before, ok := s.made[w.String()]; !ok || at.Before(before) {
		s.made[w.String()] = at
	}
}

// namedIn says whether a template names an image.
func namedIn(images map[string]string, image string) bool {
	for _, has := range images {
		if has == image {
			return true
		}
	}
	return false
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// completedBy is the ReplicaSet that a Deployment names as the one its last rollout was complete with. Its conditions
// say so in words alone.
func completedBy(all []appsv1.DeploymentCondition) string {
	i := slices.IndexFunc(all, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionTrue &&
			c.Reason == "NewReplicaSetAvailable"
	})
	if i < 0 {
		return ""
	}
	_, rest, _ := strings.Cut(all[i].Message, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}
