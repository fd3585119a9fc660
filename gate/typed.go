package gate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// written is the tag that a chart gets for a node of a HelmRelease: YAML takes 1.10 for the number 1.1, and a chart
// writes 20240101 as 2.0240101e+07. Text is what it is.
func written(n manifest.Node) string {
	// Text of a ConfigMap is read by Helm itself, which keeps whole numbers as they are.
	text := strings.Contains(n.Pointer, "!")
	flux := strings.HasPrefix(n.Object.APIVersion, "helm.toolkit.fluxcd.io/")
	if !n.Typed || n.Part != manifest.PartTag || text || !flux {
		return n.Value
	}
	var v any
	if err := yaml.Unmarshal([]byte(n.Value), &v); err != nil || v == nil {
		return n.Value
	}
	return fmt.Sprint(v)
}

// asWritten gives a group as the chart gets it, and the node that YAML changes; nil for none.
func asWritten(group []manifest.Node) ([]manifest.Node, *manifest.Node) {
	i := slices.IndexFunc(group, func(n manifest.Node) bool { return written(n) != n.Value })
	if i < 0 {
		return group, nil
	}
	changed := group[i]
	group = slices.Clone(group)
	group[i].Value = written(changed)
	return group, &changed
}

// retag sets the image of a use to the one that runs, and marks that the file has another one.
func (m *model) retag(use *report.Use, group []manifest.Node) {
	group, was := asWritten(group)
	if was == nil {
		return
	}
	stands := use.Image
	m.retagged[use.File+":"+strconv.Itoa(use.Line)] = true
	if image, ok := imageOf(group, m.repos); ok {
		use.Image = image
	}
	m.findings = append(m.findings, report.Finding{
		Rule: report.RuleTyped, Level: report.LevelError, File: use.File, Line: use.Line, Image: stands, Subject: use.Object,
		Message: fmt.Sprintf("%s: the tag %s is no text to YAML, so that the chart gets %s and runs %s",
			stands, was.Value, written(*was), use.Image),
		Fix: fmt.Sprintf("quote it: tag: %q", was.Value),
	}.By(use.Paths))
}
