package slack

import "github.com/prometheus/client_golang/prometheus"

// Metrics count calls of Slack and the cards that wait for them. It is a prometheus.Collector.
type Metrics struct {
	calls   *prometheus.CounterVec
	pending *prometheus.GaugeVec
}

// NewMetrics makes them, all zero.
func NewMetrics() *Metrics {
	return &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstop_slack_calls_total", Help: "Calls that post or update on Slack, by method and result.",
		}, []string{"method", "result"}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "backstop_slack_pending_cards", Help: "Cards that are not up to date yet, by Provider.",
		}, []string{"provider"}),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.calls.Describe(ch)
	m.pending.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.calls.Collect(ch)
	m.pending.Collect(ch)
}
