package gitrepo

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/backstop-dev/backstop/test/gitserver"
)

// The big repository: 700 apps in three environments, two files each, and one image bump a commit.
const (
	bigApps    = 700
	bigCommits = 50_000
)

var bigEnvironments = [...]string{"develop", "staging", "production"}

// bigTag is the tag that commit n writes.
func bigTag(n int) string { return fmt.Sprintf("v1.%d.0-%d", n, 1_700_000_000+n) }

// bigTurn is the folder that commit n writes to, as a number: scattered, and the same on every machine.
func bigTurn(n int) int {
	x := uint64(n) * 0x9E3779B97F4A7C15
	x ^= x >> 29
	x *= 0xBF58476D1CE4E5B9
	return int(x >> 33 % uint64(bigApps*len(bigEnvironments)))
}

// bigFolder is an application in an environment.
func bigFolder(k int) (app, env string) {
	return fmt.Sprintf("app-%03d", k%bigApps), bigEnvironments[k/bigApps]
}

func bigPath(k int) string {
	app, env := bigFolder(k)
	return "apps/" + app + "/" + env
}

func bigDeployment(k, tag int) string {
	app, env := bigFolder(k)
	return deployment(env, app, "ghcr.io/acme/"+app+":"+bigTag(tag), env+":"+app)
}

// bigStanding is a commit at least so far back whose image still stands at the tip.
func bigStanding(tb testing.TB, back int) int {
	tb.Helper()
	n, err := bigStandingAt(back)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func bigStandingAt(back int) (int, error) {
	later := map[int]bool{}
	for n := bigCommits - 1; n > 0; n-- {
		k := bigTurn(n)
		if n <= bigCommits-1-back && !later[k] {
			return n, nil
		}
		later[k] = true
	}
	return 0, fmt.Errorf("no image stands for %d commits", back)
}

// bigRepository makes the big repository by git fast-import, once for each user of the machine, and gives its folder.
func bigRepository(tb testing.TB) string {
	tb.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		tb.Fatalf("no cache folder for the big repository: %v", err)
	}
	root := filepath.Join(cache, "backstop", fmt.Sprintf("bench-%d-%d-2", bigApps, bigCommits))
	dir := filepath.Join(root, "fleet.git")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir
	}
	if err := os.RemoveAll(root); err != nil {
		tb.Fatal(err)
	}
	if _, err := gitserver.Create(root, "fleet.git"); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), "git", "fast-import", "--quiet", "--depth=50")
	cmd.Dir, cmd.Env = dir, gitserver.Env()
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriterSize(in, 1<<20)
	for n := range bigCommits {
		bigCommit(w, n)
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := in.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		tb.Fatal(err)
	}
	// As a server keeps it: one pack, and no commit-graph.
	repack := exec.CommandContext(tb.Context(), "git", "-c", "core.commitGraph=false", "repack", "-a", "-d", "-q", "-f", "--depth=50", "--window=10")
	repack.Dir, repack.Env = dir, gitserver.Env()
	if out, err := repack.CombinedOutput(); err != nil {
		tb.Fatalf("git repack: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func bigCommit(w *bufio.Writer, n int) {
	k := bigTurn(n)
	message := fmt.Sprintf("Update %s to %s\n", bigPath(k), bigTag(n))
	fmt.Fprintf(w, "commit refs/heads/main\ncommitter fluxcdbot <fluxcdbot@example.com> %d +0000\ndata %d\n%s",
		1_700_000_000+n*60, len(message), message)
	file := func(path, content string) {
		fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", path, len(content), content)
	}
	if n == 0 {
		for k := range bigApps * len(bigEnvironments) {
			file(bigPath(k)+"/deployment.yaml", bigDeployment(k, 0))
			file(bigPath(k)+"/kustomization.yaml", kustomization("deployment.yaml"))
		}
		return
	}
	file(bigPath(k)+"/deployment.yaml", bigDeployment(k, n))
}
