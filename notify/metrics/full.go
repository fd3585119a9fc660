package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Full counts what found no room for its Rollback, by namespace: once each, however often it is tried again.
type Full struct {
	// Now is the clock, and Say is called for a namespace once an hour at most.
	Now func() time.Time
	Say func(namespace, image string, most int)

	counter *prometheus.CounterVec
	mu      sync.Mutex
	seen    map[string]map[string]bool
	said    map[string]time.Time
}

const (
	// fullSeen is how many images of one namespace are told apart.
	fullSeen = 1000
	sayAgain = time.Hour
)

// NewFull makes the counter.
func NewFull(now func() time.Time, say func(namespace, image string, most int)) *Full {
	return &Full{Now: now, Say: say, seen: map[string]map[string]bool{}, said: map[string]time.Time{},
		counter: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstop_rollbacks_without_room_total",
			Help: "Failing images for which no Rollback was opened, as their namespace has --max-rollbacks of them.",
		}, []string{"namespace"})}
}

// Tell counts an image of a namespace that has no room for another Rollback.
func (f *Full) Tell(namespace, image string, most int) {
	f.mu.Lock()
	seen := f.seen[namespace]
	if seen == nil || len(seen) >= fullSeen {
		seen = map[string]bool{}
		f.seen[namespace] = seen
	}
	if !seen[image] {
		seen[image] = true
		f.counter.WithLabelValues(namespace).Inc()
	}
	say := !f.Now().Before(f.said[namespace].Add(sayAgain))
	if say {
		f.said[namespace] = f.Now()
	}
	f.mu.Unlock()
	if say {
		f.Say(namespace, image, most)
	}
}

// Describe implements prometheus.Collector.
func (f *Full) Describe(ch chan<- *prometheus.Desc) { f.counter.Describe(ch) }

// Collect implements prometheus.Collector.
func (f *Full) Collect(ch chan<- prometheus.Metric) { f.counter.Collect(ch) }
