package watcher

import (
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// settledAfter is how much older than its failing pods a revision must be to tell that other pods came before them:
// those of a rollout are made within a moment.
const settledAfter = 10 * time.Minute

// fails reports whether the workload fails with the image now.
func (s *observation) fails(w v1alpha1.Workload) bool {
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
