package gitrepo

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// The repository of a home, as the templates of that community lay it out: 200 apps, each with a Flux Kustomization and
// a HelmRelease, 3,000 commits of which one moves everything.
const (
	homeApps    = 200
	homeCommits = 3000
)

func homeFolder(app int, moved bool) string {
	if moved {
		return fmt.Sprintf("kubernetes/apps/ns%d/app%d", app%10, app)
	}
	return fmt.Sprintf("cluster/ns%d/app%d", app%10, app)
}

func homeFiles(app int, tag int, moved bool) map[string]string {
	dir := homeFolder(app, moved)
	return map[string]string{
		dir + "/ks.yaml": fluxKustomization(fmt.Sprintf("app%d", app), "./"+dir+"/app"),
		dir + "/app/helmrelease.yaml": release(fmt.Sprintf("app%d", app), fmt.Sprintf("controllers:\n  app%d:\n    containers:\n"+
			"      app:\n        image:\n          repository: ghcr.io/home/app%[1]d\n          tag: 1.0.%d@sha256:%064[2]d", app, tag)),
		dir + "/app/kustomization.yaml": kustomization("helmrelease.yaml"),
	}
}

// home makes the repository, and gives its folder.
func home(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	var in strings.Builder
	put := func(name, text string) { fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", name, len(text), text) }
	last := map[int]int{}
	all := func(moved bool) {
		var root []string
		for app := range homeApps {
			for name, text := range homeFiles(app, last[app], moved) {
				put(name, text)
			}
			root = append(root, fmt.Sprintf("apps/ns%d/app%d/ks.yaml", app%10, app))
		}
		if moved {
			put("kubernetes/kustomization.yaml", kustomization(root...))
		}
	}
	for n := range homeCommits {
		moved := n >= homeCommits*2/3
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter J <j@example.com> %d +0000\ndata <<END\ncommit %d\nEND\n", 1_700_000_000+60*n, n)
		switch {
		case n == 0:
			all(false)
		case n == homeCommits*2/3:
			in.WriteString("D cluster\n")
			all(true)
		default:
			app := n % homeApps
			last[app] = n
			for name, text := range homeFiles(app, n, moved) {
				if strings.HasSuffix(name, "helmrelease.yaml") {
					put(name, text)
				}
			}
		}
	}
	command(b, dir, "git", "init", "--quiet", "--bare", "--initial-branch=main", ".")
	cmd := exec.CommandContext(b.Context(), "git", "fast-import", "--quiet")
	cmd.Dir, cmd.Env, cmd.Stdin = dir, gitserver.Env(), strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git fast-import: %v: %s", err, out)
	}
	command(b, dir, "git", "gc", "--quiet")
	return dir
}

// BenchmarkBlameOfAHome blames all 200 images of the repository one after another, as a person asks: from its root.
func BenchmarkBlameOfAHome(b *testing.B) {
	dir := home(b)
	for b.Loop() {
		start := time.Now()
		l, err := OpenLocal(dir, "", Options{})
		if err != nil {
			b.Fatal(err)
		}
		for app := range homeApps {
			n := homeCommits - homeApps + app
			q := reconcile.Query{Image: fmt.Sprintf("ghcr.io/home/app%d:1.0.%d", n%homeApps, n), ByPerson: true}
			s, err := l.Blame(b.Context(), q)
			if err != nil || s.Subject != fmt.Sprintf("commit %d", n) {
				b.Fatalf("blamed %q of %s, %v", s.Subject, q.Image, err)
			}
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/200")
	}
}
