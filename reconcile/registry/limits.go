package registry

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const (
	// limitLasts is how long a registry is left alone that limits this client without saying for how long.
	limitLasts = time.Minute
	// limitLongest bounds what a registry may ask for.
	limitLongest = 15 * time.Minute
	// maxLimits bounds how many registries are remembered.
	maxLimits = 256
)

// limits remembers which registries asked to be left alone.
type limits struct {
	now   func() time.Time
	mu    sync.Mutex
	until map[string]limit
}

type limit struct {
	at    time.Time
	cause v1alpha1.Cause
}

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, until: map[string]limit{}}
}

// note reads an answer of a registry, or of what it redirects to.
func (l *limits) note(host string, resp *http.Response) {
	header := resp.Header.Get("Retry-After")
	cause := v1alpha1.CauseRateLimited
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
	case resp.StatusCode == http.StatusServiceUnavailable && header != "":
		cause = v1alpha1.CauseRegistryUnavailable
	default:
		return
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for h, kept := range l.until {
		if !kept.at.After(now) {
			delete(l.until, h)
		}
	}
	if _, known := l.until[host]; !known && len(l.until) >= maxLimits {
		return
	}
	l.until[host] = limit{at: now.Add(retryAfter(header, now)), cause: cause}
}

// closed is an error while a registry is to be left alone.
func (l *limits) closed(host string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, ok := l.until[host]
	if !ok || !kept.at.After(l.now()) {
		return nil
	}
	return &Error{Cause: kept.cause, Sentence: fmt.Sprintf(
		"%s asked not to be asked again before %s", host, kept.at.UTC().Format("15:04:05 UTC"))}
}

// retryAfter reads the header: seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	after := limitLasts
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, time.Second), limitLongest)
}

// reopens is when a registry may be asked again; zero when it may now.
func (l *limits) reopens(host string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept, ok := l.until[host]; ok && kept.at.After(l.now()) {
		return kept.at
	}
	return time.Time{}
}
