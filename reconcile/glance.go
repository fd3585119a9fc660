package reconcile

import (
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// glance is what a walk may look at more than once. Whatever changes after a look wakes the key again, so that nothing
// is missed by it; what is pushed is read live by the push itself.
//
//	walk begins ──► failures ──► suspect ──► target ──► verdict ──► change ──► landed
//	                └──── one look at the pods ────────┘ └── another, what is pushed is asked live ──┘
type glance struct {
	// since is when a read may have begun at the earliest.
	since time.Time
	// seen is what the triggers saw at a time; nil where they are to look.
	seen map[v1alpha1.TriggerType]Observation
	time time.Time
	// carried is what the walk has filled in and not saved.
	carried carried
}

// looksLast is how old a look may be within a walk.
const looksLast = time.Second

// woken is when what a walk looks at may have been read at the earliest: a moment ago, and after what woke it. Hundreds
// that fail together wait for their turns, and share what was read meanwhile.
func (e *Engine) woken(key Key) time.Time {
	if e.Woken == nil {
		return e.Now()
	}
	return later(e.Now().Add(-looksLast), e.Woken(key))
}

// at moves on to a time: what is older than looksLast is forgotten.
func (g *glance) at(now time.Time) {
	if oldest := now.Add(-looksLast); g.since.Before(oldest) {
		g.since = oldest
	}
	if now.Sub(g.time) > looksLast {
		g.seen = nil
	}
	if g.seen == nil {
		g.time = now
	}
}

// look is what the triggers see, or saw a moment ago.
func (g *glance) look(read func() (map[v1alpha1.TriggerType]Observation, error),
) (map[v1alpha1.TriggerType]Observation, error) {
	if g.seen != nil {
		return g.seen, nil
	}
	s, err := read()
	if err == nil {
		g.seen = s
	}
	return s, err
}

// took forgets what a step may have changed, and what the verdict goes by: that is decided on a look of its own.
// After an error the world is not what was looked at.
func (g *glance) took(do Effect, now time.Time, err error) {
	switch {
	case err != nil:
		*g = glance{since: now}
	case !looksOn(do):
		g.seen = nil
	}
}

// looksOn reports whether what the triggers saw still goes for a step after this one: it changed nothing in the
// cluster, and nothing that follows it goes by what is seen.
func looksOn(do Effect) bool {
	switch do {
	case DoFailures, DoSuspect, DoVerdict, DoChange, DoAdopt, DoLanded, DoRequest:
		return true
	default:
		return false
	}
}

// carried is what a walk has filled in and not saved.
type carried struct {
	// Rollback has it, saved is the Rollback as the API server has it.
	form, saved *v1alpha1.Rollback
}
