package watcher

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
)

// trouble says once why a kind cannot be watched, however often the reflector tries again, and once that it can
// be watched again.
type trouble struct {
	log      *slog.Logger
	kind     string
	optional bool
	metrics  *Metrics
	now      func() time.Time
	said     atomic.Pointer[string]
	// since is when it began, in Unix seconds.
	since atomic.Int64
}

// The reasons why a kind cannot be watched.
const (
	whyMissing   = "the kind is not installed"
	whyForbidden = "Backstop may not watch it: a Role is missing"
	whyFailing   = "the API server does not answer"
)

// watch handles what a reflector meets.
func (t *trouble) watch(ctx context.Context, _ *cache.Reflector, err error) {
	why := whyFailing
	switch {
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), errors.Is(err, io.EOF),
		errors.Is(err, context.Canceled):
		// The watch ended as watches do, and is begun again.
		return
	case apierrors.IsNotFound(err):
		why = whyMissing
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		why = whyForbidden
	}
	if t.metrics != nil && (why != whyMissing || !t.optional) {
		t.metrics.watchErrors.WithLabelValues(t.kind).Inc()
	}
	before := t.said.Swap(&why)
	if before == nil {
		t.since.Store(t.now().Unix())
	}
	if before != nil && *before == why {
		return
	}
	level := slog.LevelWarn
	if t.optional && why == whyMissing {
		level = slog.LevelInfo
	}
	t.log.Log(ctx, level, "a kind cannot be watched, trying on", "kind", t.kind, "why", why, "error", err)
}

// brokenAfter is how long a watch may fail before the sidecar is not ready: an API server that restarts takes less.
const brokenAfter = time.Minute

// broken reports for how long a kind that must be there has not been watched.
func (t *trouble) broken() (string, bool) {
	why := t.said.Load()
	if why == nil || t.optional && *why == whyMissing || t.now().Unix()-t.since.Load() < int64(brokenAfter/time.Second) {
		return "", false
	}
	return *why, true
}

// arrived wraps a transform, which every object that is watched goes through.
func (t *trouble) arrived(strip cache.TransformFunc) cache.TransformFunc {
	return func(obj any) (any, error) {
		if t.said.Load() != nil && t.said.Swap(nil) != nil {
			t.log.Info("a kind can be watched again", "kind", t.kind)
		}
		return strip(obj)
	}
}
