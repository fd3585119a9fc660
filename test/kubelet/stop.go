//go:build linux

package kubelet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/backstop-dev/backstop/test/process"
)

// Stop ends everything that runs on the node, and removes its folder.
func (n *Node) Stop() {
	for _, p := range []*process.Process{n.scheduler, n.kubelet, n.containerd} {
		if p != nil {
			p.Kill()
		}
	}
	n.killPods()
	n.unmount()
	_ = os.RemoveAll(n.Dir)
}

// killPods ends the processes above the containers, which outlive containerd, and the containers below them.
func (n *Node) killPods() {
	parents := map[int]int{}
	var doomed []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if bytes.Contains(line, []byte("containerd-shim")) && bytes.Contains(line, []byte(n.path("containerd.sock"))) {
			doomed = append(doomed, pid)
		}
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		if fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	shims := slices.Clone(doomed)
	for pid, parent := range parents {
		if slices.Contains(shims, parent) {
			doomed = append(doomed, pid)
		}
	}
	for _, pid := range doomed {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// unmount takes away what was mounted in the folder, the innermost first.
func (n *Node) unmount() {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	lines := strings.Split(string(text), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], n.Dir+"/") {
			_ = syscall.Unmount(fields[4], syscall.MNT_DETACH)
		}
	}
}

// sweep ends what is left of nodes whose test was killed: their pods outlive it. It gives the process of one that runs;
// 0 for none.
func sweep() (running int) {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "backstop-node-*"))
	for _, dir := range dirs {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "backstop-node-%d-", &pid); err != nil {
			continue
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			(&Node{Dir: dir}).Stop()
		} else {
			running = pid
		}
	}
	return running
}
