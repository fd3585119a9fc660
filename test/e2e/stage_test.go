//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/fluxstub"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/kubelet"
	"github.com/backstop-dev/backstop/test/realflux"
	"github.com/backstop-dev/backstop/test/registrystub"
	"github.com/backstop-dev/backstop/test/testenv"
)

const production = "production"

// stage is one cluster with one node, one fleet, and Backstop in it.
type stage struct {
	t      *testing.T
	env    *testenv.Env
	node   *kubelet.Node
	client client.Client
	fleet  *fleet.Fleet
	images *images
	alice  *fleet.Person
	repo   string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	remove, err := kubelet.Bridge()
	must(t, err)
	t.Cleanup(remove)
	s := &stage{t: t}
	any := kubelet.Gateway().String() + ":0"
	registry, err := registrystub.Start(registrystub.Options{Addr: any})
	must(t, err)
	t.Cleanup(registry.Close)
	git, err := gitserver.Start(gitserver.Options{Addr: any, Username: "flux", Password: "correct horse"})
	must(t, err)
	t.Cleanup(func() { _ = git.Close() })
	s.repo, err = git.Create("fleet.git")
	must(t, err)

	ctrllog.SetLogger(logr.Discard()) // or controller-runtime complains that nobody did
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s.env, err = testenv.Start(t.Context(), testenv.Options{Address: kubelet.Gateway(), Log: log})
	must(t, err)
	t.Cleanup(s.env.Stop)
	s.images = newImages(t, s.env.Root, registry.Host())
	s.node, err = kubelet.Start(t.Context(), kubelet.Options{Env: s.env, Registry: registry.Host(),
		Pause: s.images.push("pause", "1", "serve", "linux/amd64")})
	must(t, err)
	t.Cleanup(s.node.Stop)
	t.Cleanup(s.report)
	scheme, err := fluxstub.Scheme()
	must(t, err)
	must(t, v1alpha1.AddToScheme(scheme))
	s.client, err = client.New(s.env.Config, client.Options{Scheme: scheme})
	must(t, err)

	s.fleet = fleet.New(fleet.Options{Name: "e2e", Environments: []string{production}, Apps: []string{"backend", "frontend", "worker"},
		GitURL: git.URL + "/fleet.git", Username: "flux", Password: "correct horse", Registry: registry.Host(), Replicas: 2})
	s.install()
	s.deploy()
	return s
}

// install is what docs/install.md says, with the image of this checkout and the address of an API server that no
// kube-proxy leads to.
func (s *stage) install() {
	s.t.Helper()
	repository, tag := s.images.backstop(s.env.Root)
	api, err := url.Parse(s.env.Config.Host)
	must(s.t, err)
	dir, err := filepath.EvalSymlinks(s.t.TempDir())
	must(s.t, err)
	base, err := filepath.Rel(dir, filepath.Join(s.env.Root, "deploy", "kustomize"))
	must(s.t, err)
	text := strings.NewReplacer("@base", base, "@repository", repository, "@tag", tag, "@registry", s.fleet.Registry, "@host", kubelet.Gateway().String(),
		"@port", api.Port(), "@flux", s.fleet.FluxNamespace(), "@secret", fleet.SourceName).Replace(overlay)
	files := strings.SplitN(text, "---\n", 2)
	must(s.t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(files[0]), 0o600))
	must(s.t, os.WriteFile(filepath.Join(dir, "credentials.yaml"), []byte(files[1]), 0o600))
	s.kubectl("create", "namespace", s.fleet.FluxNamespace())
	s.kubectl("apply", "--server-side", "-k", dir)
	s.until("Backstop runs", 5*time.Minute, func() error {
		_, err := s.env.Kubectl(s.t.Context(), "rollout", "status", "deployment/backstop", "-n", testenv.Namespace, "--timeout=5s")
		return err
	})
}

const overlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: ["@base/default", credentials.yaml]
components: ["@base/components/cross-namespace-refs"] # automation uses the source in the namespace of Flux
images:
- {name: ghcr.io/backstop-dev/backstop, newName: "@repository", newTag: "@tag"}
patches:
- target: {kind: Namespace, name: backstop-system}
  patch: |
    - {op: add, path: /metadata/labels/pod-security.kubernetes.io~1enforce, value: restricted}
- target: {kind: Deployment, name: backstop}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: KUBERNETES_SERVICE_HOST, value: "@host"}}
    - {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: KUBERNETES_SERVICE_PORT, value: "@port"}}
    # It is at the address of the API server, which Backstop takes for one of the cluster's Services.
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: "--registry-hosts=@registry"}
    # The story reverts more in a minute than a night does.
    - {op: add, path: /spec/template/spec/containers/0/args/-, value: "--budget=20/1h"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: backstop-credentials, namespace: "@flux"}
