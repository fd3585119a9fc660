package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func numberOf(pr *v1alpha1.PullRequest) int64 {
	if pr == nil {
		return 0
	}
	return pr.Number
}

// count counts what became of a pull request: that it was opened, and how it ended.
func (m *Metrics) count(what string, before, after *v1alpha1.PullRequest) {
	if numberOf(after) == 0 {
		return
	}
	if numberOf(before) == 0 {
		m.pulls.WithLabelValues("opened", what).Inc()
	}
	ended := after.State == v1alpha1.PullRequestMerged || after.State == v1alpha1.PullRequestClosed
	if ended && (before == nil || before.State != after.State) {
		m.pulls.WithLabelValues(strings.ToLower(string(after.State)), what).Inc()
	}
}

// pullRequests counts those that are open, each once, whoever shares it.
func (m *Metrics) pullRequests(ch chan<- prometheus.Metric) {
	open := map[string]map[string]bool{}
	for _, r := range m.list() {
		for _, pr := range []*v1alpha1.PullRequest{r.Status.PullRequest, r.Status.LiftPullRequest} {
			if !pr.IsOpen() {
				continue
			}
			if open[r.Namespace] == nil {
				open[r.Namespace] = map[string]bool{}
			}
			open[r.Namespace][pr.URL] = true
		}
	}
	for ns, urls := range open {
		ch <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(len(urls)), ns)
	}
}
