package reconcile

import (
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// One commit may break hundreds of images at once, whose pods fail within the same seconds. An allowed revert waits for
// those that are on their way, so that one push takes all of them back:
//
//	a ──► verdict ─┐ waits, since b and c come
//	b ───► verdict ┤ waits, since c comes
//	c ────► verdict┴─► one push for a, b and c
//
// A failure that is alone never waits, nor does one beside others that wait themselves: for a person, a registry or the
// end of a long grace period.
const (
	// settleOthers is how long after its verdict a revert waits for others at most, settleSiblings for those that the
	// same commit broke.
	settleOthers, settleSiblings = 5 * time.Second, 30 * time.Second
	// settleLook is how often the first one looks whether the others have come. The rest look more seldom: the last to
	// come, or the first, pushes for all.
	settleLook = 250 * time.Millisecond
	// comesWithin is how old a form without a verdict may be for it to be on its way.
	comesWithin = 3 * time.Minute
	// manyImages is how many other images of a commit a Suspect names: there may be more.
	manyImages = 20
)

// crowd is what the other open forms mean for the push of an allowed one.
type crowd struct {
	// until is when it waits for others no longer; zero where none come.
	until time.Time
	// first says that no other one waits for longer.
	first bool
}

// crowdOf says whom an allowed form waits for.
func crowdOf(form *v1alpha1.Rollback, open []v1alpha1.Rollback, now time.Time) crowd {
	mine := &form.Status
	out := crowd{first: true}
	for i := range open {
		o := &open[i]
		if o.UID == form.UID || o.Status.Suspect != nil && o.Status.Suspect.Source != mine.Suspect.Source {
			continue
		}
		if waitsToPush(&o.Status) && before(o, form) {
			out.first = false
		}
		if !comes(o, now) {
			continue
		}
		until := mine.Verdict.At.Add(settleOthers)
		if mayBeSibling(mine.Suspect, o) {
			until = mine.Verdict.At.Add(settleSiblings)
		}
		if until.After(out.until) {
			out.until = until
		}
	}
	return out
}

// comes says whether a form is on its way to a verdict right now.
func comes(o *v1alpha1.Rollback, now time.Time) bool {
	s := &o.Status
	switch {
	case s.Outcome != nil || s.Verdict != nil || adopting(o):
		return false
	case s.Waiting == nil:
		return now.Sub(o.CreationTimestamp.Time) < comesWithin
	case s.Waiting.Until == nil || s.Target != nil:
		return false
	}
	// A grace period that ends about now.
	rest := s.Waiting.Until.Sub(now)
	return rest < settleOthers && rest > -comesWithin
}

// mayBeSibling says whether the suspect's commit broke the form's image too, as far as is known.
func mayBeSibling(suspect *v1alpha1.Suspect, o *v1alpha1.Rollback) bool {
	if o.Status.Suspect != nil {
		return o.Status.Suspect.Commit == suspect.Commit
	}
	return len(suspect.OtherImages) >= manyImages || slices.Contains(suspect.OtherImages, o.Spec.Image)
}

// waitsToPush says whether a policy allows a revert that was not pushed yet.
func waitsToPush(s *v1alpha1.RollbackStatus) bool {
	return !s.Ended() && s.Change == nil && s.Verdict != nil && s.Verdict.Answer == v1alpha1.Approve &&
		strings.HasPrefix(s.Verdict.By, v1alpha1.ByPolicy)
}

func before(a, b *v1alpha1.Rollback) bool {
	if !a.Status.Verdict.At.Equal(&b.Status.Verdict.At) {
		return a.Status.Verdict.At.Before(&b.Status.Verdict.At)
	}
	return a.UID < b.UID
}

// settle is how long an allowed form waits for others; zero when it is to be pushed. Who has decided by hand waits for
// nobody.
func settle(w *World) time.Duration {
	rest := w.Crowd.until.Sub(w.Now)
	if w.Crowd.until.IsZero() || rest <= 0 || !waitsToPush(&w.Form.Status) {
		return 0
	}
	if w.Crowd.first {
		return min(rest, settleLook)
	}
	return min(rest, lookAgain)
}
