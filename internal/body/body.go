// Package body reads the bodies of requests whose senders are not known yet. A stranger holds no place that somebody
// else has to wait for: who is known sends all of his within a moment.
//
//	a place ── all taken ──► who reads for the longest gives his up
//	   │
//	   ▼
//	whole, in time ──► the body
package body

import (
	"container/list"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// Reader reads bodies for one handler.
type Reader struct {
	// AtOnce is how many are read at a time.
	AtOnce int
	// Most is how many bytes one may have, and Slowest how long it may take to arrive.
	Most    int64
	Slowest time.Duration

	mu sync.Mutex
	// order has what ends the reading of each, the one that came first in front.
	order list.List
}

// Why a body is not read to its end.
var (
	ErrTooLarge = errors.New("the body is too large")
	ErrTooSlow  = errors.New("the body does not arrive in time")
)

// Read reads the body of a request, in a place that is given up when others come.
func (r *Reader) Read(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(r.Slowest))
	leave := r.enter(func() { _ = control.SetReadDeadline(time.Now()) })
	raw, err := io.ReadAll(http.MaxBytesReader(w, req.Body, r.Most))
	leave()
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return nil, ErrTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, ErrTooSlow
	case err != nil:
		return nil, err
	}
	// The next request on the connection has a time of its own.
	_ = control.SetReadDeadline(time.Time{})
	return raw, nil
}

// enter takes a place, the one of who came first where none is free: that reader's end is called. The function that it
// gives leaves the place.
func (r *Reader) enter(end func()) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.order.Len() >= r.AtOnce {
		r.order.Remove(r.order.Front()).(func())()
	}
	place := r.order.PushBack(end)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.order.Remove(place)
	}
}
