package main

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backstop-dev/backstop/gate/report"
)

// TestCheckReadsGitOnEveryProcessor compares two commits whose files are all in one pack.
func TestCheckReadsGitOnEveryProcessor(t *testing.T) {
	const apps = 150
	dir := t.TempDir()
	gitIn(t, dir, "init", "-q", "-b", "main")
	app := func(i int, tag string) string {
		return fmt.Sprintf("# app %d of many that look alike\n", i) + pod(fmt.Sprintf("acme/app%d:%s", i, tag))
	}
	put := func(tag string) {
		text := map[string]string{}
		for i := range apps {
			name := fmt.Sprintf("apps/a%d/app%d", i%9, i)
			text[name+"/app.yaml"], text[name+"/kustomization.yaml"] = app(i, tag), "resources: [app.yaml]\n"
		}
		files(t, dir, text)
		gitIn(t, dir, "add", ".")
		gitIn(t, dir, "commit", "-qm", tag)
	}
	put("v1")
	put("v2")
	gitIn(t, dir, "repack", "-adfq", "--depth=50")
	var first report.Report
	for i, processors := range []int{2, 16, 2, 16} {
		before := runtime.GOMAXPROCS(processors)
		got := reportOf(t, exitOK, dir, "--offline", "--base", "HEAD~1", "--head", "HEAD")
		runtime.GOMAXPROCS(before)
		if i == 0 {
			first = got
		}
		if diff := cmp.Diff(first, got, cmpopts.IgnoreUnexported(report.Finding{}, report.Use{})); diff != "" {
			t.Errorf("on %d processors (-first +now):\n%s", processors, diff)
		}
		if len(got.Images) != apps || got.Files != 2*apps {
			t.Errorf("on %d processors: %d images of %d files", processors, len(got.Images), got.Files)
		}
	}
}
