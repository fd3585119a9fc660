package trigger

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// ArgoAnalysis is the kind of one analysis of Argo Rollouts, and ArgoAnalyses what its path says.
var ArgoAnalysis = schema.GroupVersionKind{Group: Argo.Group, Version: Argo.Version, Kind: "AnalysisRun"}

// ArgoAnalyses is the plural of ArgoAnalysis.
const ArgoAnalyses = "analysisruns"

// FailedMetric is a metric for which an analysis of Argo failed. A Rollout tells its name alone, and not by what it
// failed: a Job that could not reach what it tests fails as one does that found the image bad.
type FailedMetric struct {
	Name string
	// Values of the measurements that failed, the newest first. A Job leaves none.
	Values []string
}

// nothingMeasured is a value that says that there was nothing to measure: no result of a query, or a division by zero.
var nothingMeasured = regexp.MustCompile(`(?i)^\W*(?:nil|null|none|undefined)?\W*$|\bnan\b|\binf\b`)

// measured reports whether each failure shows what was measured.
func (m *FailedMetric) measured() bool {
	return len(m.Values) > 0 && !slices.ContainsFunc(m.Values, nothingMeasured.MatchString)
}

func (m *FailedMetric) String() string {
	if strings.Join(m.Values, "") == "" {
		return fmt.Sprintf("metric %q failed, without a value", m.Name)
	}
	return fmt.Sprintf("metric %q failed with %s", m.Name, strings.Join(m.Values[:min(len(m.Values), 3)], ", "))
}

// unmeasured explains why a failure shows nothing that was measured.
func (m *FailedMetric) unmeasured() string {
	if strings.Join(m.Values, "") == "" {
		return ": a Job leaves none, also where it could not run its test"
	}
	return ": there was nothing to measure, or not each time"
}

// ReadAnalysis reads the metrics for which an AnalysisRun failed, without those that are dry runs.
func ReadAnalysis(o *unstructured.Unstructured) ([]FailedMetric, error) {
	f := fields{of: o.Object}
	if f.text("status", "phase") != "Failed" {
		return nil, f.err
	}
	var out []FailedMetric
	for _, result := range f.items("status", "metricResults") {
		if result.yes("dryRun") || result.text("phase") != "Failed" {
			f.note([]string{"status", "metricResults"}, result.err)
			continue
		}
		m := FailedMetric{Name: result.text("name")}
		for _, one := range slices.Backward(result.items("measurements")) {
			if one.text("phase") == "Failed" {
				m.Values = append(m.Values, one.text("value"))
			}
			f.note([]string{"status", "metricResults", m.Name}, one.err)
		}
		f.note([]string{"status", "metricResults"}, result.err)
		out = append(out, m)
	}
	return out, f.err
}

// items are the objects of a list.
func (f *fields) items(path ...string) []*fields {
	var out []*fields
	for _, item := range as[[]any](f, path...) {
		of, _ := item.(map[string]any)
		out = append(out, &fields{of: of})
	}
	return out
}

// analysed is why Argo refused an update, by what its analyses measured: the metric that it names says nothing of how.
func (v *canaryView) analysed() {
	if v.Status.By.Kind != Argo.Kind || v.reason != v1alpha1.CanaryAnalysis {
		return
	}
	v.reason, v.blind = v1alpha1.CanaryMetrics, "no AnalysisRun of it is there that failed, or Backstop may not read "+
		"them: nothing shows what was measured"
	for i := range v.FailedMetrics {
		m := &v.FailedMetrics[i]
		v.checks = append(v.checks, m.String())
		if m.measured() {
			v.reason = v1alpha1.CanaryAnalysis
			continue
		}
		v.blind = m.String() + m.unmeasured()
	}
}
