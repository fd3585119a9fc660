package clicks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts clicks and watches over connections. It is a prometheus.Collector.
type Metrics struct {
	clicks      *prometheus.CounterVec
	seconds     prometheus.Histogram
	refused     *prometheus.CounterVec
	ignored     *prometheus.CounterVec
	connections *prometheus.GaugeVec
	heard       *prometheus.GaugeVec
	ended       *prometheus.CounterVec
}

// NewMetrics makes the metrics.
func NewMetrics() *Metrics {
	const ns, sub = "backstop", "slack"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		opts := prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}
		return prometheus.NewGaugeVec(opts, []string{"provider"})
	}
	return &Metrics{
		clicks: counter("clicks_total", "Presses of buttons, by what became of them.", "result"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "click_duration_seconds",
			Help:    "Seconds from the arrival of a press to its answer, the record included.",
			Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2},
		}),
		refused:     counter("http_refused_total", "Interactivity requests that were refused, by reason.", "reason"),
		ignored:     counter("envelopes_ignored_total", "Socket Mode messages that are none of Backstop's, by type.", "type"),
		connections: gauge("connections", "Open Socket Mode connections."),
		heard:       gauge("last_heard_timestamp_seconds", "When Slack, which pings every few seconds, was last heard."),
		ended:       counter("connections_ended_total", "Socket Mode connections that ended.", "provider"),
	}
}

func (m *Metrics) each(f func(prometheus.Collector)) {
	for _, c := range []prometheus.Collector{m.clicks, m.seconds, m.refused, m.ignored, m.connections, m.heard, m.ended} {
		f(c)
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.each(func(c prometheus.Collector) { c.Describe(ch) })
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.each(func(c prometheus.Collector) { c.Collect(ch) })
}

func (m *Metrics) click(r Result, took time.Duration) {
	m.clicks.WithLabelValues(string(r)).Inc()
	if r != Viewed && r != Unknown && r != Unreadable {
		m.seconds.Observe(took.Seconds())
	}
}

// leave forgets a provider that is heard no more.
func (m *Metrics) leave(provider string) {
	m.connections.DeleteLabelValues(provider)
	m.heard.DeleteLabelValues(provider)
	m.ended.DeleteLabelValues(provider)
}
