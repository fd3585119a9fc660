//go:build linux

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/backstop-dev/backstop/test/process"
	"github.com/backstop-dev/backstop/test/testenv"
)

// Name of the node.
const Name = "node-1"

// Options of a node.
type Options struct {
	// Env is the control plane, started with Gateway as its Address.
	Env *testenv.Env
	// Registry is the host and port of a registry that speaks plain HTTP.
	Registry string
	// Pause is the image that holds a pod's network.
	Pause string
}

// Node is a running node.
type Node struct {
	Options
	// Dir holds everything of the node, with NAME.log of each process.
	Dir string

	bin                            string
	containerd, kubelet, scheduler *process.Process
}

// Start brings up a node and returns when it is ready. The caller must Stop it.
func Start(ctx context.Context, o Options) (*Node, error) {
	bin, err := binaries(ctx, o.Env.Root)
	if err != nil {
		return nil, err
	}
	// Short: the path of a socket has 107 bytes.
	dir, err := os.MkdirTemp("", fmt.Sprintf("backstop-node-%d-", os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("make the node's folder: %w", err)
	}
	n := &Node{Options: o, Dir: dir, bin: bin}
	if err := n.up(ctx); err != nil {
		err = fmt.Errorf("%w\n%s", err, n.Logs())
		n.Stop()
		return nil, err
	}
	return n, nil
}

func (n *Node) up(ctx context.Context) error {
	if err := n.configure(); err != nil {
		return err
	}
	if err := n.startContainerd(); err != nil {
		return err
	}
	if err := n.startKubelet(); err != nil {
		return err
	}
	var err error
	n.scheduler, err = n.run(filepath.Join(n.bin, "kube-scheduler"), "--kubeconfig="+n.Env.Kubeconfig,
		"--leader-elect=false", "--secure-port=0")
	if err != nil {
		return err
	}
	return n.Ready(ctx)
}

// binaries has the script bring kubelet and scheduler, which takes minutes the first time on a machine.
func binaries(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "control-plane.sh"), "node")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("bring the kubelet: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (n *Node) startContainerd() (err error) {
	n.containerd, err = n.run("containerd", "--config="+n.path("containerd.toml"))
	if err != nil {
		return err
	}
	// A kubelet that is there first ends.
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(n.path("containerd.sock")); err == nil {
			return nil
		}
		select {
		case <-n.containerd.Done():
			return fmt.Errorf("containerd ended: %w", n.containerd.Err())
		default:
		}
		if time.Since(begin) > time.Minute {
			return errors.New("containerd does not listen")
		}
	}
}

// startKubelet starts the kubelet, again where it ends, as systemd does: one that comes while containerd listens and
// has not read its state yet ends at once.
func (n *Node) startKubelet() (err error) {
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		n.kubelet, err = n.run(filepath.Join(n.bin, "kubelet"), "--config="+n.path("kubelet.yaml"),
			"--kubeconfig="+n.path("kubelet.kubeconfig"), "--hostname-override="+Name, "--node-ip="+gateway,
			"--root-dir="+n.path("kubelet"), "--cert-dir="+n.path("kubelet-pki"))
		if err != nil || n.serves() {
			return err
		}
		if time.Since(begin) > time.Minute {
			return fmt.Errorf("the kubelet ended: %w", n.kubelet.Err())
		}
	}
}

// serves waits until the kubelet listens, which it does once its runtime has answered; false where it ended before.
func (n *Node) serves() bool {
	for {
		if c, err := net.Dial("tcp", net.JoinHostPort(gateway, kubeletPort)); err == nil {
			_ = c.Close()
			return true
		}
		select {
		case <-n.kubelet.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// RestartKubelet kills the kubelet and starts it again. The pods go on.
func (n *Node) RestartKubelet() error {
	n.kubelet.Kill()
	return n.startKubelet()
}

// RestartContainerd kills containerd and starts it again. The pods go on: each has a process of its own above it.
func (n *Node) RestartContainerd() error {
	n.containerd.Kill()
	_ = os.Remove(n.path("containerd.sock"))
	return n.startContainerd()
}

// Ready waits until the node reports that it is, and may be scheduled on.
func (n *Node) Ready(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(n.Env.Config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		node, err := client.CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
		if err == nil && len(node.Spec.Taints) == 0 {
			for _, c := range node.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the node: %w (last answer: %w)", ctx.Err(), err)
		case <-n.kubelet.Done():
			return fmt.Errorf("the kubelet ended: %w", n.kubelet.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Logs are the ends of the logs.
func (n *Node) Logs() string {
	var out strings.Builder
	for _, name := range []string{"containerd", "kubelet", "kube-scheduler"} {
		log, _ := os.ReadFile(n.path(name + ".log"))
		fmt.Fprintf(&out, "%s:\n%s\n", name, log[max(0, len(log)-4000):])
	}
	return out.String()
}

func (n *Node) path(name string) string { return filepath.Join(n.Dir, name) }

// run starts a program, with its output added to NAME.log.
func (n *Node) run(path string, args ...string) (*process.Process, error) {
	name := filepath.Base(path)
	out, err := os.OpenFile(n.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	defer out.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.Dir, out, out
	return process.Start(name, cmd)
}
