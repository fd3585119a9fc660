package integration

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/fluxstub"
	"github.com/backstop-dev/backstop/test/forgestub"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/node"
	"github.com/backstop-dev/backstop/test/proxy"
	"github.com/backstop-dev/backstop/test/realflux"
	"github.com/backstop-dev/backstop/test/registrystub"
	"github.com/backstop-dev/backstop/test/testenv"
)

// setup is what a test may want otherwise in its world.
type setup struct {
	Fleet fleet.Options
	Git   gitserver.Options
	// Forge is the provider of the fleet's repository, where it has one.
	Forge *forgestub.Options
	// Serve stands another server in the place of the stand-in. It fills in the world's Git, Repo and Origin, and the
	// credentials of the fleet, and gives the path of the fleet's repository.
	Serve    func(*World, *setup) (path string, err error)
	Registry registrystub.Options
	Node     node.Options
	Flux     fluxstub.Options
	// Vary changes the fleet before it is written to Git and to the cluster.
	Vary func(*World)
	// Tapped stands proxies before the API server and the Git server that count what the sidecar changes.
	Tapped bool
}

// World is one test's own fleet.
type World struct {
	t *testing.T
	// Name begins the names of its namespaces.
	Name string
	Env  *testenv.Env
	// Client of an administrator, who knows Flux's kinds and Backstop's.
	Client client.Client
	// Git is the server and Repo the folder of its bare repository.
	Git  *gitserver.Server
	Repo string
	// Origin is where people push to, where that is not the folder itself.
	Origin string
	// Forge is the repository's provider; nil where it has none.
	Forge *forgestub.Forge
	// Registry of the fleet's images.
	Registry *registrystub.Registry
	Fleet    *fleet.Fleet
	// Alice has a work tree.
	Alice *fleet.Person
	// Tap counts what the sidecar changes, where the world is tapped.
	Tap      *proxy.Tap
	APIProxy *proxy.Proxy
	GitProxy *proxy.Proxy

	log *buffer
	// env is what backstop is run with beside the test's own environment.
	env []string
	// written are the write-backs that were waited for.
	written []string

	// said is what git said; copies of a world share it.
	said *gitserver.Answers
}

// world makes a world and starts its stand-ins. What it holds is gone when the test has ended.
func world(t *testing.T, vary ...func(*setup)) *World {
	t.Helper()
	s := setup{Git: gitserver.Options{Username: "flux", Password: "correct horse"}}
	for _, v := range vary {
		v(&s)
	}
	begin := time.Now()
	defer func() { t.Logf("%6.2fs the world is made", time.Since(begin).Seconds()) }()
	w := &World{t: t, Env: environment(t), Name: worldName(t), log: &buffer{}, said: &gitserver.Answers{}}
	w.must(w.serve(&s))
	install(t, w)
	w.Fleet = fleet.New(s.Fleet)
	if s.Vary != nil {
		s.Vary(w)
	}
	for _, app := range w.Fleet.Apps {
		for _, env := range w.Fleet.Environments {
			w.Publish(app, fleet.Tag(env, 0))
		}
	}
	var err error
	w.Alice, err = fleet.NewPerson(t.Context(), "Alice", cmp.Or(w.Origin, w.Repo), t.TempDir())
	w.must(err)
	w.must(w.Alice.Write(w.Fleet.Files))
	_, err = w.Alice.Push(t.Context(), "Begin")
	w.must(err)
	w.must(w.Fleet.Create(t.Context(), w.Client))
	w.stand(s)
	t.Cleanup(w.report)
	return w
}

// worldName is short, unique, and reports whose world it is.
func worldName(t *testing.T) string {
	common.mu.Lock()
	defer common.mu.Unlock()
	common.worlds++
	name := regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "")
	return fmt.Sprintf("w%d-%s", common.worlds, name[:min(len(name), 24)])
}

