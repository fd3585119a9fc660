package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// ranBefore looks in Flux's history for a time at which the image ran here before it failed, if no pod shows that any
// more: a revision that was found healthy and contains the suspect has its image, since that stands in Git from the
// suspect on. Empty where nothing says so, or nobody can tell.
func (e *Engine) ranBefore(ctx context.Context, w *World, origin Origin) string {
	s := &w.Rollback.Status
	for _, h := range origin.Healthy {
		which := slices.IndexFunc(s.Workloads(), h.shows)
		if which < 0 || !h.At.Before(s.FirstSeen()) || h.Commit == "" && precedes(h.At, s) {
			continue
		}
		said := fmt.Sprintf("%s found %s healthy at %s", h.By, s.Workloads()[which],
			h.At.UTC().Format("2006-01-02 15:04 MST"))
		if h.Commit != "" {
			has, err := e.Git.Contains(ctx, origin.Source, h.Commit, s.Suspect.Commit)
			if err != nil || !has {
				// A commit that a force push took away tells nothing.
				continue
			}
			said += " with " + text.Short(h.Commit)
		}
		if all, err := e.Records.All(ctx); err != nil || slices.ContainsFunc(all, h.forced) {
			continue
		}
		return said
	}
	return ""
}

// precedes reports whether something was before a suspect. What that says of its own time is its writer's clock: where
// it comes after what failed by it, the clock was wrong, and nobody can tell.
func precedes(at time.Time, s *v1alpha1.RollbackStatus) bool {
	return at.Before(s.Suspect.When.Time) && !s.Suspect.When.After(s.FirstSeen())
}

// forced reports whether what Flux found healthy is so only because a fast-forward of a Rollback had set its image
// before: the revision itself never was.
func (h Healthy) forced(by v1alpha1.Rollback) bool {
	if h.Commit != "" {
		return by.Status.FalselyGreen(h.Commit)
	}
	return slices.ContainsFunc(by.Status.FastForward, func(f v1alpha1.FastForward) bool {
		return f.Result == v1alpha1.FastForwardApplied && f.Release != nil && *f.Release == h.By && h.At.Before(f.At.Time)
	})
}

// ranHere describes what shows that the subject's image ran here: what a trigger sees now, or else what Flux remembers.
func (e *Engine) ranHere(ctx context.Context, w *World, origin Origin) string {
	for _, row := range v1alpha1.Triggers() {
		if here := w.Seen[row.Type].RanHere; here != "" {
			return here
		}
	}
	if !w.Rollback.Status.Blamed() {
		return ""
	}
	return e.ranBefore(ctx, w, origin)
}

// shows reports whether the health of a workload tells that its image ran: that of a Deployment, a StatefulSet or a
// DaemonSet, which are healthy only with pods of their newest template.
func (h Healthy) shows(w v1alpha1.Workload) bool {
	if w.Kind != "Deployment" && w.Kind != "StatefulSet" && w.Kind != "DaemonSet" {
		return false
	}
	return len(h.Only) == 0 || slices.ContainsFunc(h.Only, func(o v1alpha1.Workload) bool {
		return o.Kind == w.Kind && o.Name == w.Name
	})
}
