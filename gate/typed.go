package gate

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// asWritten gives a group as the chart gets it, and the node that YAML changes; nil for none.
func asWritten(group []manifest.Node) ([]manifest.Node, *manifest.Node) {
	i := slices.IndexFunc(group, func(n manifest.Node) bool { return manifest.Written(n) != n.Value })
	if i < 0 {
		return group, nil
	}
	changed := group[i]
	group = slices.Clone(group)
	group[i].Value = manifest.Written(changed)
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
			stands, was.Value, manifest.Written(*was), use.Image),
		Fix: fmt.Sprintf("quote it: tag: %q", was.Value),
	}.By(use.Paths))
}
