//go:build e2e

package e2e

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// TestOnARealNode tells one story on one cluster: each part begins where the one before ended.
func TestOnARealNode(t *testing.T) {
	s := newStage(t)
	v0, v1, v2 := fleet.Tag(production, 0), fleet.Tag(production, 1), fleet.Tag(production, 2)
	for _, part := range []struct {
		name string
		does func(*stage)
	}{
		{"an image for another platform is reverted", func(s *stage) {
			bad := s.images.push("backend", v1, "serve", "linux/arm64")
			s.ends(bad, v1alpha1.ResultVerified)
			s.runs("backend", v0)
		}},
		{"a newer image lifts the hold", func(s *stage) {
			s.images.push("backend", v2, "serve", "linux/amd64")
			s.runs("backend", v2)
		}},
		{"a crash takes the old pods away, and is reverted", func(s *stage) {
			bad := s.images.push("frontend", v1, "crash", "linux/amd64")
			r := s.asks(bad)
			s.backstop("approve", r.Name, "--namespace="+r.Namespace)
			s.ends(bad, v1alpha1.ResultVerified)
			s.runs("frontend", v0)
		}},
		{"a rollout undo is adopted", func(s *stage) {
			image := s.images.push("worker", v1, "serve", "linux/amd64")
			s.runs("worker", v1)
			s.kubectl("rollout", "undo", "deployment/worker", "-n", s.fleet.Namespace(production))
			r := s.asks(image)
			s.backstop("approve", r.Name, "--namespace="+r.Namespace)
			s.ends(image, v1alpha1.ResultVerified)
			s.runs("worker", v0)
		}},
		{"kubelet and containerd are restarted in the middle", func(s *stage) {
			bad := s.images.push("backend", fleet.Tag(production, 3), "serve", "linux/arm64")
			s.until("a Rollback is opened", 5*time.Minute, func() error { return s.opened(bad) })
			must(s.t, s.node.RestartContainerd())
			must(s.t, s.node.RestartKubelet())
			s.ends(bad, v1alpha1.ResultVerified)
			s.runs("backend", v2)
			must(s.t, s.node.Ready(s.t.Context()))
		}},
		{"the node is drained in the middle", func(s *stage) {
			v4 := fleet.Tag(production, 4)
			s.images.push("backend", v4, "serve", "linux/amd64")
			s.runs("backend", v4)
			bad := s.images.push("backend", fleet.Tag(production, 5), "serve", "linux/arm64")
			s.until("a Rollback is opened", 5*time.Minute, func() error { return s.opened(bad) })
			// Backstop's own pods are evicted too, and come back with empty disks.
			s.kubectl("drain", "node-1", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--disable-eviction", "--timeout=3m")
			s.kubectl("uncordon", "node-1")
			s.ends(bad, v1alpha1.ResultVerified)
			s.runs("backend", v4)
		}},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			s := *s
			s.t, s.images = t, &images{t: t, host: s.images.host, app: s.images.app}
			part.does(&s)
		})
		if !ok {
			t.Fatal("what is left of it would be in the way of the others")
		}
	}
	logs := s.kubectl("logs", "-n", "backstop-system", "-l", "app.kubernetes.io/name=backstop", "--tail=-1")
	if strings.Contains(logs, s.fleet.Password) {
		t.Error("the password of the Git server is in the log")
	}
}

var errNone = errors.New("there is none")

func (s *stage) opened(image string) error {
	if s.record(image) == nil {
		return errNone
	}
	return nil
}

// backstop runs the CLI as an administrator.
func (s *stage) backstop(args ...string) {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), filepath.Join(s.env.Root, "bin", "backstop"),
		append(args, "--kubeconfig="+s.env.Kubeconfig)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("backstop %s: %v\n%s", args[0], err, out)
	}
	s.t.Logf("backstop %s: %s", strings.Join(args, " "), out)
}
