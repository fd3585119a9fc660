package deliver

import (
	"context"
	"time"
)

const (
	// soonTries is how often a server is asked that learns of what was pushed a moment after the push, and soonFirst how
	// long is waited after the first time; each further pause is longer by as much.
	soonTries = 5
	soonFirst = 200 * time.Millisecond
)

// soon asks until an answer is there, for a moment. It says false where none came.
func soon(ctx context.Context, first time.Duration, there func() (bool, error)) (bool, error) {
	for try := range soonTries {
		if ok, err := there(); ok || err != nil {
			return ok, err
		}
		if try == soonTries-1 {
			break
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(time.Duration(try+1) * first):
		}
	}
	return false, nil
}

// learned does something with what was pushed a moment ago, and again while the server does not know of that yet.
func learned[T any](ctx context.Context, do func() (T, error), unknown func(error) bool) (out T, err error) {
	_, _ = soon(ctx, soonFirst, func() (bool, error) {
		out, err = do()
		return !unknown(err), nil
	})
	return out, err
}
