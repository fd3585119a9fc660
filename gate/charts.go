package gate

// charts names the Helm charts of the tree, which are not rendered: the values of HelmReleases are looked at, templates
// are not.
func (m *model) charts() {
	for _, dir := range m.listing.charts {
		m.findings = append(m.findings, Finding{
			Rule: RuleNotRendered, Level: LevelNote, File: dir + "/Chart.yaml", Line: 1,
			Message: "the chart " + dir + " is not rendered: only the values of HelmReleases are looked at",
		})
	}
}
