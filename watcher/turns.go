package watcher

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// keys is the queue of keys, in which those that rest are let wait: hundreds of Rollbacks that only hold any more look
// at their branch whenever it moves, and an image that fails now must not stand behind them.
//
//	Add ──────────► urgent ──┐
//	Rest ─ later ─► resting ─┴─► Get, the urgent ones first
type keys struct {
	workqueue.TypedRateLimitingInterface[reconcile.Key]
	turns *turns[reconcile.Key]

	mu sync.Mutex
	// woken is when something that changed woke a key last, for the keys that were woken since pruned or a moment before.
	woken  map[reconcile.Key]time.Time
	pruned time.Time
}

// wokenLasts is how long it matters when a key was woken: nobody goes by what was read before that.
const wokenLasts = kube.Kept

// wakes notes that something changed that concerns a key.
func (q *keys) wakes(key reconcile.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if now.Sub(q.pruned) > wokenLasts {
		maps.DeleteFunc(q.woken, func(_ reconcile.Key, at time.Time) bool { return now.Sub(at) > wokenLasts })
		q.pruned = now
	}
	q.woken[key] = now
}

// wokenAt is when that was noted last; zero for longer ago than it matters.
func (q *keys) wokenAt(key reconcile.Key) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.woken[key]
}

func newKeys(m *Metrics, tenant func(namespace string) string, least, most time.Duration) *keys {
	t := newTurns(func(k reconcile.Key) string { return tenant(k.Namespace) })
	return &keys{TypedRateLimitingInterface: newQueueOf("rollbacks", m, least, most, t), turns: t,
		woken: map[reconcile.Key]time.Time{}}
}

// newQueueOf makes a queue in which turns say what comes next.
func newQueueOf[K comparable](name string, m *Metrics, least, most time.Duration, t *turns[K],
) workqueue.TypedRateLimitingInterface[K] {
	cfg := queueConfig[K](name, m)
	cfg.DelayingQueue = workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[K]{
		Name: cfg.Name, MetricsProvider: cfg.MetricsProvider,
		Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[K]{
			Name: cfg.Name, MetricsProvider: cfg.MetricsProvider, Queue: t,
		}),
	})
	return newQueueWith(cfg, least, most)
}

// Add enqueues a key at once, before those that rest.
func (q *keys) Add(key reconcile.Key) {
	q.wakes(key)
	q.turns.hurry(key)
	q.TypedRateLimitingInterface.Add(key)
}

// Rest enqueues a key after a time, behind those that do not rest.
func (q *keys) Rest(key reconcile.Key, after time.Duration) {
	q.turns.rest(key)
	q.AddAfter(key, after)
}

// turns are whose turn it is: the tenants one after the other, as long as they have places left. It implements
// workqueue.Queue, whose methods are called under the queue's own lock.
type turns[K comparable] struct {
	// tenant is whose an item is: its namespace where nothing says more. That may change while it is worked on.
	tenant func(K) string
	// workers are the places; 8 when zero.
	workers int

	mu sync.Mutex
	// calm are the items that rest.
	calm            map[K]struct{}
	urgent, resting lane[K]
	// taken are the items that are worked on, and of which tenant each was when that began: it may begin again a moment
	// before it has ended. at counts them, of each tenant; quick and slow count them all.
	taken       map[K][]string
	at          map[string]int
	quick, slow int
	// slowIn counts the slow ones of a tenant. waited says that its last one was slow.
	slowIn map[string]int
	waited map[string]bool
	// present counts the workers.
	present int
}

func newTurns[K comparable](tenant func(K) string) *turns[K] {
	return &turns[K]{
		tenant: tenant, calm: map[K]struct{}{}, taken: map[K][]string{}, at: map[string]int{}, slowIn: map[string]int{},
		waited: map[string]bool{},
	}
}

func (t *turns[K]) places() int {
	if t.workers > 0 {
		return t.workers
	}
	return 8
}

// free reports whether an item of a tenant may be begun.
func (t *turns[K]) free(tenant string) bool {
	share := t.places()
	switch slow := t.waited[tenant] || t.slowIn[tenant] > 0; {
	case slow && t.slow >= mostSlow/2:
		// Nobody may have said that many namespaces are one tenant's: what is left is for those that did not wait yet.
		share = 1
	case slow:
		share = max(1, share/2)
	}
	return t.quick < t.places() && t.at[tenant] < share
}

func (t *turns[K]) hurry(item K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calm, item)
}

func (t *turns[K]) rest(item K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calm[item] = struct{}{}
}

// Touch lets an item that is queued already go first, where it rests no longer.
func (t *turns[K]) Touch(item K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, calm := t.calm[item]; !calm && t.resting.remove(item) {
		t.urgent.push(t.tenant(item), item)
	}
}

