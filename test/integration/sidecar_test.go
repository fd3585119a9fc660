package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/reconcile/record"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/process"
	"github.com/backstop-dev/backstop/test/testenv"
)

// Sidecar is a running backstop.
type Sidecar struct {
	*process.Process
	log string
}

// Log is what it has said so far.
func (s *Sidecar) Log() string {
	text, _ := os.ReadFile(s.log)
	return string(text)
}

var listens = regexp.MustCompile(`"listening","address":"([^"]+)"`)

// ready reports whether one of the addresses that the sidecar listens on answers that it is ready.
func (s *Sidecar) ready() error {
	select {
	case <-s.Done():
		return fmt.Errorf("it has ended: %w", s.Err())
	default:
	}
	last := errors.New("it does not listen yet")
	for _, m := range listens.FindAllStringSubmatch(s.Log(), -1) {
		res, err := http.Get("http://" + m[1] + "/readyz")
		if err != nil {
			last = err
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("%s says %s", m[1], res.Status)
	}
	return last
}

// startSidecar runs the real backstop for a world: its own process, its own
// ServiceAccount with what deploy/kustomize/default grants it and the world's
// Git secret, and the world's namespaces alone. flags come last and win.
func startSidecar(t *testing.T, w *World, flags ...string) *Sidecar {
	t.Helper()
	binary := buildSidecar(t, w.Env)
	w.grantSecrets(w.Fleet.FluxNamespace(), fleet.SourceName)
	config, err := w.Env.ConfigForServiceAccount(t.Context(), testenv.Namespace, testenv.ServiceAccount)
	w.must(err)
	if w.APIProxy != nil {
		config, err = testenv.Via(config, w.APIProxy)
		w.must(err)
	}
	if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, "--namespaces=") }) {
		flags = append(flags, "--namespaces="+strings.Join(w.Fleet.Namespaces(), ",")) // given twice, it adds
	}
	return runSidecar(t, w, binary, config, flags...)
}

// runSidecar runs backstop as whoever config says, until it is ready.
func runSidecar(t *testing.T, w *World, binary string, config *rest.Config, flags ...string) *Sidecar {
	t.Helper()
	kubeconfig, storage := w.scratch("kubeconfig"), w.scratch("storage")
	w.must(testenv.WriteKubeconfig(config, kubeconfig))
	log, err := os.Create(w.scratch("backstop.log"))
	w.must(err)
	defer log.Close()
	args := append([]string{
		"--kubeconfig=" + kubeconfig, "--cluster=" + w.Name,
		"--storage=" + storage, "--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--leader-elect=false", "--log-level=debug",
		"--slack-hosts=127.0.0.1", "--confirm-absence=0s",
	}, flags...)
	cmd := exec.Command(binary, args...)
	// A program that looks for races pays dearly for each collection of a heap that is small here.
	cmd.Env = append(os.Environ(), "POD_NAMESPACE="+testenv.Namespace, "GOGC=400")
	cmd.Stdout, cmd.Stderr = log, log
	p, err := process.Start("backstop", cmd)
	w.must(err)
	s := &Sidecar{Process: p, log: log.Name()}
	t.Cleanup(func() {
		s.Stop(10 * time.Second)
		said := s.Log()
		for _, sign := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
			// Its first words: what a busy sidecar logs after them fills the tail.
			if at := strings.Index(said, sign); at >= 0 {
				t.Errorf("the sidecar raced or panicked:\n%s", said[at:min(len(said), at+10000)])
			}
		}
		if w.Fleet.Password != "" && strings.Contains(said, w.Fleet.Password) {
			t.Error("the password of the Git server is in the sidecar's log")
		}
		if t.Failed() {
			t.Logf("backstop (%v):\n%s", s.Err(), said[max(0, len(said)-20000):])
		}
	})
	w.Until("the sidecar is ready", s.ready)
	return s
}

