package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	yamlv3 "go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/gate/chart"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// renderCharts renders the Helm charts of the tree: with the values of every HelmRelease that names them, and with
// their own where none does.
func (m *model) renderCharts() {
	m.worker = &chart.Worker{}
	defer func() { _ = m.worker.Close() }()
	used := map[string]bool{}
	for _, p := range m.placedObjects() {
		if p.Kind != "HelmRelease" || p.Group() != "helm.toolkit.fluxcd.io" {
			continue
		}
		var hr helmv2.HelmRelease
		if m.decode(&p.Object, &hr) {
			m.renderRelease(&p, &hr, used)
		}
	}
	for _, dir := range m.listing.Charts {
		if used[dir] || m.config.skips()(dir) {
			continue
		}
		origin := &sources.Object{Kind: "chart", Name: dir, File: path.Join(dir, "Chart.yaml"), Line: m.appVersion(dir)}
		m.renderChart(&renderedChart{unit: m.chartUnit(dir, origin, nil)}, &chart.Job{Name: "release", Namespace: "default"})
	}
}

// renderRelease renders the chart of a HelmRelease, if it is in the tree.
func (m *model) renderRelease(p *placed, hr *helmv2.HelmRelease, used map[string]bool) {
	if hr.Spec.Chart == nil {
		return
	}
	spec := &hr.Spec.Chart.Spec
	if spec.SourceRef.Kind != "GitRepository" || !m.builder.oursByName(spec.SourceRef.Name) {
		return
	}
	dir := manifest.Folder(spec.Chart)
	if !slices.Contains(m.listing.Charts, dir) {
		return
	}
	used[dir] = true
	r := &chart.Job{
		Name: hr.GetReleaseName(), Namespace: hr.GetReleaseNamespace(), Tests: hr.GetTest().Enable,
		Post: hr.Spec.PostRenderers,
	}
	if hr.Namespace == "" && hr.Spec.TargetNamespace == "" {
		r.Namespace = "default"
	}
	var hidden []string
	r.Values, hidden = m.valuesOf(hr, p.File)
	if len(spec.ValuesFiles) > 0 {
		var err error
		if r.Defaults, err = m.valuesFiles(spec.ValuesFiles, spec.IgnoreMissingValuesFiles); err != nil {
			m.notRendered(&p.Object, dir, err, report.LevelUnknown)
			return
		}
	}
	c := &renderedChart{unit: m.chartUnit(dir, &p.Object, p.unit), by: p}
	for _, name := range spec.ValuesFiles {
		c.unit.closure.Values = union(c.unit.closure.Values, []string{manifest.Folder(name)})
	}
	if !m.renderChart(c, r) {
		return
	}
	if len(hidden) > 0 {
		m.findings = append(m.findings, report.Finding{
			Rule: report.RuleNotSubstituted, Level: report.LevelNote, File: p.File, Line: p.LineOf("spec", "valuesFrom"),
			Message: fmt.Sprintf("%s is rendered without the values of %s, which only the cluster knows",
				&p.Object, strings.Join(hidden, ", ")),
			Fix: "put the ConfigMap into the repository, if an image is in it",
		})
	}
}

// chartUnit is what a chart is rendered as: made of its values, of what names it, and of the unit that this is in.
func (m *model) chartUnit(dir string, origin *sources.Object, in *unit) *unit {
	u := &unit{dir: dir, origin: origin}
	if in != nil {
		u.vars = in.vars
		u.closure.Paths, u.closure.Values = in.closure.Paths, slices.Clone(in.closure.Values)
	}
	if !slices.Contains(u.closure.Paths, origin.File) {
		u.closure.Paths = append(slices.Clone(u.closure.Paths), origin.File)
	}
	for _, name := range m.listing.YAML {
		if path.Dir(name) == dir {
			u.closure.Values = append(u.closure.Values, name)
		}
	}
	return u
}

// renderChart renders a chart and reports whether it could.
func (m *model) renderChart(c *renderedChart, r *chart.Job) bool {
	level := report.LevelNote
	if c.by != nil {
		level = report.LevelUnknown
	}
	var err error
	if r.Files, err = chart.Read(m.tree.FS, c.unit.dir); err != nil {
		m.notRendered(c.unit.origin, c.unit.dir, err, level)
		return false
	}
	if m.slow >= maxSlowCharts {
		m.notRendered(c.unit.origin, c.unit.dir, errAfterSlow, level)
		return false
	}
	data, err := m.worker.Render(r, m.chartLimit)
	switch {
	case errors.Is(err, chart.ErrLibrary):
		return false
	case err != nil:
		m.notRendered(c.unit.origin, c.unit.dir, err, level)
		return false
	}
	if c.source = sources.Parse("", data); c.source.Err != nil {
		m.notRendered(c.unit.origin, c.unit.dir, c.source.Err, level)
		return false
	}
	m.rendered = append(m.rendered, c)
	return true
}

