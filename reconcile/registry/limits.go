package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// limitLasts is how long a registry is left alone that limits this client without saying for how long.
	limitLasts = time.Minute
	// limitLongest bounds what a registry may ask for.
	limitLongest = 15 * time.Minute
	// maxLimits bounds how many registries are remembered.
	maxLimits = 256
)

// limits remembers which registries asked to be left alone, by the way on which they were asked and by who asked:
// whoever chooses a proxy or a CA answers in a registry's place, and an account that is used up is that account's.
type limits struct {
	now   func() time.Time
	mu    sync.Mutex
	until map[string]limit
}

type limit struct {
	at    time.Time
	cause v1alpha1.Cause
	host  string
}

// asker is a way to a registry, and who asks on it.
type asker struct{ host, key string }

func askerOf(t target, access reconcile.Access, c credential) asker {
	h := sha256.New()
	add(h, t.host())
	access.DockerConfigs, access.Next = nil, nil
	addAccess(h, access)
	c.addTo(h)
	return asker{host: t.host(), key: hex.EncodeToString(h.Sum(nil))}
}

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, until: map[string]limit{}}
}

// note reads an answer of a registry, or of what it redirects to.
func (l *limits) note(a asker, resp *http.Response) {
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
	if _, known := l.until[a.key]; !known && len(l.until) >= maxLimits {
		l.makeRoom()
	}
	l.until[a.key] = limit{at: now.Add(retryAfter(header, now)), cause: cause, host: a.host}
}

// makeRoom forgets who asked to be left alone for the longest: whoever answers for many hosts would have none of the
// others' wishes remembered.
func (l *limits) makeRoom() {
	longest, last := "", time.Time{}
	for key, kept := range l.until {
		if kept.at.After(last) {
			longest, last = key, kept.at
		}
	}
	delete(l.until, longest)
}

// closed is an error while a registry is to be left alone.
func (l *limits) closed(a asker) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, ok := l.until[a.key]
	if !ok || !kept.at.After(l.now()) {
		return nil
	}
	return &Error{Cause: kept.cause, Sentence: fmt.Sprintf(
		"%s asked not to be asked again before %s", a.host, kept.at.UTC().Format("15:04:05 UTC"))}
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
	var last time.Time
	for _, kept := range l.until {
		if kept.host == host && kept.at.After(l.now()) && kept.at.After(last) {
			last = kept.at
		}
	}
	return last
}