func TestSidecarStartsWithWhatTheDefaultOverlayGrants(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Tapped = true })
	s := startSidecar(t, w)
	w.Settle()
	w.Until("the sidecar watches pods", func() error {
		uses, err := w.Env.Audit()
		w.must(err)
		verbs := map[string]bool{}
		for _, u := range uses {
			if !strings.HasPrefix(u.Namespace, w.Name) {
				continue // another test's
			}
			if u.Code == http.StatusForbidden {
				t.Errorf("not granted: %+v", u)
			}
			verbs[u.Verb+" "+u.Resource] = true
		}
		if !verbs["list pods"] && !verbs["watch pods"] {
			return fmt.Errorf("it asks for %v", verbs)
		}
		return nil
	})
	s.Stop(10 * time.Second)
	if err := s.Err(); err != nil {
		t.Errorf("a sidecar that is told to stop ends with %v", err)
	}
	if strings.Contains(s.Log(), "correct horse") {
		t.Error("the password of the Git server is in the log")
	}
}

// buildSidecar builds the sidecar with the race detector, once.
func buildSidecar(t *testing.T, env *testenv.Env) string {
	t.Helper()
	return filepath.Join(build(t, env), "sidecar")
}

// buildCommands builds what people run, once.
func buildCommands(t *testing.T, env *testenv.Env) string {
	t.Helper()
	return filepath.Join(build(t, env), "backstop")
}

// build builds both programs into one folder.
func build(t *testing.T, env *testenv.Env) string {
	t.Helper()
	common.build.Do(func() {
		bin := filepath.Join(env.Dir, "bin")
		// The sidecar looks for races. The tests start the CLI a thousand times, each time for one answer: it would cost five
		// times as much, and what it does in several goroutines has tests of its own that look for them. Without debug
		// tables they are linked quicker.
		for _, args := range [][]string{{"./cmd/backstop"}, {"-race", "./cmd/sidecar"}} {
			cmd := exec.Command("go", append([]string{"build", "-ldflags", "-s -w", "-o", bin + "/"}, args...)...)
			cmd.Dir = env.Root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("build Backstop: %v\n%s", err, out)
				return
			}
		}
		common.bin = bin
	})
	if common.bin == "" {
		t.Fatal("Backstop does not build")
	}
	return common.bin
}

// install applies the default overlay, once, but for what would run in the
// cluster: its ServiceAccount, its RBAC and its admission policies count in
// every world, whichever test comes first.
func install(t *testing.T, w *World) {
	t.Helper()
	common.install.Do(func() {
		if err := applyOverlay(t.Context(), w.Env); err != nil {
			t.Errorf("install Backstop: %v", err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
}

// asBackstop writes Rollbacks as the sidecar does, who alone may open them.
func (w *World) asBackstop() *record.Records {
	w.t.Helper()
	return &record.Records{Client: w.backstopsClient()}
}

// backstopsClient has the rights of Backstop's ServiceAccount, and no more.
func (w *World) backstopsClient() client.Client {
	w.t.Helper()
	config, err := w.Env.ConfigForServiceAccount(w.t.Context(), testenv.Namespace, testenv.ServiceAccount)
	w.must(err)
	c, err := client.New(config, client.Options{Scheme: w.Client.Scheme()})
	w.must(err)
	return c
}

func applyOverlay(ctx context.Context, env *testenv.Env) error {
	text, err := env.Kubectl(ctx, "kustomize", filepath.Join(env.Root, "deploy", "kustomize", "default"))
	if err != nil {
		return fmt.Errorf("build the default overlay: %w", err)
	}
	var kept bytes.Buffer
	for document := range strings.SplitSeq(text, "\n---\n") {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			return fmt.Errorf("read the default overlay: %w", err)
		}
		left := []string{"CustomResourceDefinition", "Deployment", "NetworkPolicy", "PodDisruptionBudget"}
		if !slices.Contains(left, o.GetKind()) {
			fmt.Fprintf(&kept, "---\n%s\n", document)
		}
	}
	return env.Apply(ctx, kept.String())
}

// grantSecrets lets Backstop read named Secrets, as the component credentials does.
func (w *World) grantSecrets(namespace string, names ...string) {
	w.t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "backstop-credentials"}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: names, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"get"}},
	}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: testenv.Namespace, Name: testenv.ServiceAccount}},
	}
	for _, err := range []error{w.Client.Create(w.t.Context(), role), w.Client.Create(w.t.Context(), binding)} {
		if !apierrors.IsAlreadyExists(err) {
			w.must(err)
		}
	}
}
