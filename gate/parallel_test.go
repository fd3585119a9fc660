package gate_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
)

func TestGateBuildsOnEveryProcessorWhatItBuildsOnOne(t *testing.T) {
	files := map[string]string{}
	for i := range 60 {
		dir := fmt.Sprintf("apps/a%02d", i)
		files[dir+"/base/app.yaml"] = deployment("app", "acme/app:v1")
		files[dir+"/base/kustomization.yaml"] = "resources: [app.yaml]\n"
		files[dir+"/over/kustomization.yaml"] = fmt.Sprintf("resources: [../base]\nimages: [{name: acme/app, newTag: v%d}]\n", i)
		files[dir+"/bad/kustomization.yaml"] = "resources: [../base]\nnamespace: [1]\n"
	}
	var reports [2]*report.Report
	for i, processors := range []int{1, 4} {
		before := runtime.GOMAXPROCS(processors)
		last := 0
		reports[i] = check(t, gate.Options{Head: tree(files), Progress: func(_ string, done, _ int) {
			if done != last+1 {
				t.Errorf("progress went from %d to %d", last, done)
			}
			last = done
		}})
		runtime.GOMAXPROCS(before)
		if last != 120 {
			t.Errorf("progress came to %d", last)
		}
	}
	if diff := cmp.Diff(reports[0], reports[1], cmpopts.IgnoreUnexported(report.Finding{}, report.Use{})); diff != "" {
		t.Errorf("one processor and four (-1 +4):\n%s", diff)
	}
	if len(reports[0].Built) != 60 || len(reports[0].Findings) != 60 {
		t.Errorf("%d built, %d findings", len(reports[0].Built), len(reports[0].Findings))
	}
}

func TestGateASchemaIsForOneKustomization(t *testing.T) {
	files := map[string]string{
		"a/schema.json":        `{"definitions": 1}`,
		"a/kustomization.yaml": "resources: [app.yaml]\nopenapi: {path: schema.json}\n",
		"a/app.yaml":           deployment("app", "acme/app:v1"),
		"b/kustomization.yaml": `resources: [app.yaml]
patches: [{patch: '{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {"paused": true}}'}]
`,
		"b/app.yaml": deployment("app", "acme/app:v2"),
	}
	got := check(t, gate.Options{Head: tree(files)})
	wantFindings(t, got)
	if len(got.Built) != 2 {
		t.Errorf("built: %q", got.Built)
	}
}

func TestGateFindsRemoteReferencesHoweverTheyAreWritten(t *testing.T) {
	for _, ref := range []string{
		`https://127.0.0.1:1/x`, `"https:\x2f\x2f127.0.0.1:1/x"`, `!!binary aHR0cHM6Ly8xMjcuMC4wLjE6MS94`,
		`GitHub.com/acme/x`, `"git\x40127.0.0.1:a/b"`, `git@127.0.0.1:a/b`,
	} {
		files := map[string]string{"kustomization.yaml": "configurations:\n- " + ref + "\n"}
		got := check(t, gate.Options{Head: tree(files)})
		if len(got.Findings) != 1 || got.Findings[0].Rule != report.RuleRemote {
			t.Errorf("%s: %v", ref, got.Findings)
		}
	}
}
