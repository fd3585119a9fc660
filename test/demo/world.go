package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fluxstub"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/node"
	"github.com/backstop-dev/backstop/test/process"
	"github.com/backstop-dev/backstop/test/realflux"
	"github.com/backstop-dev/backstop/test/registrystub"
	"github.com/backstop-dev/backstop/test/slackstub"
	"github.com/backstop-dev/backstop/test/testenv"
)

// world is everything around the sidecar, and the sidecar.
type world struct {
	out   io.Writer
	start time.Time
	dir   string
	env   *testenv.Env
	// gitURL of the repository, bare its folder, and password that of the login there.
	gitURL   string
	bare     string
	password string
	// giteaDir has a Gitea, which forge is then.
	giteaDir string
	forge    *forge
	registry *registrystub.Registry
	client   client.Client
	slack    *slackstub.Workspace
	page     string
	byHand   bool
	sidecar  *process.Process
	flux     *realflux.Flux
	stops    []func()
}

func (w *world) stop() {
	for i := len(w.stops) - 1; i >= 0; i-- {
		w.stops[i]()
	}
}

func (w *world) later(f func()) { w.stops = append(w.stops, f) }

// build brings up the world, part by part.
func build(ctx context.Context, out io.Writer, o options) (*world, error) {
	w := &world{out: out, start: time.Now(), giteaDir: o.gitea}
	var err error
	if w.dir, err = os.MkdirTemp("", "backstop-demo-"); err != nil {
		return w, fmt.Errorf("make a folder: %w", err)
	}
	w.later(func() { _ = os.RemoveAll(w.dir) })
	w.say("starting etcd, kube-apiserver and kube-controller-manager")
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if w.env, err = testenv.Start(ctx, testenv.Options{Log: log}); err != nil {
		return w, err
	}
	w.later(w.env.Stop)
	if w.client, err = newClient(w.env); err != nil {
		return w, err
	}
	for _, part := range []func(context.Context) error{w.servers, w.chat, w.images, w.install} {
		if err := part(ctx); err != nil {
			return w, err
		}
	}
	if o.flux != "" {
		err = w.realFlux(ctx, o.flux)
	} else {
		w.standIns(ctx)
	}
	if err != nil {
		return w, err
	}
	return w, w.apply(ctx, objects(w.registry.Host(), w.gitURL, w.password, w.delivery())+provider(w.slack.APIURL()))
}

func newClient(env *testenv.Env) (client.Client, error) {
	scheme, err := fluxstub.Scheme()
	if err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register Backstop's kinds: %w", err)
	}
	return client.New(env.Config, client.Options{Scheme: scheme})
}

// delivery is the policy's; empty for its default.
func (w *world) delivery() v1alpha1.Delivery {
	if w.forge != nil {
		return v1alpha1.DeliveryPullRequest
	}
	return ""
}

// gitServer is a plain Git server with the repository.
func (w *world) gitServer() error {
	w.say("starting a Git server (HTTP, basic auth)")
	s, err := gitserver.Start(gitserver.Options{Username: gitUser, Password: gitPassword})
	if err != nil {
		return err
	}
	w.later(func() { _ = s.Close() })
	w.gitURL, w.password = s.URL+"/fleet.git", gitPassword
	w.bare, err = s.Create("fleet.git")
	return err
}

// servers are the Git server and the registry, both on loopback.
func (w *world) servers(ctx context.Context) error {
	err := error(nil)
	if w.giteaDir != "" {
		err = w.gitea(ctx, w.giteaDir)
	} else {
		err = w.gitServer()
	}
	if err != nil {
		return err
	}
	w.say("starting an OCI registry")
	if w.registry, err = registrystub.Start(registrystub.Options{}); err != nil {
		return err
	}
	w.later(w.registry.Close)
	if w.forge == nil {
		return seed(w.bare, w.registry.Host(), w.dir)
	}
	if err := seed(w.forge.repo.URL(gitUser), w.registry.Host(), w.dir); err != nil {
		return err
	}
	return w.protect(ctx)
}

