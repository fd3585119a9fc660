//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// TestACrashIsNoWrongUsage crashes this test binary in every way that Go knows.
func TestACrashIsNoWrongUsage(t *testing.T) {
	ways := map[string]func(){
		"a panic":                      func() { panic("a bug") },
		"a panic in another goroutine": func() { go panic("a bug"); select {} },
		"what nothing recovers from":   func() { (&sync.Mutex{}).Unlock() },
	}
	if way := ways[os.Getenv("BACKSTOP_TEST_CRASH")]; way != nil {
		crashAloud()
		way()
		return
	}
	for name := range ways {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestACrashIsNoWrongUsage$")
			cmd.Env, cmd.Dir = append(os.Environ(), "BACKSTOP_TEST_CRASH="+name), t.TempDir()
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("it ends with %v", err)
			}
			status, ok := exit.Sys().(syscall.WaitStatus)
			if !ok || status.Signal() != syscall.SIGABRT || status.CoreDump() {
				t.Errorf("it ends with %v, want SIGABRT and no core", err)
			}
			if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
