package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/backstop-dev/backstop/test/process"
	"github.com/backstop-dev/backstop/test/testenv"
)

// controllers of Flux, as files in the folder that is given, beside a folder crds; with ports of their own.
var controllers = []struct {
	name string
	args []string
}{
	{"source-controller", []string{"--storage-addr=127.0.0.1:19090", "--storage-adv-addr=127.0.0.1:19090"}},
	{"kustomize-controller", nil},
	{"image-reflector-controller", nil},
	{"image-automation-controller", nil},
}

// realFlux runs Flux's own controllers beside the control plane instead of the stand-ins. Only the kubelet is stood in
// for.
func (w *world) realFlux(ctx context.Context, dir string) error {
	w.say("starting Flux's own controllers from %s, and a stand-in for the kubelet", dir)
	ctx, cancel := context.WithCancel(ctx)
	w.later(cancel)
	w.kubelet(ctx)
	kubeconfig := filepath.Join(w.dir, "flux.kubeconfig")
	if err := testenv.WriteKubeconfig(w.env.Config, kubeconfig); err != nil {
		return err
	}
	// The controllers insist on every kind of theirs, also on those that nobody uses here.
	out, err := w.env.Kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-f", filepath.Join(dir, "crds"))
	if err != nil {
		return fmt.Errorf("apply the CRDs in %s/crds: %w: %s", dir, err, out)
	}
	for i, c := range controllers {
		if err := w.controller(dir, c.name, kubeconfig, i, c.args); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) controller(dir, name, kubeconfig string, index int, args []string) error {
	log, err := os.Create(filepath.Join(w.env.Dir, name+".log"))
	if err != nil {
		return fmt.Errorf("make the log of %s: %w", name, err)
	}
	data := filepath.Join(w.dir, name)
	if err := os.MkdirAll(data, 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", name, err)
	}
	all := append([]string{
		fmt.Sprintf("--metrics-addr=127.0.0.1:%d", 19100+index), fmt.Sprintf("--health-addr=127.0.0.1:%d", 19200+index),
		"--enable-leader-election=false",
	}, args...)
	if name == "source-controller" || name == "image-reflector-controller" {
		all = append(all, "--storage-path="+data)
	}
	cmd := exec.Command(filepath.Join(dir, name), all...)
	cmd.Dir = data
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "RUNTIME_NAMESPACE=flux-system", "TMPDIR="+data)
	p, err := process.Start(name, cmd)
	if err != nil {
		return err
	}
	w.flux = append(w.flux, p)
	w.later(func() { p.Stop(5 * time.Second) })
	return nil
}
