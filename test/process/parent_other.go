//go:build !linux

package process

import "os/exec"

// dieWithParent can do nothing where the kernel has no parent-death signal.
func dieWithParent(*exec.Cmd) {}
