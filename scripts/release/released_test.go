//go:build release

// What make release tries on the release that it has just made: too heavy for make test.
package release

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// made is the release that make release has just made, and its version.
func made(t *testing.T) (dir, version string) {
	t.Helper()
	dir, version = os.Getenv("RELEASED"), os.Getenv("VERSION")
	if dir == "" || version == "" {
		t.Fatal("RELEASED and VERSION are not set: run make release")
	}
	return dir, version
}

// TestReleasedKrewManifestInstallsFromALocalIndex has Krew install the plugin from an index that is a repository in a
// folder, with the archives served from this machine.
func TestReleasedKrewManifestInstallsFromALocalIndex(t *testing.T) {
	dir, version := made(t)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	index, home := filepath.Join(t.TempDir(), "index"), t.TempDir()
	if err := os.MkdirAll(filepath.Join(index, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(read(t, dir, "krew.yaml")), source+"/releases/download/"+version, server.URL)
	if err := os.WriteFile(filepath.Join(index, "plugins", "backstop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), "KREW_ROOT="+home, "KREW_NO_UPGRADE_CHECK=1", "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	run("git", "-C", index, "init", "-q")
	run("git", "-C", index, "add", ".")
	run("git", "-C", index, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "Add backstop")
	krew := func(args ...string) string {
		return run("go", append([]string{"tool", "-modfile=" + filepath.Join(root, "scripts", "tools", "krew", "go.mod"), "krew"}, args...)...)
	}
	krew("index", "add", "local", "file://"+index)
	krew("install", "local/backstop")
	out := run(filepath.Join(home, "bin", "kubectl-backstop"), "version")
	if !strings.HasPrefix(out, "backstop "+version+" ") {
		t.Errorf("kubectl backstop version says %q, want %s", out, version)
	}
}

// TestReleasedProgramsSayTheirVersion looks at what the binaries say of themselves.
func TestReleasedProgramsSayTheirVersion(t *testing.T) {
	dir, version := made(t)
	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "bin", here.os+"-"+here.arch, "backstop"), "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "backstop "+version+" ") {
		t.Errorf("it says %q: %v", out, err)
	}
}
