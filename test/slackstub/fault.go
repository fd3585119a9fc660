package slackstub

import (
	"cmp"
	"net/http"
	"strconv"
	"time"
)

// Cut reports when a connection is cut instead of answered.
type Cut int

// The cuts: before the work is done, and after.
const (
	CutNever Cut = iota
	CutBefore
	CutAfter
)

// Fault is what a method answers instead of what it should.
type Fault struct {
	// Error makes it ok:false, with Needed and Provided for missing_scope.
	Error, Needed, Provided string
	// Status of an answer that is no JSON; 429 goes with RetryAfter.
	Status int
	// RetryAfter is the header of a 429, in full seconds; without the header when zero.
	RetryAfter time.Duration
	// Cut closes the connection.
	Cut Cut
	// Delay comes before anything else, and ends early when the client gives up.
	Delay time.Duration
	// Times it happens; always when zero.
	Times int
	// Skip is how many requests are served well before it happens.
	Skip int
}

// RateLimited is Slack's 429.
func RateLimited(after time.Duration) Fault {
	return Fault{Status: http.StatusTooManyRequests, RetryAfter: after}
}

type fault struct {
	Fault
	method string
}

// Fail makes a method fail from now on, or all methods when it is empty. Later faults come after earlier ones.
func (w *Workspace) Fail(method string, f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, &fault{f, method})
}

// Mend takes all faults away and lets Slack be back.
func (w *Workspace) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults, w.away = nil, false
	w.touch()
}

// Leave makes Slack unreachable until Mend: every request is cut, and so is every connection.
func (w *Workspace) Leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = true
	w.dropAll()
	w.touch()
}

// faultFor takes the first fault that is due. The caller holds the lock.
func (w *Workspace) faultFor(method string) *Fault {
	for i, f := range w.faults {
		if f.method != "" && f.method != method {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		out := f.Fault
		if f.Times == 1 {
			w.faults = append(w.faults[:i:i], w.faults[i+1:]...)
		}
		if f.Times > 1 {
			f.Times--
		}
		return &out
	}
	return nil
}

// before serves what a fault does instead of the work, and reports whether it did.
func (f *Fault) before(rw http.ResponseWriter, req *http.Request) bool {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case f.Cut == CutBefore:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		if f.RetryAfter > 0 {
			rw.Header().Set("Retry-After", strconv.Itoa(int(cmp.Or(f.RetryAfter, time.Second)/time.Second)))
		}
		rw.Header().Set("Content-Type", "text/html")
		rw.WriteHeader(f.Status)
		_, _ = rw.Write([]byte("<html><body>" + http.StatusText(f.Status) + "</body></html>"))
		return true
	case f.Error != "":
		refuse(rw, f.Error, reply{"needed": f.Needed, "provided": f.Provided})
		return true
	}
	return false
}
