//go:build sidecar

package gate

// Helm keeps the linker from leaving out what nobody calls: half of a binary, and some 20 MB of the memory of a process.
// The sidecar, which renders no chart, is built without it.

// renderedChart is never made.
type renderedChart struct{}

// renderCharts names the charts of the tree.
func (m *model) renderCharts() {
	for _, dir := range m.listing.charts {
		m.findings = append(m.findings, Finding{
			Rule: RuleNotRendered, Level: LevelNote, File: dir + "/Chart.yaml", Line: 1,
			Message: "the chart " + dir + " is not rendered: this backstop was built without Helm",
			Fix:     "use one of `go install github.com/backstop-dev/backstop/cmd/backstop@latest`",
		})
	}
}

func (m *model) collectCharts() {}

func (m *model) standsFor(*unit, manifestNode) bool { return false }
