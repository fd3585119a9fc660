package kube

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Shared lets callers that ask for the same thing at the same time share one live read. A read serves every caller that
// asked before it began. A later caller gets it only if it began at the time that the caller gives, or after. Hundreds
// of images that fail at once would list the same policies hundreds of times.
//
//	a asks ──► reads ────────┐
//	b, c ask ── wait ────────┴──► one read for both
type Shared[T any] struct {
	// Now is the clock by which a read is new enough.
	Now func() time.Time

	mu   sync.Mutex
	keys map[string]*line[T]
}

// Kept is how long a read is kept for those for whom it is new enough.
const Kept = time.Second

// line is who asks for one thing.
type line[T any] struct {
	// running is held by who reads.
	running chan struct{}
	// next is the read that has not begun yet; nil where nobody waits for one.
	next *reading[T]
	// users count those who asked and have no answer yet.
	users int
	// last is the newest read that succeeded, and began when it did; nil before the first.
	last  *reading[T]
	began time.Time
}

// reading is a read, and its outcome once done is closed.
type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

var errReaderLeft = errors.New("who read for others gave up")

// Do reads, or lets somebody else read who asked for the same; a read that began at since or later will do, where since
// is not zero. What it gives must not be changed.
func (s *Shared[T]) Do(ctx context.Context, key string, since time.Time, read func(context.Context) (T, error),
) (T, error) {
	l, r, mine := s.join(key, since)
	defer s.leave(key, l)
	if !mine {
		select {
		case <-r.done:
		case <-ctx.Done():
			return r.value, ctx.Err()
		}
		if errors.Is(r.err, errReaderLeft) {
			return read(ctx)
		}
		return r.value, r.err
	}
	r.err = errReaderLeft
	defer close(r.done)
	l.running <- struct{}{}
	defer func() { <-l.running }()
	s.mu.Lock()
	l.next = nil
	began := s.Now()
	s.mu.Unlock()
	value, err := read(ctx)
	if ctx.Err() == nil {
		r.value, r.err = value, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.err == nil && !since.IsZero() {
		l.last, l.began = r, began
	}
	return value, err
}

// join finds the read that will do, or the one that is to come, or begins the wait for one.
func (s *Shared[T]) join(key string, since time.Time) (l *line[T], r *reading[T], mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]*line[T]{}
	}
	s.sweep()
	if l = s.keys[key]; l == nil {
		l = &line[T]{running: make(chan struct{}, 1)}
		s.keys[key] = l
	}
	l.users++
	if l.last != nil && !since.IsZero() && !l.began.Before(since) {
		return l, l.last, false
	}
	if mine = l.next == nil; mine {
		l.next = &reading[T]{done: make(chan struct{})}
	}
	return l, l.next, mine
}

func (s *Shared[T]) leave(key string, l *line[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
	s.sweep()
}

// sweep forgets what nobody asks for and nobody may use any more.
func (s *Shared[T]) sweep() {
	now := s.Now()
	for key, l := range s.keys {
		if l.users == 0 && (l.last == nil || now.Sub(l.began) > Kept) {
			delete(s.keys, key)
		}
	}
}
