// Package realflux runs Flux's own controllers as plain processes beside a control plane, for the demo, for tests and
// for measurements. Their binaries are given: they cannot be built here as modules.
//
//	DIR/source-controller, kustomize-controller …   what is there is run
//	DIR/crds                                        their CRDs
package realflux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/backstop-dev/backstop/test/process"
	"github.com/backstop-dev/backstop/test/testenv"
)

// Options of the controllers.
type Options struct {
	// Dir is the folder of the binaries.
	Dir string
	// Env is the control plane.
	Env *testenv.Env
	// Data is a folder for what they store.
	Data string
	// CancelHealthChecks turns the gate CancelHealthCheckOnNewRevision on; off is their default.
	CancelHealthChecks bool
}

// Flux are the running controllers.
type Flux struct {
	processes []*process.Process
	// events is where notification-controller takes them; empty where it does not run.
	events string
}

// controllers in the order in which they are started; the first two have to be there.
var controllers = []string{
	"source-controller", "kustomize-controller", "helm-controller", "image-reflector-controller",
	"image-automation-controller", notifier,
}

// notifier takes the events of the others.
const notifier = "notification-controller"

// Start applies the CRDs and runs the controllers. The caller must Stop them, also after an error.
func Start(ctx context.Context, o Options) (*Flux, error) {
	f := &Flux{}
	// The controllers insist on every kind of theirs, also on those that nobody uses here.
	out, err := o.Env.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-f", filepath.Join(o.Dir, "crds"))
	if err != nil {
		return f, fmt.Errorf("apply the CRDs in %s/crds: %w: %s", o.Dir, err, out)
	}
	kubeconfig := filepath.Join(o.Data, "flux.kubeconfig")
	if err := testenv.WriteKubeconfig(o.Env.Config, kubeconfig); err != nil {
		return f, err
	}
	if _, err := os.Stat(filepath.Join(o.Dir, notifier)); err == nil {
		if f.events, err = freeAddress(); err != nil {
			return f, err
		}
	}
	for i, name := range controllers {
		_, err := os.Stat(filepath.Join(o.Dir, name))
		if i > 1 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := f.run(o, name, kubeconfig); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *Flux) run(o Options, name, kubeconfig string) error {
	data := filepath.Join(o.Data, name)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", name, err)
	}
	log, err := os.Create(filepath.Join(o.Env.Dir, name+".log"))
	if err != nil {
		return fmt.Errorf("make the log of %s: %w", name, err)
	}
	defer log.Close()
	args := []string{"--metrics-addr=0", "--health-addr=127.0.0.1:0", "--enable-leader-election=false"}
	switch {
	case name == notifier:
		args = append(args, "--events-addr="+f.events, "--receiverAddr=127.0.0.1:0")
	case f.events != "":
		args = append(args, "--events-addr=http://"+f.events+"/")
	}
	switch name {
	case "source-controller":
		addr, err := freeAddress()
		if err != nil {
			return err
		}
		args = append(args, "--storage-path="+data, "--storage-addr="+addr, "--storage-adv-addr="+addr)
	case "image-reflector-controller":
		args = append(args, "--storage-path="+data)
	case "kustomize-controller", "helm-controller":
		if o.CancelHealthChecks {
			args = append(args, "--feature-gates=CancelHealthCheckOnNewRevision=true")
		}
	}
	binary, err := filepath.Abs(filepath.Join(o.Dir, name))
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = data, log, log
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "RUNTIME_NAMESPACE=flux-system", "TMPDIR="+data)
	p, err := process.Start(name, cmd)
	if err != nil {
		return err
	}
	f.processes = append(f.processes, p)
	return nil
}

// freeAddress is one that nobody listens on right now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Processes are those that run; none before Start.
func (f *Flux) Processes() []*process.Process {
	if f == nil {
		return nil
	}
	return f.processes
}

// Stop ends the controllers.
func (f *Flux) Stop() {
	for _, p := range f.processes {
		p.Stop(5 * time.Second)
	}
}
