package watcher

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

const (
	// settledFor is how long all pods of a template must have been available for it to count as one that ran.
	settledFor = time.Minute
	// brokenFor is how long they may be unavailable, as when a node is drained or the workload is scaled, without it
	// counting as one that fails.
	brokenFor = 2 * time.Minute
)

// templates remember of each workload one hash of its template and whether that one was fully available, and of those
// whose template changed the same of the one before. A crash may take all pods of the former template away within
// seconds: then nothing else tells that it was well. A restart forgets.
type templates struct {
	mu   sync.Mutex
	seen map[types.UID]seenTemplate
}

// seenTemplate is what is remembered of one workload.
type seenTemplate struct {
	hash uint64
	// since is when it was first seen, full when all pods became available, broken when they no longer were; zero where
	// that is not so. settled says that it was well for long enough.
	since, full, broken time.Time
	settled             bool
	former              trigger.Remembered
}

func newTemplates() *templates { return &templates{seen: map[types.UID]seenTemplate{}} }

// note takes in what a workload's object says now, and tells whether its template is another one than before.
func (t *templates) note(uid types.UID, hash uint64, full bool, now time.Time) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, known := t.seen[uid]
	switch {
	case !known:
		s = seenTemplate{hash: hash, since: now}
	case s.hash != hash:
		s.settle(now)
		s = seenTemplate{hash: hash, since: now, former: trigger.Remembered{Former: s.hash, FormerWas: s.was(now)}}
		changed = true
	}
	switch {
	case full && s.full.IsZero():
		s.full, s.broken = now, time.Time{}
	case !full && s.broken.IsZero():
		s.settle(now)
		s.full, s.broken = time.Time{}, now
	}
	t.seen[uid] = s
	return changed
}

// settle takes in that it was well until now.
func (s *seenTemplate) settle(now time.Time) {
	switch {
	case !s.full.IsZero() && now.Sub(s.full) >= settledFor:
		s.settled = true
	case !s.broken.IsZero() && now.Sub(s.broken) >= brokenFor:
		s.settled = false
	}
}

// was describes how available it was.
func (s *seenTemplate) was(now time.Time) v1alpha1.Availability {
	switch {
	case s.settled:
		return v1alpha1.AvailableFully
	case now.Sub(s.since) < settledFor:
		return v1alpha1.AvailableUnknown
	}
	return v1alpha1.AvailablePartly
}

// of gives what is remembered of a workload.
func (t *templates) of(uid types.UID) trigger.Remembered {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[uid].former
}

// since is when the present template of a workload was first seen; zero where it was not.
func (t *templates) since(uid types.UID) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[uid].since
}

func (t *templates) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, uid)
}
