package watcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		case !r.Made.IsZero() && !made.IsZero() && r.Made.Before(made.Add(-settled)):
			s.ranHere = fmt.Sprintf("%s, for %s is of %s and the pods that fail are of %s", w, kept, clock(r.Made), clock(made))
		default:
			continue
		}
		return nil
	}
	return nil
}

// fails reports whether the workload fails with the image now.
func (s *sighting) fails(w v1alpha1.Workload) bool {
	for id := range s.found {
		if id.kind == w.Kind && id.name == w.Name {
			return true
		}
	}
	return false
}

// namedIn reports whether a template names an image.
func namedIn(images map[string]string, image string) bool {
	for _, has := range images {
		if has == image {
			return true
		}
	}
	return false
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
