// Package monitoring_test keeps the alerts and the dashboard in deploy/monitoring true: a metric that is renamed must
// not leave an alert behind that never fires.
package monitoring_test

import (
	"encoding/json"
	"flag"
	"iter"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/metrics"
	"github.com/backstop-dev/backstop/notify/slack"
	"github.com/backstop-dev/backstop/notify/slack/clicks"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/observe"
	"github.com/backstop-dev/backstop/watcher"
	"github.com/backstop-dev/backstop/watcher/alerts"
)

const folder = "../../deploy/monitoring/"

// collectors are all that the sidecar serves.
func collectors() []prometheus.Collector {
	info, leads := metrics.Process("v0")
	open := func() []v1alpha1.Rollback {
		return []v1alpha1.Rollback{{Status: v1alpha1.RollbackStatus{
			Question:    &v1alpha1.Question{},
			PullRequest: &v1alpha1.PullRequest{Number: 1, State: v1alpha1.PullRequestOpen},
			Change:      &v1alpha1.Change{Hold: "4be1c2d9a7f3"},
		}}}
	}
	adrift := func() []v1alpha1.ObjectRef { return []v1alpha1.ObjectRef{{Namespace: "production"}} }
	policies := func() []v1alpha1.RollbackPolicy { return nil }
	return []prometheus.Collector{
		metrics.New(open, adrift, time.Now), observe.New(time.Now), watcher.NewMetrics(), slack.NewMetrics(), clicks.NewMetrics(),
		&kube.Unreadables{}, &metrics.Switch{List: policies}, metrics.NewFull(time.Now, nil), metrics.Fences(), alerts.New(alerts.Options{}),
		info, leads,
	}
}

var fqName = regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]*)"`)

// served are the names of all metrics that the sidecar has, and what each says of itself.
func served() (names, helps []string) {
	ch := make(chan *prometheus.Desc)
	go func() {
		defer close(ch)
		for _, c := range collectors() {
			c.Describe(ch)
		}
	}()
	seen := map[string]string{}
	for d := range ch {
		m := fqName.FindStringSubmatch(d.String())
		seen[m[1]] = m[2]
	}
	names = slices.Sorted(maps.Keys(seen))
	for _, n := range names {
		helps = append(helps, seen[n])
	}
	return names, helps
}

// metricsFile is where make verify has every metric written, so that promtool reads what the sidecar serves.
var metricsFile = flag.String("metrics", "", "file that every metric is written to, as the sidecar serves it")

