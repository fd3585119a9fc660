package reconcile

import (
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// storyOf is what the pull request of reverts tells.
func storyOf(reverts []Revert, put Proposed) Story {
	first := reverts[0]
	out := Story{
		Image: first.Image, Target: first.Target.Image, Commit: first.Suspect.Commit, Author: first.Suspect.Author,
		Subject: first.Suspect.Subject, Followed: true, ByPerson: first.Lift == v1alpha1.LiftManual,
		Message: put.Message,
	}
	for i, r := range reverts {
		if put.Landings[i].Err != nil {
			continue
		}
		out.Failures = append(out.Failures, r.Failures...)
		for _, wl := range r.Workloads {
			if !slices.Contains(out.Workloads, wl) {
				out.Workloads = append(out.Workloads, wl)
			}
		}
		for _, v := range r.Target.Values {
			if int(v.Index) < len(r.Suspect.Places) {
				n := r.Suspect.Places[v.Index]
				if n.Part == v1alpha1.PartFile {
					out.Changes = append(out.Changes, StoryChange{File: n.File})
					continue
				}
				out.Changes = append(out.Changes, StoryChange{File: n.File, From: n.Bad, To: v.Value})
			}
		}
		for _, marker := range markersOf(&r.Suspect) {
			if !slices.Contains(out.Held, marker) {
				out.Held = append(out.Held, marker)
			}
		}
	}
	return out
}