// serve starts the servers and fills in the fleet's addresses.
func (w *World) serve(s *setup) error {
	scheme, err := fluxstub.Scheme()
	if err != nil {
		return err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	if w.Client, err = client.New(w.Env.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	path, err := w.serveGit(s)
	if err != nil {
		return err
	}
	if w.Registry, err = registrystub.Start(s.Registry); err != nil {
		return err
	}
	w.t.Cleanup(w.Registry.Close)
	gitURL := w.Git.URL
	if s.Tapped {
		if err := w.tap(); err != nil {
			return err
		}
		gitURL = w.GitProxy.URL
	}
	s.Fleet.Name, s.Fleet.GitURL, s.Fleet.Registry = w.Name, gitURL+path, w.Registry.Host()
	s.Fleet.Username, s.Fleet.Password = s.Git.Username, s.Git.Password
	return nil
}

// serveGit starts the Git server, or the provider that is one, and gives the path of the fleet's repository.
func (w *World) serveGit(s *setup) (path string, err error) {
	if s.Serve != nil {
		return s.Serve(w, s)
	}
	if s.Forge == nil {
		if w.Git, err = gitserver.Start(s.Git); err != nil {
			return "", err
		}
		w.t.Cleanup(func() { _ = w.Git.Close() })
		w.Repo, err = w.Git.Create("fleet.git")
		return "/fleet.git", err
	}
	if w.Forge, err = forgestub.Start(*s.Forge); err != nil {
		return "", err
	}
	w.t.Cleanup(func() { _ = w.Forge.Close() })
	w.Git, w.Repo = w.Forge.Server, w.Forge.Repo
	s.Git.Username, s.Git.Password = forgestub.Bot, forgestub.Token
	return "/" + forgestub.Project + ".git", nil
}

// tap stands proxies that share a count before both servers. Image automation
// pushes with git itself, which does not count; go-git, which the sidecar uses, does.
func (w *World) tap() error {
	w.Tap = &proxy.Tap{}
	var err error
	if w.APIProxy, err = w.Env.ProxyTo(w.Tap); err != nil {
		return err
	}
	w.t.Cleanup(w.APIProxy.Close)
	w.GitProxy, err = proxy.Start(proxy.Options{Target: w.Git.URL, Tap: w.Tap, Mutates: proxy.GitPushNotBy("git/")})
	if err != nil {
		return err
	}
	w.t.Cleanup(w.GitProxy.Close)
	return nil
}

// stand starts the stand-ins; they end after the namespaces have.
func (w *World) stand(s setup) {
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s.Node.Config, s.Node.Namespaces, s.Node.Log = w.Env.Config, w.Fleet.Namespaces(), log
	s.Flux.Config, s.Flux.Namespaces, s.Flux.Log, s.Flux.Dir = w.Env.Config, w.Fleet.Namespaces(), log, w.t.TempDir()
	var running sync.WaitGroup
	for name, run := range map[string]func() error{
		"node": func() error { return node.Run(ctx, s.Node) },
		"flux": func() error { return runFlux(ctx, s.Flux) },
	} {
		running.Go(func() {
			if err := run(); err != nil {
				w.t.Errorf("the stand-in for %s: %v", name, err)
			}
		})
	}
	w.t.Cleanup(func() {
		w.clear()
		cancel()
		running.Wait()
	})
}

// runFlux runs the stand-ins for Flux; with FLUX=DIR its own controllers, one set for all worlds.
func runFlux(ctx context.Context, o fluxstub.Options) error {
	dir := os.Getenv("FLUX")
	if dir == "" {
		return fluxstub.Run(ctx, o)
	}
	common.realFlux.Do(func() {
		common.flux, common.fluxErr = realflux.Start(context.Background(), realflux.Options{
			Dir: dir, Env: common.env, Data: common.env.Dir, CancelHealthChecks: o.CancelHealthChecks,
		})
	})
	if common.fluxErr == nil {
		<-ctx.Done()
	}
	return common.fluxErr
}

// clear deletes the namespaces, and at once the pods, which a sidecar of another test could see.
func (w *World) clear() {
	begin := time.Now()
	defer func() { w.t.Logf("%6.2fs the world is gone", time.Since(begin).Seconds()) }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, name := range w.Fleet.Namespaces() {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := w.Client.Delete(ctx, ns); client.IgnoreNotFound(err) != nil {
			w.t.Logf("delete %s: %v", name, err)
		}
	}
	for _, name := range w.Fleet.Namespaces() {
		for pods := (&corev1.PodList{}); ; time.Sleep(20 * time.Millisecond) {
			err := w.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(name), client.GracePeriodSeconds(0))
			if err == nil {
				err = w.Client.List(ctx, pods, client.InNamespace(name))
			}
			if err != nil || len(pods.Items) == 0 {
				break
			}
		}
	}
}

// report describes what there is to know of a world whose test failed.
func (w *World) report() {
	if !w.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	log, _ := w.Alice.Git(ctx, "--git-dir="+w.Repo, "log", "--format=%h %ci %an: %s", "-n", "20", fleet.Branch)
	w.t.Logf("git log:\n%s", log)
	for _, ns := range w.Fleet.Namespaces() {
		out, _ := w.Env.Kubectl(ctx, "get", "gitrepositories,kustomizations,imageupdateautomations,imagepolicies,deployments,pods,rollbacks", "-n", ns)
		w.t.Logf("%s:\n%s", ns, out)
	}
	w.t.Logf("stand-ins:\n%s", w.log)
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// patience is how long anything may take; what is waited for is there much sooner, but on a machine that is busy.
const patience = 5 * time.Minute

// Until asks again and again until there is no error, and fails the test with the last one when patience is over.
func (w *World) Until(what string, ask func() error) {
	w.t.Helper()
	begin := time.Now()
	for {
		asked := time.Now()
		err := ask()
		if err == nil {
			w.t.Logf("%6.2fs %s", time.Since(begin).Seconds(), what)
			return
		}
		if time.Since(begin) > patience {
			w.t.Fatalf("waited for: %s: %v", what, err)
		}
		// What takes longer is asked for less often: every question costs the control plane and git. What is hard to answer
		// leaves others as much time as it took.
		time.Sleep(max(min(max(time.Since(begin)/20, 20*time.Millisecond), 200*time.Millisecond), time.Since(asked)))
	}
}

// LiveImage is what a Deployment's template says.
func (w *World) LiveImage(env, app string) string {
	w.t.Helper()
	return w.deployment(env, app).Spec.Template.Spec.Containers[0].Image
}

func (w *World) deployment(env, app string) *appsv1.Deployment {
	w.t.Helper()
	d := &appsv1.Deployment{}
	w.must(client.IgnoreNotFound(w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.Fleet.Namespace(env), Name: app}, d)))
	if len(d.Spec.Template.Spec.Containers) == 0 {
		d.Spec.Template.Spec.Containers = []corev1.Container{{}} // not there yet
	}
	return d
}

