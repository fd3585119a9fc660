package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"

	"github.com/backstop-dev/backstop/test/process"
)

// Namespace is where Backstop runs, and ServiceAccount what it runs as. The
// audit log holds the requests of every ServiceAccount of that namespace.
const (
	Namespace      = "backstop-system"
	ServiceAccount = "backstop"
)

// Options of an environment. The zero value is ready to use.
type Options struct {
	// Root is the checkout; found above the working directory when empty.
	Root string
	// Keep leaves the environment's folder behind on Stop, with its logs.
	Keep bool
	// Log hears what is being waited for; nil for nobody.
	Log *slog.Logger
	// APIServer are further flags of kube-apiserver.
	APIServer []string
	// Kubernetes is the version that the API server emulates, such as 1.33. Empty is what the variable KUBERNETES says,
	// and without it the server's own.
	Kubernetes string
	// Address is where the pods of a real node reach the API server, on the port of Config; nil where nobody does. Then
	// the controllers run that a node needs.
	Address net.IP
}

// Env is a running control plane.
type Env struct {
	// Config of a cluster administrator.
	Config *rest.Config
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string
	// Dir holds everything of this environment: etcd's data, keys, NAME.log of each process.
	Dir string
	// AuditLog is the path of the audit log: one JSON event a line, Metadata level, of Backstop's ServiceAccounts.
	AuditLog string
	// Root is the checkout that the binaries and Backstop's CRDs are from.
	Root string

	bin       string
	etcd      string
	authority *authority
	keep      bool
	apiServer []string
	address   net.IP
	processes []*process.Process
}

// Start brings up a control plane and returns when it serves, the Flux CRDs and
// Backstop's are established and controllers run. The caller must Stop it.
func Start(ctx context.Context, o Options) (*Env, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	root, err := findRoot(o.Root)
	if err != nil {
		return nil, err
	}
	bin, err := binaries(ctx, root)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		env, err := start(ctx, o, root, bin)
		if err == nil {
			return env, nil
		}
		// A port that was free a moment ago may be taken by the time that its process binds it.
		if attempt == 3 || !errors.Is(err, errPortTaken) {
			return nil, err
		}
		log.Info("control plane: a port was taken, starting over")
	}
}

func start(ctx context.Context, o Options, root, bin string) (*Env, error) {
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("backstop-env-%d-", os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("make the environment's folder: %w", err)
	}
	if version := cmp.Or(o.Kubernetes, os.Getenv("KUBERNETES")); version != "" {
		o.APIServer = append(slices.Clip(o.APIServer), "--emulated-version="+version)
	}
	env := &Env{Dir: dir, Root: root, bin: bin, keep: o.Keep, apiServer: o.APIServer, address: o.Address,
		AuditLog: filepath.Join(dir, "audit.log")}
	if err := env.up(ctx); err != nil {
		err = fmt.Errorf("%w%s", err, env.lastWords())
		env.Stop()
		return nil, err
	}
	return env, nil
}

// sweep removes the folders of environments whose process was killed before it
// could: their processes died with it, and etcd's log alone has 64 MB.
func sweep() {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "backstop-env-*-*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "backstop-env-%d-", &pid); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, kept)); err == nil {
			continue
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

// kept marks a folder that outlives its environment on purpose.
const kept = "kept"

// Stop ends every process and removes the folder, unless it is to be kept.
func (e *Env) Stop() {
	for i := len(e.processes) - 1; i >= 0; i-- {
		e.processes[i].Kill()
	}
	if e.keep {
		_ = os.WriteFile(filepath.Join(e.Dir, kept), nil, 0o600)
		return
	}
	_ = os.RemoveAll(e.Dir)
}

// StopControllers ends the controllers alone: from then on objects are what their author made of them.
func (e *Env) StopControllers() {
	for _, p := range e.processes {
		if p.Name() == "kube-controller-manager" {
			p.Kill()
		}
	}
}

// findRoot looks for the checkout above the working directory.
func findRoot(given string) (string, error) {
	dir := given
	if dir == "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return "", fmt.Errorf("find the working directory: %w", err)
		}
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "scripts", "control-plane.sh")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("find the checkout: no scripts/control-plane.sh in or above %s", dir)
		}
	}
}

// binaries has the script bring the control plane's binaries, which takes
// minutes the first time on a machine and nothing later.
func binaries(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "control-plane.sh"))
	cmd.Stderr = os.Stderr
	// The script kills what it started when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("bring the control plane's binaries: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