// TestMetricsFollowPrometheusRules lints every metric as promtool check metrics does, with a value for each.
func TestMetricsFollowPrometheusRules(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, c := range collectors() {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
		for v := range vectors(reflect.ValueOf(c)) {
			give(v)
		}
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	linted := map[string]bool{}
	for _, f := range families {
		linted[f.GetName()] = true
	}
	names, helps := served()
	for i, name := range names {
		if !linted[name] || helps[i] == "" {
			t.Errorf("%s has no value here, so that nothing lints it, or says nothing of itself", name)
		}
	}
	if *metricsFile == "" {
		return
	}
	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	if err := os.WriteFile(*metricsFile, page.Body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// vectors are those that a collector of ours holds, however deep. Before something happened they have no series, and
// what has no series is not served.
func vectors(v reflect.Value) iter.Seq[prometheus.Collector] {
	return func(yield func(prometheus.Collector) bool) {
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			if c, ok := reach(v).(prometheus.Collector); ok && strings.HasSuffix(v.Type().String(), "Vec") {
				yield(c)
				return
			}
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct || !strings.HasPrefix(v.Type().PkgPath(), "github.com/backstop-dev/") {
			return
		}
		for i := range v.NumField() {
			for c := range vectors(v.Field(i)) {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// reach reads a field that is not exported.
func reach(v reflect.Value) any {
	if v.CanAddr() {
		v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
	}
	return v.Interface()
}

var labelNames = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)

// give makes one series.
func give(c prometheus.Collector) {
	ch := make(chan *prometheus.Desc, 1)
	c.Describe(ch)
	var labels []string
	if names := labelNames.FindStringSubmatch((<-ch).String())[1]; names != "" {
		labels = strings.Split(names, ",")
	}
	switch v := c.(type) {
	case *prometheus.CounterVec:
		v.WithLabelValues(labels...)
	case *prometheus.GaugeVec:
		v.WithLabelValues(labels...)
	case *prometheus.HistogramVec:
		v.WithLabelValues(labels...)
	}
}

// queries are what the alerts and the dashboard ask Prometheus.
func queries(t *testing.T) (alerts, panels []string) {
	t.Helper()
	read := func(file string, into any) {
		t.Helper()
		raw, err := os.ReadFile(folder + file)
		if err == nil && strings.HasSuffix(file, ".json") {
			err = json.Unmarshal(raw, into)
		} else if err == nil {
			err = yaml.Unmarshal(raw, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var rule struct {
		Spec struct {
			Groups []struct {
				Rules []struct{ Alert, Expr string }
			}
		}
	}
	read("prometheusrule.yaml", &rule)
	for _, g := range rule.Spec.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Expr == "" {
				t.Errorf("a rule without a name or an expression: %+v", r)
			}
			alerts = append(alerts, r.Expr)
		}
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	read("dashboard.json", &dashboard)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			panels = append(panels, target.Expr)
		}
	}
	return alerts, panels
}

func TestAlertsAndDashboardAskForWhatIsServed(t *testing.T) {
	all, _ := served()
	if len(all) < 10 {
		t.Fatalf("only %v are served", all)
	}
	alerts, panels := queries(t)
	metric := regexp.MustCompile(`backstop_[a-z_]+`)
	var shown []string
	for _, q := range slices.Concat(alerts, panels) {
		for _, name := range metric.FindAllString(q, -1) {
			base := name
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				base = strings.TrimSuffix(base, part)
			}
			if !slices.Contains(all, name) && !slices.Contains(all, base) {
				t.Errorf("nothing serves %s: %s", name, q)
			}
			shown = append(shown, name, base)
		}
	}
	raw, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if !slices.Contains(shown, name) {
			t.Errorf("%s is on no panel and in no alert", name)
		}
		documented := strings.Contains(string(raw), "`"+name+"`") ||
			strings.HasPrefix(name, "backstop_queue_") && strings.Contains(string(raw), "`backstop_queue_*`")
		if !documented {
			t.Errorf("docs/metrics.md does not say what %s is", name)
		}
	}
}

// Prometheus' Operator gives every target these labels, and renames those of a metric that are called so.
func TestThePodMonitorKeepsTheLabelsThatTheOperatorSetsToo(t *testing.T) {
	var own []string
	for _, c := range collectors() {
		descs := make(chan *prometheus.Desc, 32)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			for _, label := range strings.Split(labelNames.FindStringSubmatch(d.String())[1], ",") {
				if slices.Contains([]string{"namespace", "pod", "container", "endpoint", "job", "instance"}, label) {
					own = append(own, d.String())
				}
			}
		}
	}
	if len(own) == 0 {
		t.Fatal("no metric has a label that the Operator sets too: honorLabels is not needed any more")
	}
	raw, err := os.ReadFile(folder + "podmonitor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var monitor struct {
		Spec struct {
			PodMetricsEndpoints []struct{ HonorLabels bool }
		}
	}
	if err := yaml.Unmarshal(raw, &monitor); err != nil {
		t.Fatal(err)
	}
	for i, e := range monitor.Spec.PodMetricsEndpoints {
		if !e.HonorLabels {
			t.Errorf("endpoint %d of the PodMonitor renames the labels of\n%s", i, strings.Join(own, "\n"))
		}
	}
}

func TestEveryPanelSaysWhatItShowsAndFollowsTheVariables(t *testing.T) {
	raw, err := os.ReadFile(folder + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Label string }
		}
		Panels []struct {
			ID                       int
			Type, Title, Description string
			Targets                  []struct{ Expr string }
			GridPos                  struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range dashboard.Templating.List {
		names = append(names, v.Name)
	}
	if want := []string{"datasource", "cluster", "namespace"}; !slices.Equal(names, want) {
		t.Errorf("variables %v, want %v", names, want)
	}
	ids, places := map[int]string{}, map[[2]int]string{}
	for _, p := range dashboard.Panels {
		at := [2]int{p.GridPos.X, p.GridPos.Y}
		if ids[p.ID] != "" || places[at] != "" {
			t.Errorf("%q has the number or the place of %q%q", p.Title, ids[p.ID], places[at])
		}
		ids[p.ID], places[at] = p.Title, p.Title
		if p.Type == "row" {
			continue
		}
		if p.Description == "" {
			t.Errorf("%q has no description", p.Title)
		}
		for _, target := range p.Targets {
			if !strings.Contains(target.Expr, `cluster=~"$cluster"`) {
				t.Errorf("%q does not follow the variable cluster: %s", p.Title, target.Expr)
			}
			if strings.Contains(target.Expr, "by (namespace)") && !strings.Contains(target.Expr, `namespace=~"$namespace"`) {
				t.Errorf("%q does not follow the variable namespace: %s", p.Title, target.Expr)
			}
		}
	}
}

func TestSamplesInTheDocsAskForWhatIsServed(t *testing.T) {
	all, _ := served()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`\bbackstop_[a-z_]+[a-z]\b`)
	for _, file := range append(files, "../../README.md") {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metric.FindAllString(string(raw), -1) {
			base := name
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				base = strings.TrimSuffix(base, part)
			}
			whole := slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, name+"_") })
			if !slices.Contains(all, name) && !slices.Contains(all, base) && !whole {
				t.Errorf("%s names %s, which nothing serves", file, name)
			}
		}
	}
}

func TestEveryAlertHasARunbookAndATest(t *testing.T) {
	raw, err := os.ReadFile(folder + "prometheusrule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rule struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert       string
					Annotations map[string]string
				}
			}
		}
	}
	if err := yaml.Unmarshal(raw, &rule); err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(folder + "prometheusrule_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const at = "https://github.com/backstop-dev/backstop/blob/main/docs/runbooks.md#"
	for _, g := range rule.Spec.Groups {
		for _, r := range g.Rules {
			if want := at + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
				t.Errorf("%s: runbook_url is %q, want %s", r.Alert, r.Annotations["runbook_url"], want)
			}
			if !strings.Contains(string(docs), "\n## "+r.Alert+"\n") {
				t.Errorf("docs/runbooks.md has no section %s", r.Alert)
			}
			if !strings.Contains(string(tests), `alertname="`+r.Alert+`"`) {
				t.Errorf("prometheusrule_test.yaml does not test %s", r.Alert)
			}
		}
	}
}
