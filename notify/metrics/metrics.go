// Package metrics counts what becomes of Rollbacks, for Prometheus.
//
// It hears of every saved change as a Teller, and reads what stands right now from the informers' cache at each
// scrape. docs/metrics.md lists every metric.
package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Metrics is a Teller and a prometheus.Collector.
type Metrics struct {
	ended   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	open    *prometheus.Desc
	holds   *prometheus.Desc
	age     *prometheus.Desc
	drift   *prometheus.Desc
	asked   *prometheus.Desc
	pulls   *prometheus.CounterVec
	pending *prometheus.Desc
	list    func() []v1alpha1.Rollback
	adrift  func() []v1alpha1.ObjectRef
	now     func() time.Time
}

// New makes the metrics. At each scrape list gives all Rollbacks from a cache, and adrift the workloads that run
// something else than Git says.
func New(list func() []v1alpha1.Rollback, adrift func() []v1alpha1.ObjectRef, now func() time.Time) *Metrics {
	m := &Metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstop_rollbacks_total", Help: "Rollbacks that ended, by result and by cause of the first failure.",
		}, []string{"result", "cause"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "backstop_step_duration_seconds",
			Help:    "Seconds from the first failure seen to a step of its Rollback being filled.",
			Buckets: []float64{0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600},
		}, []string{"step"}),
		open: prometheus.NewDesc("backstop_rollbacks_open", "Rollbacks that have not ended, by phase.", []string{"phase"},
			nil),
		holds: prometheus.NewDesc("backstop_holds", "Holds on image automation that stand in Git, by namespace.",
			[]string{"namespace"}, nil),
		age: prometheus.NewDesc("backstop_hold_age_seconds", "Age of the oldest hold, by namespace.", []string{"namespace"},
			nil),
		drift: prometheus.NewDesc("backstop_drift", "Workloads whose image differs from Git's right now, by namespace.",
			[]string{"namespace"}, nil),
		asked: prometheus.NewDesc("backstop_rollbacks_waiting_for_person",
			"Rollbacks that wait for somebody to decide, by namespace.", []string{"namespace"}, nil),
		pulls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstop_pull_requests_total",
			Help: "Rollbacks whose pull request was opened, merged or closed without a merge, by what it is for.",
		}, []string{"state", "for"}),
		pending: prometheus.NewDesc("backstop_pull_requests_open", "Pull requests of Rollbacks that are open, by namespace.",
			[]string{"namespace"}, nil),
		list: list, adrift: adrift, now: now,
	}
	// The first that ends so must be an increase: a counter that begins at one has none.
	for _, result := range []v1alpha1.Result{v1alpha1.ResultFailed, v1alpha1.ResultSourceNotFound,
		v1alpha1.ResultExpired} {
		for _, c := range v1alpha1.Causes() {
			m.ended.WithLabelValues(strings.ToLower(string(result)), string(c.Cause))
		}
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.ended.Describe(ch)
	m.seconds.Describe(ch)
	ch <- m.open
	ch <- m.holds
	ch <- m.age
	ch <- m.drift
	ch <- m.asked
	m.pulls.Describe(ch)
	ch <- m.pending
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.ended.Collect(ch)
	m.seconds.Collect(ch)
	m.pulls.Collect(ch)
	m.pullRequests(ch)
	drifting := map[string]int{}
	for _, w := range m.adrift() {
		drifting[w.Namespace]++
	}
	for ns, n := range drifting {
		ch <- prometheus.MustNewConstMetric(m.drift, prometheus.GaugeValue, float64(n), ns)
	}
	phases, holds, oldest, asked := map[string]int{}, map[string]int{}, map[string]time.Duration{}, map[string]int{}
	for _, r := range m.list() {
		s := &r.Status
		if !s.Ended() {
			phases[s.PhaseNow()]++
			if s.Question != nil {
				asked[r.Namespace]++
			}
		}
		if s.HoldStands() {
			holds[r.Namespace]++
			oldest[r.Namespace] = max(oldest[r.Namespace], m.now().Sub(s.Change.At.Time))
		}
	}
	for phase, n := range phases {
		ch <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, float64(n), phase)
	}
	for ns, n := range asked {
		ch <- prometheus.MustNewConstMetric(m.asked, prometheus.GaugeValue, float64(n), ns)
	}
	for ns, n := range holds {
		ch <- prometheus.MustNewConstMetric(m.holds, prometheus.GaugeValue, float64(n), ns)
		ch <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, oldest[ns].Seconds(), ns)
	}
}

// Tell counts what a change filled in.
func (m *Metrics) Tell(before, after *v1alpha1.Rollback) {
	b, a := &before.Status, &after.Status
	if len(a.Failures) == 0 {
		return
	}
	first := a.Failures[0].Since.Time
	observe := func(step string, filled bool) {
		if filled {
			m.seconds.WithLabelValues(step).Observe(m.now().Sub(first).Seconds())
		}
	}
	observe("suspect", b.Suspect == nil && a.Suspect != nil)
	observe("target", b.Target == nil && a.Target != nil)
	observe("verdict", b.Verdict == nil && a.Verdict != nil)
	observe("pullRequest", numberOf(b.PullRequest) == 0 && numberOf(a.PullRequest) > 0)
	m.count("revert", b.PullRequest, a.PullRequest)
	m.count("lift", b.LiftPullRequest, a.LiftPullRequest)
	observe("change", b.Change == nil && a.Change != nil)
	observe("landed", b.Landed == nil && a.Landed != nil)
	observe("request", b.Request == nil && a.Request != nil)
	observe("lift", b.Lifted == nil && a.Lifted != nil)
	if a.Outcome != nil && (b.Outcome == nil || b.Outcome.Result != a.Outcome.Result) {
		observe("outcome", true)
		m.ended.WithLabelValues(strings.ToLower(string(a.Outcome.Result)), string(a.Failures[0].Cause)).Inc()
	}
}