rules:
- {apiGroups: [""], resources: [secrets], resourceNames: ["@secret"], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: backstop-credentials, namespace: "@flux"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: backstop-credentials}
subjects:
- {kind: ServiceAccount, name: backstop, namespace: backstop-system}
`

// deploy writes the fleet to Git and to the cluster, and lets the stand-ins for Flux run it.
func (s *stage) deploy() {
	s.t.Helper()
	for _, app := range s.fleet.Apps {
		s.images.push(app, fleet.Tag(production, 0), "serve", "linux/amd64")
	}
	var err error
	s.alice, err = fleet.NewPerson(s.t.Context(), "Alice", s.repo, s.t.TempDir())
	must(s.t, err)
	must(s.t, s.alice.Write(s.fleet.Files))
	_, err = s.alice.Push(s.t.Context(), "Begin")
	must(s.t, err)
	s.fleet.Objects = s.fleet.Objects[1:] // the namespace of Flux is there
	must(s.t, s.fleet.Create(s.t.Context(), s.client))
	must(s.t, s.env.Apply(s.t.Context(), strings.ReplaceAll(policy, "NAMESPACE", s.fleet.Namespace(production))))
	s.flux()
	for _, app := range s.fleet.Apps {
		s.runs(app, fleet.Tag(production, 0))
	}
}

// flux runs Flux's own controllers where FLUX names their folder, and stand-ins otherwise.
func (s *stage) flux() {
	s.t.Helper()
	if dir := os.Getenv("FLUX"); dir != "" {
		flux, err := realflux.Start(s.t.Context(), realflux.Options{Dir: dir, Env: s.env, Data: s.t.TempDir()})
		s.t.Cleanup(flux.Stop)
		must(s.t, err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o := fluxstub.Options{Config: s.env.Config, Namespaces: s.fleet.Namespaces(), Dir: s.t.TempDir()}
		if err := fluxstub.Run(ctx, o); err != nil {
			s.t.Errorf("the stand-in for Flux: %v", err)
		}
	}()
	s.t.Cleanup(func() { cancel(); <-done })
}

const policy = `apiVersion: backstop.dev/v1alpha1
kind: RollbackPolicy
metadata: {name: apps, namespace: NAMESPACE}
spec:
  cooldown: 0s
  triggers:
  - {type: ImagePull, mode: Auto, gracePeriod: 0s}
  - {type: Rollout, mode: Approve, gracePeriod: 0s}
  - {type: Drift, mode: Approve}
`

func (s *stage) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.env.Kubectl(s.t.Context(), args...)
	if err != nil {
		s.t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// until asks again and again, and reports how long it took.
func (s *stage) until(what string, limit time.Duration, ask func() error) {
	s.t.Helper()
	begin := time.Now()
	for {
		err := ask()
		if err == nil {
			s.t.Logf("%6.2fs %s", time.Since(begin).Seconds(), what)
			return
		}
		if time.Since(begin) > limit {
			s.t.Fatalf("not within %s: %s: %v", limit, what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// runs waits until a Deployment is complete and all its pods run a tag.
func (s *stage) runs(app, tag string) {
	s.t.Helper()
	want := s.fleet.Image(app, tag)
	s.until(app+" runs "+tag, 5*time.Minute, func() error {
		out, err := s.env.Kubectl(s.t.Context(), "get", "deployment", app, "-n", s.fleet.Namespace(production), "-o",
			"jsonpath={.spec.template.spec.containers[0].image} {.metadata.generation} {.status.observedGeneration} "+
				"{.status.updatedReplicas} {.status.availableReplicas} {.status.replicas}")
		if err != nil {
			return err
		}
		f := strings.Fields(out)
		if len(f) != 6 || f[0] != want || f[1] != f[2] || f[3] != "2" || f[4] != "2" || f[5] != "2" {
			return fmt.Errorf("it is %q, want %s", out, want)
		}
		return nil
	})
}

// record is the newest Rollback of an image; nil if absent.
func (s *stage) record(image string) *v1alpha1.Rollback {
	s.t.Helper()
	var list v1alpha1.RollbackList
	must(s.t, s.client.List(s.t.Context(), &list, client.InNamespace(s.fleet.Namespace(production))))
	var newest *v1alpha1.Rollback
	for i := range list.Items {
		if r := &list.Items[i]; r.Spec.Subject.Name == image && (newest == nil || newest.Name < r.Name) {
			newest = r
		}
	}
	return newest
}

// ends waits for the newest Rollback of an image to end like this.
func (s *stage) ends(image string, result v1alpha1.Result) *v1alpha1.Rollback {
	s.t.Helper()
	var r *v1alpha1.Rollback
	s.until("the Rollback of "+image+" ends as "+string(result), 10*time.Minute, func() error {
		if r = s.record(image); r == nil {
			return fmt.Errorf("there is none")
		}
		if r.Status.Outcome == nil || r.Status.Outcome.Result != result {
			return fmt.Errorf("it is %s, waiting %+v, outcome %+v", r.Status.Phase, r.Status.Waiting, r.Status.Outcome)
		}
		return nil
	})
	return r
}

// asks waits until a person is asked about an image.
func (s *stage) asks(image string) *v1alpha1.Rollback {
	s.t.Helper()
	var r *v1alpha1.Rollback
	s.until("a person is asked about "+image, 10*time.Minute, func() error {
		if r = s.record(image); r == nil {
			return fmt.Errorf("there is none")
		}
		if r.Status.Question == nil {
			return fmt.Errorf("it is %s, waiting %+v, outcome %+v", r.Status.Phase, r.Status.Waiting, r.Status.Outcome)
		}
		return nil
	})
	return r
}

func (s *stage) report() {
	if !s.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, args := range [][]string{
		{"get", "pods,deployments,rollbacks", "-A", "-o", "wide"}, {"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"logs", "-n", testenv.Namespace, "-l", "app.kubernetes.io/name=backstop", "--tail=60"},
	} {
		out, err := s.env.Kubectl(ctx, args...)
		s.t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	s.t.Log(s.node.Logs())
}
