package watcher

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"

	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// Metrics are the collectors of the queues and their workers. Register them where the other metrics are; they are
// no global.
//
//	backstop_queue_depth                     keys that wait for a worker
//	backstop_queue_adds_total                keys that were enqueued
//	backstop_queue_later_total               keys put off: by a timer, or by back-off after an error
//	backstop_queue_wait_seconds              from enqueued to taken
//	backstop_queue_work_seconds              from taken to done: one walk
//	backstop_queue_unfinished_seconds        what the walks that still run took so far, together
//	backstop_queue_longest_running_seconds   what the longest of them took so far
//	backstop_panics_total                    walks that panicked
//	backstop_watch_errors_total              failures to watch a kind, by kind
//
// The label queue tells apart "rollbacks" (keys being walked) and "pods" (pods whose owner is being read).
type Metrics struct {
	depth, unfinished, longest *prometheus.GaugeVec
	adds, later, panics        *prometheus.CounterVec
	wait, work                 *prometheus.HistogramVec
	watchErrors                *prometheus.CounterVec
}

// NewMetrics makes the collectors.
func NewMetrics() *Metrics {
	label := []string{"queue"}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "backstop_" + name, Help: help}, label)
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "backstop_" + name, Help: help}, label)
	}
	seconds := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "backstop_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, label)
	}
	m := &Metrics{
		depth:      gauge("queue_depth", "Keys that wait for a worker."),
		unfinished: gauge("queue_unfinished_seconds", "What the walks that still run took so far, together."),
		longest:    gauge("queue_longest_running_seconds", "What the longest walk that still runs took so far."),
		adds:       counter("queue_adds_total", "Keys that were enqueued."),
		later:      counter("queue_later_total", "Keys put off: by a timer, or by back-off after an error."),
		panics:     counter("panics_total", "Walks that panicked and were tried again."),
		wait:       seconds("queue_wait_seconds", "From enqueued to taken by a worker."),
		work:       seconds("queue_work_seconds", "From taken by a worker to done."),
		watchErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstop_watch_errors_total", Help: "Failures to watch a kind, by kind.",
		}, []string{"kind"}),
	}
	// What alerts look at begins at zero: of a counter that begins at one the first increase is not seen.
	m.panics.WithLabelValues("rollbacks")
	for _, kind := range watchedKinds() {
		m.watchErrors.WithLabelValues(kind)
	}
	return m
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.depth, m.unfinished, m.longest, m.adds, m.later, m.panics, m.wait, m.work,
		m.watchErrors}
}

// Describe is prometheus.Collector's.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect is prometheus.Collector's.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

// queueMetrics gives a workqueue its metrics, as it asks for them.
type queueMetrics struct{ *Metrics }

func (m queueMetrics) NewDepthMetric(name string) workqueue.GaugeMetric {
	return m.depth.WithLabelValues(name)
}

func (m queueMetrics) NewAddsMetric(name string) workqueue.CounterMetric {
	return m.adds.WithLabelValues(name)
}

func (m queueMetrics) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return m.wait.WithLabelValues(name)
}

func (m queueMetrics) NewWorkDurationMetric(name string) workqueue.HistogramMetric {
	return m.work.WithLabelValues(name)
}

func (m queueMetrics) NewUnfinishedWorkSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return m.unfinished.WithLabelValues(name)
}

func (m queueMetrics) NewLongestRunningProcessorSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return m.longest.WithLabelValues(name)
}

func (m queueMetrics) NewRetriesMetric(name string) workqueue.CounterMetric {
	return m.later.WithLabelValues(name)
}

// watchedKinds are all kinds that are watched.
func watchedKinds() []string {
	return []string{
		kindPod, kindEvent, kindJobEvent, "Deployment", "StatefulSet", "DaemonSet", kindCronJob, kindNamespace, kindRollback,
		kindRollbackPolicy,
		kindImagePolicy, "ImageUpdateAutomation", "GitRepository", "Kustomization", "HelmRelease",
		trigger.Flagger.Kind, trigger.Argo.Kind,
	}
}

const (
	kindEvent = "Event"
	// backOffSelector asks for the events that a kubelet writes when it lets a container wait before it starts it again.
	backOffSelector = "involvedObject.kind=Pod,reason=BackOff,type=Warning"
)

const (
	kindJobEvent = "JobEvent"
	// failedJobSelector asks for what a Job's controller warns of. The Job itself reports whether it has failed.
	failedJobSelector = "involvedObject.kind=Job,type=Warning"
)