// Runs reports whether a Deployment's rollout of an image is complete.
func (w *World) Runs(env, app, tag string) error {
	w.t.Helper()
	d := w.deployment(env, app)
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	image := d.Spec.Template.Spec.Containers[0].Image
	switch {
	case image != w.Fleet.Image(app, tag):
		return fmt.Errorf("%s/%s has image %q, not %s", env, app, image, tag)
	case d.Status.ObservedGeneration != d.Generation, d.Status.UpdatedReplicas != want, d.Status.AvailableReplicas != want, d.Status.Replicas != want:
		return fmt.Errorf("%s/%s is not rolled out: %+v", env, app, d.Status)
	}
	return nil
}

// Settle waits until every app runs its first image.
func (w *World) Settle() {
	w.t.Helper()
	w.Until("every app runs its first image", func() error {
		for _, env := range w.Fleet.Environments {
			for _, app := range w.Fleet.Apps {
				if err := w.Runs(env, app, fleet.Tag(env, 0)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Waiting gives reason and message of the containers of an environment that wait, one a line.
func (w *World) Waiting(env string) []string {
	w.t.Helper()
	var pods corev1.PodList
	w.must(w.Client.List(w.t.Context(), &pods, client.InNamespace(w.Fleet.Namespace(env))))
	var all []string
	for _, p := range pods.Items {
		for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			if s := c.State.Waiting; s != nil && s.Message != "" {
				all = append(all, s.Reason+" "+s.Message)
			}
		}
	}
	return all
}

// Object reads an object of the world again.
func Object[T client.Object](w *World, o T) T {
	w.t.Helper()
	w.must(w.Client.Get(w.t.Context(), client.ObjectKeyFromObject(o), o))
	return o
}

// scratch is a folder of the world's own.
func (w *World) scratch(name string) string { return filepath.Join(w.t.TempDir(), name) }
