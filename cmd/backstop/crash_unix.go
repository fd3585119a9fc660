//go:build unix

package main

import "syscall"

// leaveNoCore keeps the kernel from writing what the process had in memory to a file. Where that fails there is nothing
// better to do than to go on.
func leaveNoCore() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
