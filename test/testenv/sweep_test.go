package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestFoldersOfKilledProcessesAreSweptAway(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	folder := func(pid, n int, name string) string {
		return filepath.Join(os.TempDir(), fmt.Sprintf("backstop-env-%d-%d", pid, n), name)
	}
	orphan, alive, stays := folder(dead.Process.Pid, 1, "etcd"), folder(os.Getpid(), 1, "etcd"), folder(dead.Process.Pid, 2, kept)
	for _, dir := range []string{orphan, alive, stays} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	for dir, want := range map[string]bool{orphan: false, alive: true, stays: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", dir, err == nil, want)
		}
	}
}
