package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/test/process"
	"github.com/backstop-dev/backstop/test/testenv"
)

// sidecar is a running backstop.
type sidecar struct {
	*process.Process
	pid     int
	log     string
	started time.Time
}

// release builds a program as the Makefile does: sidecar, or backstop with the commands.
func (s *stage) release(program string) string {
	s.b.Helper()
	binary := filepath.Join(s.plane.Dir, program)
	cmd := exec.Command("make", "--no-print-directory", "-C", s.plane.Root, "build")
	cmd.Env = os.Environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.b.Fatalf("build backstop: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(filepath.Join(s.plane.Root, "bin", program))
	s.must(err)
	s.must(os.WriteFile(binary, raw, 0o755))
	return binary
}

// start runs backstop with the environment of the Deployment, and waits until it watches.
func (s *stage) start(binary string, flags ...string) *sidecar {
	s.b.Helper()
	config, err := s.plane.ConfigForServiceAccount(s.b.Context(), testenv.Namespace, testenv.ServiceAccount)
	s.must(err)
	dir := s.b.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	s.must(testenv.WriteKubeconfig(config, kubeconfig))
	log, err := os.Create(filepath.Join(dir, "log"))
	s.must(err)
	defer log.Close()
	cmd := exec.Command(binary, append([]string{
		"--kubeconfig=" + kubeconfig, "--cluster=bench", "--storage=" + filepath.Join(dir, "storage"),
		"--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--leader-elect=false", "--budget=1000/1h",
		"--slack-hosts=127.0.0.1", "--confirm-absence=0s",
	}, flags...)...)
	cmd.Env = append(os.Environ(), "POD_NAMESPACE="+testenv.Namespace, "GOMEMLIMIT=512MiB", "GOGC=50")
	cmd.Stdout, cmd.Stderr = log, log
	p, err := process.Start("backstop", cmd)
	s.must(err)
	c := &sidecar{Process: p, pid: cmd.Process.Pid, log: log.Name(), started: time.Now()}
	s.b.Cleanup(func() {
		c.Stop(10 * time.Second)
		if s.b.Failed() {
			s.b.Logf("backstop:\n%s", tail(c.said(), 8000))
		}
	})
	s.until("the sidecar to watch", func() error {
		select {
		case <-c.Done():
			s.b.Fatalf("the sidecar has ended: %v\n%s", c.Err(), c.said())
		default:
		}
		if !strings.Contains(c.said(), `"msg":"watching"`) {
			return fmt.Errorf("it does not yet")
		}
		return nil
	})
	return c
}

func (c *sidecar) said() string {
	raw, _ := os.ReadFile(c.log)
	return string(raw)
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// memory reads a field of /proc/PID/status, such as VmRSS, in MB of a million bytes.
func (c *sidecar) memory(field string) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var kb float64
		if _, err := fmt.Sscanf(line, field+": %f kB", &kb); err == nil {
			return kb * 1024 / 1e6, nil
		}
	}
	return 0, fmt.Errorf("no %s in /proc", field)
}

// processors are the seconds of processor time that the benchmark and what it started have used, by program.
func (s *stage) processors() map[string]float64 {
	s.b.Helper()
	out := map[string]float64{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	s.must(err)
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		from, to := strings.IndexByte(string(raw), '('), strings.LastIndexByte(string(raw), ')')
		f := strings.Fields(string(raw[to+1:]))
		var ticks, more float64
		if pid := strings.TrimSpace(string(raw[:from])); f[1] != fmt.Sprint(os.Getpid()) && pid != fmt.Sprint(os.Getpid()) {
			continue
		}
		_, _ = fmt.Sscan(f[11], &ticks)
		_, _ = fmt.Sscan(f[12], &more)
		out[string(raw[from+1:to])] += (ticks + more) / ticksPerSecond
	}
	return out
}

// ticksPerSecond is USER_HZ, which Linux has the same everywhere.
const ticksPerSecond = 100
