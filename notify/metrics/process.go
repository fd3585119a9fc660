package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// Process makes the metrics of the process itself: what it was built from, and whether it is the replica that works.
func Process(version string) (info, leads prometheus.Gauge) {
	info = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "backstop_build_info", Help: "Always 1; the labels say what this replica was built from.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	info.Set(1)
	leads = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "backstop_leader", Help: "Whether this replica works: 1, or 0 while it waits for the Lease.",
	})
	return info, leads
}

// Fences makes the metric of the admission policies; they are read by whoever works.
func Fences() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "backstop_admission_policy",
		Help: "Whether an admission policy that narrows what Backstop and people may write is there and bound: 1, or 0. " +
			"There is no series where Backstop may not look.",
	}, []string{"policy"})
}