func (w *world) images(context.Context) error {
	for _, env := range environments {
		for _, app := range apps {
			if _, err := w.registry.PushImage(app, tag(env, "1.0.0", 0), "linux/amd64"); err != nil {
				return err
			}
		}
	}
	return nil
}

// install applies what `kubectl apply -k` applies, but for the Deployment: the sidecar runs as a process of its own
// here, under the same ServiceAccount.
func (w *world) install(ctx context.Context) error {
	w.say("installing Backstop: deploy/kustomize/default with its CRDs, RBAC and admission policies")
	rendered, err := w.env.Kubectl(ctx, "kustomize", filepath.Join(w.env.Root, "deploy/kustomize/default"))
	if err != nil {
		return fmt.Errorf("render the overlay: %w", err)
	}
	var keep []string
	for _, doc := range regexp.MustCompile(`(?m)^---\n`).Split(rendered, -1) {
		if !regexp.MustCompile(`(?m)^kind: Deployment$`).MatchString(doc) {
			keep = append(keep, doc)
		}
	}
	if err := w.apply(ctx, strings.Join(keep, "---\n")); err != nil {
		return err
	}
	// What components/credentials adds for a namespace that holds Git credentials.
	return w.apply(ctx, `apiVersion: v1
kind: Namespace
metadata: {name: flux-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: backstop-credentials, namespace: flux-system}
rules: [{apiGroups: [""], resources: [secrets], resourceNames: [fleet], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: backstop-credentials, namespace: flux-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: backstop-credentials}
subjects: [{kind: ServiceAccount, name: backstop, namespace: backstop-system}]
`)
}

func (w *world) apply(ctx context.Context, manifests string) error {
	if err := w.env.Apply(ctx, manifests); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}

// standIns are the kubelet, Flux's apply and image automation, in this process.
func (w *world) standIns(ctx context.Context) {
	w.say("starting stand-ins for the kubelet, Flux's apply and image automation")
	ctx, cancel := context.WithCancel(ctx)
	w.later(cancel)
	w.kubelet(ctx)
	go w.complain("flux", func() error { return fluxstub.Run(ctx, fluxstub.Options{Config: w.env.Config}) })
}

func (w *world) kubelet(ctx context.Context) {
	go w.complain("kubelet", func() error { return node.Run(ctx, node.Options{Config: w.env.Config}) })
}

func (w *world) complain(name string, run func() error) {
	if err := run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(w.out, "%s: %v\n", name, err)
	}
}

// run starts the real sidecar under its own ServiceAccount.
func (w *world) run(ctx context.Context, binary string) error {
	kubeconfig, err := w.env.KubeconfigForServiceAccount(ctx, testenv.Namespace, testenv.ServiceAccount)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(w.env.Dir, "backstop.log"))
	if err != nil {
		return fmt.Errorf("make the sidecar's log: %w", err)
	}
	cmd := exec.Command(binary, "--cluster=demo", "--kubeconfig="+kubeconfig,
		"--storage="+filepath.Join(w.dir, "mirrors"), "--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0",
		"--slack-hosts=127.0.0.1", "--confirm-absence=0s")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "POD_NAMESPACE="+testenv.Namespace)
	if w.sidecar, err = process.Start("backstop", cmd); err != nil {
		return err
	}
	w.later(func() {
		w.sidecar.Signal(syscall.SIGTERM)
		w.sidecar.Stop(10 * time.Second)
	})
	w.say("backstop: process %d, as system:serviceaccount:%s:%s, log %s", w.sidecar.Pid(), testenv.Namespace,
		testenv.ServiceAccount, log.Name())
	return nil
}

// say prints one line of the story with its time.
func (w *world) say(format string, args ...any) {
	fmt.Fprintf(w.out, "%s %6.1fs  %s\n", time.Now().Format("15:04:05"), time.Since(w.start).Seconds(),
		fmt.Sprintf(format, args...))
}