// maxSlowCharts is how many charts may take too long before no more are rendered.
const maxSlowCharts = 3

var errAfterSlow = fmt.Errorf("%d other charts took too long or too much", maxSlowCharts)

// notRendered names a chart that is not rendered.
func (m *model) notRendered(o *sources.Object, dir string, err error, level report.Level) {
	f := report.Finding{
		Rule: report.RuleNotRendered, Level: level, File: o.File, Line: o.Line,
		Message: fmt.Sprintf("the chart %s is not rendered: %s", dir, render.Words(err)),
		Fix:     "make `helm template " + dir + "` work",
	}
	var missing *chart.NotVendored
	if errors.As(err, &missing) {
		f.Level = report.LevelNote
		f.Fix = fmt.Sprintf("vendor it: helm dependency build %s, and commit %[1]s/charts", dir)
	}
	var slow *chart.Slow
	var heavy *chart.Heavy
	if errors.As(err, &slow) || errors.As(err, &heavy) {
		m.slow++
		f.Fix = "look for a loop in its templates, or leave the folder out: ignore: [" + dir + "] in " + ConfigFile
	}
	m.findings = append(m.findings, f)
}

// appVersion is the line of a chart that says its version of the app, which is the usual tag.
func (m *model) appVersion(dir string) int {
	data, err := manifest.ReadFile(m.tree.FS, path.Join(dir, "Chart.yaml"))
	if err != nil {
		return 1
	}
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		if strings.HasPrefix(text, "appVersion:") {
			return line
		}
	}
	return 1
}

// valuesOf are the values of a HelmRelease as far as the tree has them, and what has the others.
func (m *model) valuesOf(hr *helmv2.HelmRelease, file string) (values map[string]any, hidden []string) {
	values = map[string]any{}
	for _, from := range hr.Spec.ValuesFrom {
		var value *yamlv3.Node
		if o := m.builder.config(from.Name, file); o != nil && from.Kind == "ConfigMap" && from.TargetPath == "" {
			value = sources.ValueOf(sources.ValueOf(o.Root, "data"), from.GetValuesKey())
		}
		var some map[string]any
		if value == nil || yaml.Unmarshal([]byte(value.Value), &some) != nil {
			hidden = append(hidden, from.Kind+" "+from.Name)
			continue
		}
		values = loader.MergeMaps(values, some)
	}
	return loader.MergeMaps(values, hr.GetValues()), hidden
}

// valuesFiles merges the values that a HelmRelease takes instead of the chart's.
func (m *model) valuesFiles(names []string, lenient bool) (map[string]any, error) {
	values := map[string]any{}
	for _, name := range names {
		name = manifest.Folder(name)
		data, err := manifest.ReadFile(m.tree.FS, name)
		if errors.Is(err, fs.ErrNotExist) && lenient {
			continue
		}
		var some map[string]any
		if err == nil {
			err = yaml.Unmarshal(data, &some)
		}
		if err != nil {
			return nil, fmt.Errorf("read its valuesFiles: %w", err)
		}
		values = loader.MergeMaps(values, some)
	}
	return values, nil
}

// collectCharts gathers what the rendered charts would run.
func (m *model) collectCharts() {
	for _, c := range m.rendered {
		for _, use := range m.usesOf(c.unit, c.source) {
			m.locateTag(c, &use)
			if c.by != nil {
				use.Paths = append(slices.Clone(c.by.paths), use.File)
			}
			m.uses = append(m.uses, use)
		}
	}
}

// locateTag finds the place that sets the tag of an image and nothing else of it, as values that override others do.
func (m *model) locateTag(c *renderedChart, use *report.Use) {
	_, tag, digest := manifest.Split(use.Image)
	var only *manifest.Node
	for _, name := range c.unit.sources() {
		s := m.files[name]
		if s == nil {
			continue
		}
		for i := range s.Nodes {
			n := &s.Nodes[i]
			if n.Value == "" || n.Value != tag && n.Value != digest || isObject(*n) && !c.isOf(n) {
				continue
			}
			if only != nil || name == use.File && n.Line == use.Line {
				return
			}
			only = n
		}
	}
	if only != nil {
		use.File, use.Line = only.File, only.Line
	}
}
