package gate_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/gate"
)

func TestGateAChartThatTakesAllMemory(t *testing.T) {
	for title, template := range map[string]string{
		"doubles a text":        `{{- $s := "xxxxxxxx" -}}{{- range until 60 -}}{{- $s = printf "%s%s" $s $s -}}{{- end -}}a: {{ len $s }}`,
		"asks for all at once":  `{{- $s := repeat 1000000 "x" -}}{{- $s = replace "x" $s (repeat 1000000 "x") -}}a: {{ len $s }}`,
		"writes without an end": `{{ range until 1000000 }}{{ repeat 1000000 "y" }}{{ end }}`,
	} {
		t.Run(title, func(t *testing.T) {
			files := with(chart("app"), "app/templates/bomb.yaml", template)
			got := check(t, gate.Options{ChartLimit: time.Hour, Head: tree(with(files, "good.yaml", deployment("a", "acme/good:v1")))})
			wantFindings(t, got, "note chart-not-rendered app/Chart.yaml:4")
			wantWords(t, got, "MiB of memory")
			if all := strings.Join(images(got), " "); !strings.Contains(all, "acme/good:v1") {
				t.Errorf("the rest was not looked at: %s", all)
			}
		})
	}
}

func TestGateAChartThatLoopsIsEnded(t *testing.T) {
	loop := "{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}"
	files := with(chart("app"), "app/templates/loop.yaml", loop)
	got := check(t, gate.Options{Head: tree(files), ChartLimit: 100 * time.Millisecond})
	wantFindings(t, got, "note chart-not-rendered app/Chart.yaml:4")
	wantWords(t, got, "it took longer than 100ms")
	// No process is left that goes on.
	for _, pid := range children(t) {
		t.Errorf("process %d goes on", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// children are the processes that this one started and that still run.
func children(t *testing.T) []int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
	if err != nil {
		t.Skip("the system does not tell of children")
	}
	var out []int
	for _, word := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(word); err == nil {
			out = append(out, pid)
		}
	}
	return out
}
