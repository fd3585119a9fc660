package flux

import (
	"context"
	"errors"
	"sync"
)

// shared lets those who ask for the same at the same time share one live read: a read serves all who asked before it
// began, and nobody who asked later. Hundreds of images that fail at once would list the same policies hundreds of
// times.
//
//	a asks ──► reads ────────┐
//	b, c ask ── wait ────────┴──► one read for both
type shared[T any] struct {
	mu   sync.Mutex
	keys map[string]*line[T]
}

// line is who asks for one thing.
type line[T any] struct {
	// running is held by who reads.
	running chan struct{}
	// next is the read that has not begun yet; nil where nobody waits for one.
	next *reading[T]
	// users count those who asked and have no answer yet.
	users int
}

// reading is a read, and its outcome once done is closed.
type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

var errReaderLeft = errors.New("who read for others gave up")

// do reads, or lets somebody else read who asked for the same. What it gives must not be changed.
func (s *shared[T]) do(ctx context.Context, key string, read func(context.Context) (T, error)) (T, error) {
	l, r, mine := s.join(key)
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
	s.mu.Unlock()
	value, err := read(ctx)
	if ctx.Err() == nil {
		r.value, r.err = value, err
	}
	return value, err
}

// join finds the read that is to come, or begins the wait for one.
func (s *shared[T]) join(key string) (l *line[T], r *reading[T], mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]*line[T]{}
	}
	if l = s.keys[key]; l == nil {
		l = &line[T]{running: make(chan struct{}, 1)}
		s.keys[key] = l
	}
	l.users++
	if mine = l.next == nil; mine {
		l.next = &reading[T]{done: make(chan struct{})}
	}
	return l, l.next, mine
}

func (s *shared[T]) leave(key string, l *line[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(s.keys, key)
	}
}
