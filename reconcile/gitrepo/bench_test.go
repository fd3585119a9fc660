package gitrepo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// bigServer serves the big repository, or a copy of it that may be written.
func bigServer(b *testing.B, writable bool) (*gitserver.Server, reconcile.Source, string) {
	b.Helper()
	dir := bigRepository(b)
	if writable {
		root := b.TempDir()
		if out, err := exec.CommandContext(b.Context(), "cp", "-r", dir, filepath.Join(root, "fleet.git")).CombinedOutput(); err != nil {
			b.Fatalf("cp: %v: %s", err, out)
		}
		dir = filepath.Join(root, "fleet.git")
	}
	s, err := gitserver.Start(gitserver.Options{Root: filepath.Dir(dir), Username: "bot", Password: password})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s, reconcile.Source{
		Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, URL: s.URL + "/fleet.git", Branch: "main",
		Auth: reconcile.Auth{Secret: map[string][]byte{"username": []byte("bot"), "password": []byte(password)}},
	}, dir
}

// bigQuery asks for what commit n wrote.
func bigQuery(n int) reconcile.Query {
	app, env := bigFolder(bigTurn(n))
	return reconcile.Query{
		Image: "ghcr.io/acme/" + app + ":" + bigTag(n), Namespace: env,
		Workload: v1alpha1.Workload{Kind: "Deployment", Name: app}, Root: reconcile.Root{By: applier, Path: bigPath(bigTurn(n))},
	}
}

func bigMirrors(b *testing.B) *Mirrors {
	b.Helper()
	m, err := New(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// gitLogS is what git needs to find a tag on a path.
func gitLogS(b *testing.B, dir string, n int) time.Duration {
	b.Helper()
	start := time.Now()
	cmd := exec.CommandContext(b.Context(), "git", "log", "--format=%H", "-S", bigTag(n), "main", "--", bigPath(bigTurn(n))+"/deployment.yaml")
	cmd.Dir, cmd.Env = dir, gitserver.Env()
	if out, err := cmd.Output(); err != nil || len(strings.Fields(string(out))) == 0 {
		b.Fatalf("git log -S: %v: %s", err, out)
	}
	return time.Since(start)
}

func BenchmarkBlame(b *testing.B) {
	for _, back := range []int{10, 40, 3000} {
		b.Run(fmt.Sprintf("%d back", back), func(b *testing.B) {
			_, src, dir := bigServer(b, false)
			m := bigMirrors(b)
			n := bigStanding(b, back)
			blame := func() {
				s, err := m.Blame(b.Context(), src, bigQuery(n))
				if err != nil {
					b.Fatal(err)
				}
				if want := "Update " + bigPath(bigTurn(n)) + " to " + bigTag(n); s.Subject != want {
					b.Fatalf("blamed %q, want %q", s.Subject, want)
				}
			}
			blame()
			for b.Loop() {
				blame()
			}
			git := min(gitLogS(b, dir, n), gitLogS(b, dir, n), gitLogS(b, dir, n))
			b.ReportMetric(float64(git.Microseconds())/1000, "git-ms")
			b.ReportMetric(float64(bigCommits-1-n), "back")
			b.ReportMetric(peakRSS(b), "MiB-peak")
		})
	}
}

// peakRSS of this process in MiB.
func peakRSS(b *testing.B) float64 {
	b.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(raw)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kb); err == nil {
			return kb / 1024
		}
	}
	return 0
}
