package store

import (
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// minRest and maxRest are how long a server that sent too much is left alone, the first time and in the end.
	minRest, maxRest = time.Minute, time.Hour
)

// rest leaves a server alone that sent more than is taken from any: each further time longer, until what it is reached
// by changes.
type rest struct {
	key   string
	until time.Time
	last  time.Duration
	err   error
}

// now gives the fault of which the rest is, while it lasts.
func (r *rest) now(key string, now time.Time) error {
	if r.err == nil || r.key != key || !now.Before(r.until) {
		return nil
	}
	left := r.until.Sub(now).Round(time.Second)
	return &reconcile.RetryAfter{After: r.until.Sub(now), Err: fmt.Errorf("%w (it is left alone for %s)", r.err, left)}
}

// after takes the end of an operation down.
func (r *rest) after(key string, now time.Time, err error) {
	if reconcile.KindOf(err) != reconcile.FaultTooLarge {
		if err == nil {
			*r = rest{}
		}
		return
	}
	if r.key != key {
		*r = rest{key: key}
	}
	r.last = min(max(2*r.last, minRest), maxRest)
	r.until, r.err = now.Add(r.last), err
}
