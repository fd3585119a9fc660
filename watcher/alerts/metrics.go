package alerts

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what comes in.
//
//	backstop_alerts_total   events of Flux, by what became of them
type metrics struct{ received *prometheus.CounterVec }

func newMetrics() *metrics {
	m := &metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backstop_alerts_total", Help: "Events of Flux that were received, by what became of them.",
	}, []string{"result"})}
	for _, result := range []string{"taken", "signature", "no-key"} {
		m.received.WithLabelValues(result)
	}
	return m
}

// Describe is prometheus.Collector's.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { m.received.Describe(ch) }

// Collect is prometheus.Collector's.
func (m *metrics) Collect(ch chan<- prometheus.Metric) { m.received.Collect(ch) }
