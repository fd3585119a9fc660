package chart

import (
	"fmt"
	"os"
	"syscall"
)

// limitMemory keeps the process from taking more addresses than it has and some: what is asked for at once, such as a
// text of many gigabytes, is refused before anybody can watch it grow.
func limitMemory(more uint64) {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return
	}
	var pages uint64
	if _, err := fmt.Sscan(string(data), &pages); err != nil {
		return
	}
	most := pages*uint64(os.Getpagesize()) + more
	_ = syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most})
}
