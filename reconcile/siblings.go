package reconcile

import (
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// One commit may break hundreds of images at once, whose pods fail within the same seconds. An allowed revert waits for
// those that are on their way, so that one push reverts all of them:
//
//	a ──► verdict ─┐ waits, since b and c come
//	b ───► verdict ┤ waits, since c comes
//	c ────► verdict┴─► one push for a, b and c
//
// A failure that is alone never waits, nor does one beside others that wait themselves: for a person, a registry or the
// end of a long grace period. Where nothing new fails and nothing new is allowed, nobody waits any longer: whoever
// comes later has a push of their own, which costs the budget nothing where the commit is the same.
const (
	// othersWithin is how long after the first verdict of them all a revert waits for others at most: the first one may
	// not get a turn while many come, and then whoever is allowed next pushes for all. settleQuiet is how long after the
	// last of them moved.
	othersWithin, quietAfter = 4 * time.Second, 2 * time.Second
	// doublings is how often settleOthers doubles: once for each push of the last stormLasts. On a machine that takes
	// long to look at hundreds, a push every few seconds has Flux begin anew each time.
	doublings  = 2
	stormLasts = time.Minute
	// othersLook is how often the first one looks whether the others have come. The rest look more seldom: the last to
	// come, or the first, pushes for all.
	othersLook = 250 * time.Millisecond
	// comesWithin is how old a Rollback without a verdict may be for it to be on its way.
	comesWithin = 3 * time.Minute
	// waitsWithin is how old a verdict may be for its Rollback to wait for others: one that waits longer waits for its
	// cooldown, the budget or the Git server.
	waitsWithin = 30 * time.Second
)

// siblingsOf reports whom an allowed Rollback waits for, after pushes of others. served reports whose revert is on the
// branch already: they wait for nothing any more, although their record does not say so yet.
func siblingsOf(rb *v1alpha1.Rollback, open []v1alpha1.Rollback, now time.Time, pushes int,
	served func(*v1alpha1.Rollback) bool) siblings {
	mine := &rb.Status
	out := siblings{first: true}
	began, moved, come := mine.Verdict.At.Time, mine.Verdict.At.Time, false
	for i := range open {
		o := &open[i]
		if o.UID == rb.UID || o.Status.Suspect != nil && o.Status.Suspect.Source != mine.Suspect.Source {
			continue
		}
		if waitsToPush(&o.Status) && !served(o) {
			out.first = out.first && !before(o, rb)
			at := o.Status.Verdict.At.Time
			moved = later(moved, at)
			if at.Before(began) && now.Sub(at) < waitsWithin {
				began = at
			}
		}
		if comes(o, now) {
			come, moved = true, later(moved, moves(o))
		}
	}
	if come {
		out.until = began.Add(othersWithin << min(pushes, doublings))
		if quiet := moved.Add(quietAfter); quiet.Before(out.until) {
			out.until = quiet
		}
	}
	return out
}

// pushes counts the pushes of this cluster's reverts within the last stormLasts.
func pushes(w *World) int {
	n := 0
	for _, t := range w.Branch.Commits {
		if t.Kind == TrailerRevert && sameCluster(w.Cluster, t) && w.Now.Sub(t.When) < stormLasts {
			n++
		}
	}
	return n
}

// served reports whose revert the branch carries.
func served(w *World) func(*v1alpha1.Rollback) bool {
	on := map[string]bool{}
	for _, t := range w.Branch.Commits {
		if t.Kind == TrailerRevert && sameCluster(w.Cluster, t) {
			for _, name := range t.Rollbacks {
				on[name] = true
			}
		}
	}
	cluster, _, _ := strings.Cut(w.Self, "/")
	return func(o *v1alpha1.Rollback) bool { return on[cluster+"/"+o.Namespace+"/"+o.Name] }
}

// moves is the last time at which an open record made progress, or will: it was opened, its newest failure was seen,
// its grace period ends, its target was found.
func moves(o *v1alpha1.Rollback) time.Time {
	s := &o.Status
	at := o.CreationTimestamp.Time
	for _, f := range s.Failures {
		at = later(at, f.Since.Time)
	}
	if s.Waiting != nil && s.Waiting.Until != nil {
		at = later(at, s.Waiting.Until.Time)
	}
	if s.Target != nil {
		at = later(at, s.Target.At.Time)
	}
	return at
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// comes reports whether a Rollback is on its way to a verdict right now.
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
	return rest < othersWithin && rest > -comesWithin
}

// waitsToPush reports whether a policy allows a revert that was not pushed yet.
func waitsToPush(s *v1alpha1.RollbackStatus) bool {
	return !s.Ended() && s.Change == nil && s.PullRequest == nil && s.Verdict != nil &&
		s.Verdict.Answer == v1alpha1.Approve &&
		s.Verdict.Source == v1alpha1.VerdictByPolicy
}

func before(a, b *v1alpha1.Rollback) bool {
	if !a.Status.Verdict.At.Equal(&b.Status.Verdict.At) {
		return a.Status.Verdict.At.Before(&b.Status.Verdict.At)
	}
	return a.UID < b.UID
}

// waitsForOthers is how long an allowed Rollback waits for others; zero when it is to be pushed. Who has decided by
// hand waits for nobody.
func waitsForOthers(w *World) time.Duration {
	rest := w.Siblings.until.Sub(w.Now)
	if w.Siblings.until.IsZero() || rest <= 0 || !waitsToPush(&w.Rollback.Status) {
		return 0
	}
	if w.Siblings.first {
		return min(rest, othersLook)
	}
	return min(rest, lookAgain)
}
