package reconcile

import "time"

// glance is what a walk may look at more than once. Whatever changes after a look wakes the key again, so that nothing
// is missed by it; what is pushed is read live by the push itself.
//
//	walk begins ──► failures ──► suspect ──► target ──► verdict ──► change
//	                └──── one look at the pods ────────┘ └─ live ─┘  └ live
type glance struct {
	// since is when a read may have begun at the earliest.
	since time.Time
	// sighting is what the pods said at seen; nil where they are to be asked.
	sighting *Sighting
	seen     time.Time
}

// lasts is how old a look may be within a walk.
const lasts = time.Second

// at moves on to a time: what is older than lasts is forgotten.
func (g *glance) at(now time.Time) {
	if oldest := now.Add(-lasts); g.since.Before(oldest) {
		g.since = oldest
	}
	if now.Sub(g.seen) > lasts {
		g.sighting = nil
	}
	if g.sighting == nil {
		g.seen = now
	}
}

// pods is what the pods say, or said a moment ago.
func (g *glance) pods(read func() (Sighting, error)) (Sighting, error) {
	if g.sighting != nil {
		return *g.sighting, nil
	}
	s, err := read()
	if err == nil {
		g.sighting = &s
	}
	return s, err
}

// took forgets what a step may have changed, and all that an allowed revert goes by: only steps that do nothing but
// look leave the sighting as it is. After an error the world is not what was looked at.
func (g *glance) took(do Effect, now time.Time, err error) {
	switch {
	case err != nil:
		*g = glance{since: now}
	case do != DoFailures && do != DoSuspect:
		g.sighting = nil
	}
}
