package watcher

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
)

// walks records which keys were walked, and does what do says.
type walks struct {
	mu   sync.Mutex
	keys []string
	do   func(ctx context.Context, key reconcile.Key) (time.Duration, error)
}

func (r *walks) Walk(ctx context.Context, key reconcile.Key) (time.Duration, error) {
	r.mu.Lock()
	r.keys = append(r.keys, key.String())
	r.mu.Unlock()
	if r.do != nil {
		return r.do(ctx, key)
	}
	return 0, nil
}

// since gives what was walked since the last call.
func (r *walks) since() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.keys
	r.keys = nil
	return out
}

// running is a Watcher that runs in a test's bubble, where time passes only when everything waits.
type running struct {
	*Watcher
	stop context.CancelFunc
	done chan error
	log  *logged
}

func run(t *testing.T, s *apiServer, r *walks, opts Options) *running {
	t.Helper()
	out := &running{done: make(chan error, 1), log: &logged{}}
	opts.Log = slog.New(slog.NewTextHandler(out.log, nil))
	if opts.Home == "" {
		opts.Home = "backstop"
	}
	w, err := New(s.clients(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	out.Watcher = w
	var ctx context.Context
	ctx, out.stop = context.WithCancel(t.Context())
	go func() { out.done <- w.Run(ctx, r) }()
	synctest.Wait()
	return out
}

func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func want(t *testing.T, why string, r *walks, keys ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(keys, r.since()); diff != "" {
		t.Errorf("%s: walked (-want +got):\n%s", why, diff)
	}
}

const webKey = "app/" + badImage

// logged keeps what is logged, for a test to read while more is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
