package watcher

import (
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/backstop-dev/backstop/reconcile"
)

// keys is the queue of keys, in which those that rest are let wait: hundreds of Rollbacks that only hold any more look
// at their branch whenever it moves, and an image that fails now must not stand behind them.
//
//	Add ──────────► urgent ──┐
//	Rest ─ later ─► resting ─┴─► Get, the urgent ones first
type keys struct {
	workqueue.TypedRateLimitingInterface[reconcile.Key]
	turns *turns
}

func newKeys(m *Metrics, least, most time.Duration) *keys {
	t := &turns{calm: map[reconcile.Key]struct{}{}}
	cfg := queueConfig[reconcile.Key]("rollbacks", m)
	cfg.DelayingQueue = workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[reconcile.Key]{
		Name: cfg.Name, MetricsProvider: cfg.MetricsProvider,
		Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[reconcile.Key]{
			Name: cfg.Name, MetricsProvider: cfg.MetricsProvider, Queue: t,
		}),
	})
	return &keys{TypedRateLimitingInterface: newQueueWith(cfg, least, most), turns: t}
}

// Add enqueues a key at once, before those that rest.
func (q *keys) Add(key reconcile.Key) {
	q.turns.hurry(key)
	q.TypedRateLimitingInterface.Add(key)
}

// Rest enqueues a key after a time, behind those that do not rest.
func (q *keys) Rest(key reconcile.Key, after time.Duration) {
	q.turns.rest(key)
	q.AddAfter(key, after)
}

// turns are whose turn it is. It implements workqueue.Queue, whose methods are called under the queue's own lock.
type turns struct {
	mu sync.Mutex
	// calm are the keys that rest.
	calm            map[reconcile.Key]struct{}
	urgent, resting []reconcile.Key
}

func (t *turns) hurry(key reconcile.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calm, key)
}

func (t *turns) rest(key reconcile.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calm[key] = struct{}{}
}

// Touch lets a key that is queued already go first, where it rests no longer.
func (t *turns) Touch(key reconcile.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.resting, key)
	if _, calm := t.calm[key]; !calm && i >= 0 {
		t.resting = slices.Delete(t.resting, i, i+1)
		t.urgent = append(t.urgent, key)
	}
}

// Push enqueues a key.
func (t *turns) Push(key reconcile.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, calm := t.calm[key]; calm {
		t.resting = append(t.resting, key)
		return
	}
	t.urgent = append(t.urgent, key)
}

// Len counts the keys.
func (t *turns) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.urgent) + len(t.resting)
}

// Pop takes the next key, of which there is one.
func (t *turns) Pop() reconcile.Key {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := &t.urgent
	if len(*from) == 0 {
		from = &t.resting
	}
	key := (*from)[0]
	*from = (*from)[1:]
	delete(t.calm, key)
	return key
}
