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
	mu sync.Mutex
	// began is when all of this began. What is remembered of one of ten thousand is small: times are counted from then.
	began time.Time
	seen  map[types.UID]seenTemplate
}

// moment is how long after all began something was, by a clock that does not jump; zero where it was not.
type moment time.Duration

func (t *templates) moment(now time.Time) moment { return moment(max(now.Sub(t.began), 0) + 1) }

func (m moment) since(before moment) time.Duration { return time.Duration(m - before) }

// seenTemplate is what is remembered of one workload.
type seenTemplate struct {
	hash uint64
	// since is when it was first seen, full when all pods became available, broken when they no longer were; zero where
	// that is not so. settled says that it was well for long enough.
	since, full, broken moment
	settled             bool
	former              trigger.Remembered
}

func newTemplates(now time.Time) *templates {
	return &templates{began: now, seen: map[types.UID]seenTemplate{}}
}

// note takes in what a workload's object says now, and tells whether its template is another one than before.
func (t *templates) note(uid types.UID, hash uint64, full bool, at time.Time) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.moment(at)
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
	case full && s.full == 0:
		s.full, s.broken = now, 0
	case !full && s.broken == 0:
		s.settle(now)
		s.full, s.broken = 0, now
	}
	t.seen[uid] = s
	return changed
}

// settle takes in that it was well until now.
func (s *seenTemplate) settle(now moment) {
	switch {
	case s.full != 0 && now.since(s.full) >= settledFor:
		s.settled = true
	case s.broken != 0 && now.since(s.broken) >= brokenFor:
		s.settled = false
	}
}

// was describes how available it was.
func (s *seenTemplate) was(now moment) v1alpha1.Availability {
	switch {
	case s.settled:
		return v1alpha1.AvailableFully
	case now.since(s.since) < settledFor:
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
	s, ok := t.seen[uid]
	if !ok {
		return time.Time{}
	}
	return t.began.Add(time.Duration(s.since - 1))
}

func (t *templates) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, uid)
}
