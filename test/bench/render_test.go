package bench

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/render"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// BenchmarkBlameByRendering finds the commit that changed one object among 200. Of them 10, or all, change another file
// of the folder, so that nothing is known from the commit before; the others are about other folders:
//
//	go test -run '^$' -bench BlameByRendering -benchtime 3x ./test/bench
func BenchmarkBlameByRendering(b *testing.B) {
	const apps, commits, changed = 40, 200, 120
	for _, every := range []int{20, 1} {
		b.Run(fmt.Sprintf("%d of %d commits are about the folder", commits/every, commits), func(b *testing.B) {
			src, hashes := renderedRepository(b, apps, commits, changed, every)
			mirrors, err := gitrepo.New(b.TempDir(), gitrepo.Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			search := &render.Search{
				Job:  render.Job{Spec: kustomizev1.KustomizationSpec{Path: "./apps"}},
				Good: hashes[0], Bad: hashes[commits], Object: &v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "prod", Name: "app-0"}, Files: true,
			}
			for b.Loop() {
				found, err := render.Blame(b.Context(), mirrors, src, search)
				if err != nil || found.Suspect == nil || found.Suspect.Commit != hashes[changed] || len(found.Files) != 1 {
					b.Fatalf("found %+v, %v; want %s", found, err, hashes[changed])
				}
			}
		})
	}
}

// renderedRepository has an overlay of many Deployments, and gives its commits: the first of all, and what came after.
func renderedRepository(b *testing.B, apps, commits, changed, every int) (reconcile.Source, []string) {
	b.Helper()
	s, err := gitserver.Start(gitserver.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	bare, err := s.Create("fleet.git")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	git := func(args ...string) string {
		cmd := exec.CommandContext(b.Context(), "git", append([]string{"-c", "user.name=x", "-c", "user.email=x@y"}, args...)...)
		cmd.Dir, cmd.Env = dir, gitserver.Env()
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("git %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(file, text string) {
		name := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	app := func(n, version int) {
		write(fmt.Sprintf("base/app-%d.yaml", n), fmt.Sprintf(renderedApp, n, n, n, version))
	}
	git("init", "--quiet", "--initial-branch=main")
	list := ""
	for n := range apps {
		app(n, 0)
		list += fmt.Sprintf("- app-%d.yaml\n", n)
	}
	write("base/kustomization.yaml", "resources:\n"+list)
	write("apps/kustomization.yaml", "namespace: prod\nresources: [../base]\nlabels: [{pairs: {team: web}, includeSelectors: true}]\n")
	var hashes []string
	for i := range commits + 1 {
		switch {
		case i == changed:
			app(0, i)
		case i%every > 0:
			write("elsewhere/app.yaml", fmt.Sprintln("version:", i))
		case i > 0:
			app(1+i%(apps-1), i)
		}
		git("add", "--all")
		git("commit", "--quiet", "-m", fmt.Sprintf("Release %d", i))
		hashes = append(hashes, git("rev-parse", "HEAD"))
	}
	git("push", "--quiet", bare, "main")
	return reconcile.Source{Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, URL: s.URL + "/fleet.git", Branch: "main"}, hashes
}

const renderedApp = `apiVersion: apps/v1
kind: Deployment
metadata: {name: app-%d}
spec:
  replicas: 2
  selector: {matchLabels: {app: app-%d}}
  template:
    metadata: {labels: {app: app-%d}}
    spec:
      containers:
        - name: app
          image: registry.example/app:v%d
          ports: [{containerPort: 8080}]
          resources: {requests: {cpu: 10m, memory: 64Mi}, limits: {memory: 128Mi}}
          readinessProbe: {httpGet: {path: /ready, port: 8080}}
`
