package registrystub

import (
	"fmt"
	"net/http"
	"strings"
)

// Fault is what a registry answers instead of what it should. The zero value is an empty answer with status 200.
type Fault struct {
	// Status of the answer; 200 when zero.
	Status int
	// Header is added to the answer.
	Header map[string]string
	// Body of the answer.
	Body string
	// Hang never answers.
	Hang bool
	// Cut closes the connection instead of answering; with a Body after half of it.
	Cut bool
	// Endless goes on with the body for as long as the client reads.
	Endless bool
	// Times it happens; always when zero.
	Times int
	// After is how many matching requests are served well before it happens.
	After int
}

// Status is a fault with a registry's error in JSON.
func Status(code int) Fault {
	return Fault{
		Status: code,
		Header: map[string]string{"Content-Type": "application/json"},
		Body:   fmt.Sprintf(`{"errors":[{"code":"STUB","message":%q}]}`, http.StatusText(code)),
	}
}

// Hidden is how many registries answer for what they do not show to a client: as if it did not exist.
func Hidden() Fault {
	f := Status(http.StatusNotFound)
	f.Body = `{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}`
	return f
}

// TooMany is a rate limit; after is the value of Retry-After, without the header when empty.
func TooMany(after string) Fault {
	f := Status(http.StatusTooManyRequests)
	if after != "" {
		f.Header["Retry-After"] = after
	}
	return f
}

// HTML is the page of something that is no registry, with status 200.
func HTML() Fault {
	return Fault{Header: map[string]string{"Content-Type": "text/html"}, Body: "<html><body>Please log in</body></html>"}
}

// Redirect sends the client elsewhere.
func Redirect(to string) Fault {
	return Fault{Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": to}}
}

type fault struct {
	Fault
	method, prefix string
	seen           int
}

// Fail makes requests fail from now on. where is a prefix of the path, with or without a method before it, such as
// "/v2/app/" or "HEAD /v2/app/manifests/v1". The newest fault that fits counts. stop ends it.
func (r *Registry) Fail(where string, f Fault) (stop func()) {
	method, prefix, ok := strings.Cut(where, " ")
	if !ok {
		method, prefix = "", where
	}
	added := &fault{Fault: f, method: method, prefix: prefix}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, added)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, f := range r.faults {
			if f == added {
				r.faults = append(r.faults[:i], r.faults[i+1:]...)
				return
			}
		}
	}
}

// Heal ends every fault.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// faultFor finds the fault of a request. The caller holds the lock.
func (r *Registry) faultFor(req *http.Request) *fault {
	for i := len(r.faults) - 1; i >= 0; i-- {
		f := r.faults[i]
		if (f.method != "" && f.method != req.Method) || !strings.HasPrefix(req.URL.Path, f.prefix) {
			continue
		}
		f.seen++
		if f.seen <= f.After || (f.Times > 0 && f.seen > f.After+f.Times) {
			continue
		}
		return f
	}
	return nil
}

func (f *fault) serve(w http.ResponseWriter, req *http.Request, closed <-chan struct{}) {
	if f.Hang {
		select {
		case <-req.Context().Done():
		case <-closed:
		}
		panic(http.ErrAbortHandler)
	}
	if f.Cut && f.Body == "" {
		panic(http.ErrAbortHandler)
	}
	for k, v := range f.Header {
		w.Header().Set(k, v)
	}
	body := f.Body
	if f.Cut {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		body = body[:len(body)/2]
	}
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	if req.Method == http.MethodHead {
		return
	}
	_, err := w.Write([]byte(body))
	for f.Endless && err == nil && req.Context().Err() == nil {
		_, err = w.Write(make([]byte, 64<<10))
	}
	if f.Cut {
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	}
}
