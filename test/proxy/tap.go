package proxy

import (
	"net/http"
	"sync"
)

// When is the side of a mutating request on which a hook is called.
type When string

// The two sides.
const (
	// Before anything of the request was forwarded.
	Before When = "before"
	// After the server's whole answer came, and before the client gets any of it.
	After When = "after"
)

// Request is a mutating request as a hook sees it.
type Request struct {
	// N counts from 1 over all proxies of one Tap, in the order of arrival.
	N int
	// Method and Path of the request.
	Method, Path string
}

// Hook is called on both sides of every mutating request. It may block. When it
// returns true the connection is cut: Before, the request is never forwarded;
// After, its answer is never delivered.
type Hook func(Request, When) (cut bool)

// At is a Hook that runs do on one side of request n and then cuts.
func At(n int, when When, do func(Request)) Hook {
	return func(r Request, side When) bool {
		if r.N != n || side != when {
			return false
		}
		do(r)
		return true
	}
}

// Tap numbers mutating requests, and calls a hook for them. The zero value is
// ready; several proxies may share one.
type Tap struct {
	mu   sync.Mutex
	seen []Request
	hook Hook
}

// Hook sets what is called from now on; nil for nothing.
func (t *Tap) Hook(h Hook) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hook = h
}

// Seen lists the mutating requests so far, in the order of arrival.
func (t *Tap) Seen() []Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Request(nil), t.seen...)
}

// number takes down one request.
func (t *Tap) number(r *http.Request) Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	req := Request{N: len(t.seen) + 1, Method: r.Method, Path: r.URL.Path}
	t.seen = append(t.seen, req)
	return req
}

// hooked calls the hook without the lock, for it may take its time.
func (t *Tap) hooked(r Request, when When) bool {
	t.mu.Lock()
	hook := t.hook
	t.mu.Unlock()
	return hook != nil && hook(r, when)
}
