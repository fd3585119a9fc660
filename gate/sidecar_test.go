//go:build sidecar

package gate_test

import (
	"testing"

	"github.com/backstop-dev/backstop/gate"
)

func TestSidecarNamesChartsThatItDoesNotRender(t *testing.T) {
	got := check(t, gate.Options{Head: tree(map[string]string{
		"charts/app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "app.yaml": deployment("app", "acme/app:v1"),
	})})
	wantFindings(t, got, "note chart-not-rendered charts/app/Chart.yaml:1")
	wantWords(t, got, "built without Helm")
	if len(got.Images) != 1 {
		t.Errorf("images are %q", images(got))
	}
}