// Push enqueues an item.
func (t *turns[K]) Push(item K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, calm := t.calm[item]; calm {
		t.resting.push(t.tenant(item), item)
		return
	}
	t.urgent.push(t.tenant(item), item)
}

// Len counts the items that may be begun.
func (t *turns[K]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.urgent.count(t.free) + t.resting.count(t.free)
}

// Pop takes the next item, of which there is one, and its place.
func (t *turns[K]) Pop() K {
	t.mu.Lock()
	defer t.mu.Unlock()
	item, ok := t.urgent.pop(t.free)
	if !ok {
		item, ok = t.resting.pop(t.free)
	}
	if !ok {
		// A tenant became slow since its items were counted.
		any := func(string) bool { return true }
		if item, ok = t.urgent.pop(any); !ok {
			item, _ = t.resting.pop(any)
		}
	}
	delete(t.calm, item)
	of := t.tenant(item)
	t.taken[item] = append(t.taken[item], of)
	t.at[of]++
	t.quick++
	return item
}

// whose is of which tenant an item was when it began.
func (t *turns[K]) whose(item K) string {
	if taken := t.taken[item]; len(taken) > 0 {
		return taken[0]
	}
	return t.tenant(item)
}

// slowed gives the place of an item to another one, and reports whether another worker is needed for that.
func (t *turns[K]) slowed(item K) (slow, another bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slow >= mostSlow {
		return false, false
	}
	t.slow++
	t.quick--
	t.slowIn[t.whose(item)]++
	return true, t.present < t.places()+2*mostSlow
}

// ended gives the place of an item back, and reports whether there are workers enough without this one.
func (t *turns[K]) ended(item K, slow bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.whose(item)
	if len(t.taken[item]) > 1 {
		t.taken[item] = t.taken[item][1:]
	} else {
		delete(t.taken, item)
	}
	less(t.at, of)
	if slow {
		t.slow--
		less(t.slowIn, of)
		t.waited[of] = true
	} else {
		t.quick--
		delete(t.waited, of)
	}
	// Nobody else is woken for the place that is free now.
	return t.present > t.places()+t.slow && t.urgent.count(t.free)+t.resting.count(t.free) == 0
}

func (t *turns[K]) came() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.present++
}

func (t *turns[K]) left() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.present--
}

func less(counts map[string]int, of string) {
	if counts[of]--; counts[of] <= 0 {
		delete(counts, of)
	}
}

// lane is items in the order in which they came, one of each tenant after the other.
type lane[K comparable] struct {
	order []string
	items map[string][]K
}

func (l *lane[K]) push(tenant string, item K) {
	if l.items == nil {
		l.items = map[string][]K{}
	}
	if len(l.items[tenant]) == 0 {
		l.order = append(l.order, tenant)
	}
	l.items[tenant] = append(l.items[tenant], item)
}

func (l *lane[K]) count(free func(string) bool) int {
	n := 0
	for _, tenant := range l.order {
		if free(tenant) {
			n += len(l.items[tenant])
		}
	}
	return n
}

func (l *lane[K]) pop(free func(string) bool) (item K, ok bool) {
	i := slices.IndexFunc(l.order, free)
	if i < 0 {
		return item, false
	}
	tenant := l.order[i]
	item = l.items[tenant][0]
	l.items[tenant] = l.items[tenant][1:]
	l.order = slices.Delete(l.order, i, i+1)
	if len(l.items[tenant]) > 0 {
		l.order = append(l.order, tenant)
	} else {
		delete(l.items, tenant)
	}
	return item, true
}

func (l *lane[K]) remove(item K) bool {
	for tenant, items := range l.items {
		i := slices.Index(items, item)
		if i < 0 {
			continue
		}
		if l.items[tenant] = slices.Delete(items, i, i+1); len(l.items[tenant]) == 0 {
			delete(l.items, tenant)
			l.order = slices.DeleteFunc(l.order, func(n string) bool { return n == tenant })
		}
		return true
	}
	return false
}

// newQueue makes a queue whose back-off for one item goes from least to most.
func newQueue[T comparable](name string, m *Metrics, least, most time.Duration,
) workqueue.TypedRateLimitingInterface[T] {
	return newQueueWith(queueConfig[T](name, m), least, most)
}

func newQueueWith[T comparable](cfg workqueue.TypedRateLimitingQueueConfig[T], least, most time.Duration,
) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](least, most), cfg)
}

func queueConfig[T comparable](name string, m *Metrics) workqueue.TypedRateLimitingQueueConfig[T] {
	cfg := workqueue.TypedRateLimitingQueueConfig[T]{Name: name}
	if m != nil {
		cfg.MetricsProvider = queueMetrics{m}
	}
	return cfg
}

// mostSlow bounds the items that are worked on beyond the workers, because they wait for somebody.
const mostSlow = 64
