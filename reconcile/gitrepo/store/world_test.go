package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// world is a Git server with one repository, and mirrors of it.
type world struct {
	*testing.T
	bare    string
	dir     string
	src     reconcile.Source
	mirrors *Mirrors
	now     time.Time
	made    int
}

// newWorld has one commit.
func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := gitserver.Start(gitserver.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	w := &world{T: t, dir: t.TempDir(), now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	if w.bare, err = server.Create("fleet.git"); err != nil {
		t.Fatal(err)
	}
	w.src = reconcile.Source{
		Name: types.NamespacedName{Namespace: "flux-system", Name: "fleet"}, URL: server.URL + "/fleet.git", Branch: "main",
		Timeout: 20 * time.Second,
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	if w.mirrors, err = New(w.dir, Options{Now: func() time.Time { return w.now }, Log: log}); err != nil {
		t.Fatal(err)
	}
	w.commits(1)
	return w
}

// run runs git in a folder and gives what it prints.
func (w *world) run(dir string, args ...string) string {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), "git", args...)
	cmd.Dir, cmd.Env = dir, gitserver.Env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// git runs git on the server's repository.
func (w *world) git(args ...string) string { w.Helper(); return w.run(w.bare, args...) }

// commits puts commits with a file each on the branch.
func (w *world) commits(n int) {
	w.Helper()
	var in bytes.Buffer
	for range n {
		w.made++
		from := ""
		if w.made > 1 {
			from = "from refs/heads/main^0\n"
		}
		content := strings.Repeat(fmt.Sprintf("line of %d\n", w.made), 50)
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter Jane <jane@example.com> %d +0000\ndata 4\nmore\n%sM 100644 inline f%d\ndata %d\n%s\n",
			w.now.Unix()+int64(w.made), from, w.made%3, len(content), content)
	}
	cmd := exec.CommandContext(w.Context(), "git", "fast-import", "--quiet", "--force")
	cmd.Dir, cmd.Env, cmd.Stdin = w.bare, gitserver.Env(), &in
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("git fast-import: %v: %s", err, out)
	}
}

// fetch fetches the world's source, as it must.
func (w *world) fetch() {
	w.Helper()
	if err := fetch(w, w.mirrors, w.src); err != nil {
		w.Fatal(err)
	}
}

func fetch(t testing.TB, m *Mirrors, src reconcile.Source) error {
	t.Helper()
	return m.With(t.Context(), src, func(m *Mirror) error { return m.Fetch(t.Context()) })
}

func (w *world) glob(dir, pattern string) []string {
	w.Helper()
	out, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		w.Fatal(err)
	}
	return out
}

func (w *world) write(path string, raw []byte) {
	w.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		w.Fatal(err)
	}
}
