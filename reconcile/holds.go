package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
)

// holdsNow are the places whose holds nobody has lifted, by their indices: those that the tip holds, and those that it
// does not hold any more. Of a record without holds by place all that the tip holds stand. A hold that was written over
// one's own is its own record's.
func holdsNow(w *World) (held, gone []int32) {
	s := &w.Rollback.Status
	for i := range int32(len(s.Suspect.Places)) {
		_, there := w.Branch.Held[i]
		there = there && !heldAnew(w, i)
		switch {
		case there && (len(s.Holds) == 0 || s.StandsOn(&s.Suspect.Places[i])):
			held = append(held, i)
		case !there && len(s.Holds) > 0 && s.StandsOn(&s.Suspect.Places[i]):
			gone = append(gone, i)
		}
	}
	return held, gone
}

// sameHold is how far the time that a hold says of itself may be from that of its revert.
const sameHold = time.Minute

// heldAnew reports whether a place is held by a later revert than the Rollback's: against another version, or against
// the same one at a later time.
func heldAnew(w *World, i int32) bool {
	h, there := w.Branch.Held[i]
	s := &w.Rollback.Status
	n := s.Suspect.Places[i]
	if s.Change == nil {
		return false
	}
	written := s.Change.At.Time
	if s.Landed != nil && s.Landed.At.After(written) {
		written = s.Landed.At.Time
	}
	if there && h.Since.After(written.Add(sameHold)) && !h.Since.After(w.Now.Add(sameHold)) {
		return true
	}
	return there && h.Not != "" && !w.Rollback.OfObject() && h.Not != n.Bad &&
		!isVersion(w.Rollback.Spec.Subject.Name, h.Not) && !isVersion(n.Bad, h.Not)
}

// isVersion reports whether a version is what tells an image from its former self: its tag, its digest, or all of it.
func isVersion(ref, version string) bool {
	repository, tag, digest := image.Split(ref)
	return version != "" && slices.Contains([]string{repository, tag, digest, ref}, version)
}

// notAt is the version that holds are against, where it is one.
func notAt(b *Branch, at []int32) string {
	not := b.Held[at[0]].Not
	for _, i := range at {
		if b.Held[i].Not != not {
			return ""
		}
	}
	return not
}

// askedFor are those of the holds that a person wants lifted.
func askedFor(w *World, held []int32) []int32 {
	s := &w.Rollback.Status
	return slices.DeleteFunc(slices.Clone(held), func(i int32) bool {
		return !w.Rollback.LiftWish().Names(s.Suspect.Places[i].Identity())
	})
}

// liftedBy says who took a hold away; of no place those of all.
func liftedBy(w *World, at []int32) string {
	s := &w.Rollback.Status
	for _, i := range at {
		if heldAnew(w, i) {
			return "the later hold against " + w.Branch.Held[i].Not
		}
	}
	if pr := s.LiftPullRequest; pr != nil && !pr.Spent() {
		return fmt.Sprintf("pull request %d%s", pr.Number, mergedOrNot(w.Lifting))
	}
	for _, t := range w.Branch.Commits {
		names := func(i int32) bool {
			n := s.Suspect.Places[i]
			return slices.Contains(t.Places, PlaceID(n.File, n.Pointer))
		}
		mine := len(at) == 0 || len(t.Places) == 0 || slices.ContainsFunc(at, names)
		if t.Kind == TrailerLift && mine && t.When.After(s.Change.At.Time.Add(-time.Second)) {
			return "the lift " + text.Short(t.Commit)
		}
	}
	return "a commit that took the prefix away"
}

// nameOfHold tells a hold from the others where there were several policies.
func nameOfHold(w *World, h Hold) string {
	if len(w.Rollback.Status.Change.Policies) > 1 {
		return "the hold on " + h.Policy
	}
	return "the hold"
}

func failedBefore(e Selection, bad string) bool {
	same := func(f string) bool { return image.SameTag(e.Image, f) }
	return same(bad) || slices.ContainsFunc(e.Failed, same)
}

// liftOf is what lifts a hold: what it says itself, or the policy where that is stricter.
func liftOf(w *World, h Hold) v1alpha1.LiftMode {
	if h.Lift == v1alpha1.LiftManual {
		return h.Lift
	}
	return w.Policy.Lift
}

func mergedOrNot(now *PullRequest) string {
	if now == nil || now.State != v1alpha1.PullRequestMerged {
		return ""
	}
	return ", merged" + byWhom(now.By)
}
