package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Switch says at each scrape which policies of Backstop's own namespace are a kill switch that is on.
type Switch struct {
	// Home is Backstop's own namespace, and List gives all policies from a cache.
	Home string
	List func() []v1alpha1.RollbackPolicy
}

var switchDesc = prometheus.NewDesc("backstop_kill_switch",
	"Whether a policy in Backstop's own namespace is suspended and stops every write: 1, or 0. The label namespaces says "+
		"which it picks, and is empty for all. The policy is empty where there is none.",
	[]string{"policy", "namespaces"}, nil)

// Describe implements prometheus.Collector.
func (s *Switch) Describe(ch chan<- *prometheus.Desc) { ch <- switchDesc }

// Collect implements prometheus.Collector.
func (s *Switch) Collect(ch chan<- prometheus.Metric) {
	found := false
	for _, p := range s.List() {
		if p.Namespace != s.Home {
			continue
		}
		found = true
		on := 0.0
		if p.Spec.Suspend {
			on = 1
		}
		ch <- prometheus.MustNewConstMetric(switchDesc, prometheus.GaugeValue, on, p.Name, picks(&p))
	}
	if !found {
		// An alert sees an increase, and not a series that was never there.
		ch <- prometheus.MustNewConstMetric(switchDesc, prometheus.GaugeValue, 0, "", "")
	}
}

// picks are the namespaces that a policy stops, as its selector says it; empty for all.
func picks(p *v1alpha1.RollbackPolicy) string {
	ls := p.Spec.NamespaceSelector
	if ls == nil || len(ls.MatchLabels)+len(ls.MatchExpressions) == 0 {
		return ""
	}
	return metav1.FormatLabelSelector(ls)
}
