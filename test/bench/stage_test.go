package bench

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/fluxstub"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/node"
	"github.com/backstop-dev/backstop/test/registrystub"
	"github.com/backstop-dev/backstop/test/testenv"
)

// env is the environment that everything is deployed to.
const env = "production"

// stage is a cluster with a fleet of which every app runs.
type stage struct {
	b        *testing.B
	plane    *testenv.Env
	client   client.Client
	git      *httptest.Server
	repo     string
	registry *registrystub.Registry
	fleet    *fleet.Fleet
	alice    *fleet.Person
	kubelet  *kubelet

	// asked counts the requests to the Git server, and password is what it wants by now; nil for that of the beginning.
	asked    atomic.Int64
	password atomic.Pointer[string]

	mu sync.Mutex
	// pushed are the times at which pushes had been answered.
	pushed []time.Time
	push   chan struct{}
}

// newStage makes a stage of n apps, with a policy that reverts at once.
func newStage(b *testing.B, n int) *stage {
	b.Helper()
	s := openStage(b)
	s.must(node.Register(b.Context(), s.plane.Config, node.Node{Name: "node-1", OS: "linux", Arch: "amd64"}))
	var apps []string
	for i := range n {
		apps = append(apps, fmt.Sprintf("app-%03d", i))
	}
	s.fleet = fleet.New(s.options(apps...))
	s.populate()
	s.deploy()
	return s
}

// openStage is a control plane with a Git server and a registry beside it, all of them empty.
func openStage(b *testing.B) *stage {
	b.Helper()
	s := &stage{b: b, push: make(chan struct{}, 1)}
	var err error
	s.plane, err = testenv.Start(b.Context(), testenv.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	s.must(err)
	b.Cleanup(s.plane.Stop)
	scheme, err := fluxstub.Scheme()
	s.must(err)
	s.must(v1alpha1.AddToScheme(scheme))
	s.client, err = client.New(s.plane.Config, client.Options{Scheme: scheme})
	s.must(err)
	s.serveGit()
	s.registry, err = registrystub.Start(registrystub.Options{})
	s.must(err)
	b.Cleanup(s.registry.Close)
	return s
}

func (s *stage) options(apps ...string) fleet.Options {
	return fleet.Options{Name: "bench", GitURL: s.git.URL + "/fleet.git", Registry: s.registry.Host(),
		Environments: []string{env}, Apps: apps, Username: "flux", Password: "correct horse"}
}

// populate puts the fleet into Git and the cluster, and installs what Backstop runs under.
func (s *stage) populate() {
	s.b.Helper()
	var err error
	s.alice, err = fleet.NewPerson(s.b.Context(), "Alice", s.repo, s.b.TempDir())
	s.must(err)
	s.must(s.alice.Write(s.fleet.Files))
	_, err = s.alice.Push(s.b.Context(), "Begin")
	s.must(err)
	s.must(s.fleet.Create(s.b.Context(), s.client))
	s.install()
}

func (s *stage) must(err error) {
	s.b.Helper()
	if err != nil {
		s.b.Fatal(err)
	}
}

// serveGit serves the fleet's repository and notes when a push was answered.
func (s *stage) serveGit() {
	server, err := gitserver.Start(gitserver.Options{Username: "flux", Password: "correct horse"})
	s.must(err)
	s.repo, err = server.Create("fleet.git")
	s.must(err)
	s.git = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if now := s.password.Load(); now != nil {
			if _, password, _ := r.BasicAuth(); password == *now {
				r.SetBasicAuth("flux", "correct horse")
			} else {
				r.Header.Del("Authorization")
			}
		}
		server.ServeHTTP(w, r)
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
			return
		}
		s.mu.Lock()
		s.pushed = append(s.pushed, time.Now())
		s.mu.Unlock()
		select {
		case s.push <- struct{}{}:
		default:
		}
	}))
	s.b.Cleanup(func() {
		s.git.Close()
		_ = server.Close()
	})
}

// pushes are the times of the pushes so far.
func (s *stage) pushes() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pushed)
}

// install applies what the sidecar runs under, and the policy.
func (s *stage) install() {
	text, err := s.plane.Kubectl(s.b.Context(), "kustomize", filepath.Join(s.plane.Root, "deploy", "kustomize", "default"))
	s.must(err)
	var kept bytes.Buffer
	for document := range strings.SplitSeq(text, "\n---\n") {
		var o unstructured.Unstructured
		s.must(yaml.Unmarshal([]byte(document), &o.Object))
		if !slices.Contains([]string{"CustomResourceDefinition", "Deployment", "NetworkPolicy", "PodDisruptionBudget"}, o.GetKind()) {
			fmt.Fprintf(&kept, "---\n%s\n", document)
		}
	}
	s.must(s.plane.Apply(s.b.Context(), kept.String()))
	name := metav1.ObjectMeta{Namespace: s.fleet.FluxNamespace(), Name: "backstop-credentials"}
	s.create(
		&rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{fleet.SourceName}, Verbs: []string{"get"}},
		}},
		&rbacv1.RoleBinding{
			ObjectMeta: name, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: testenv.Namespace, Name: testenv.ServiceAccount}},
		},
		&v1alpha1.RollbackPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.fleet.Namespace(env), Name: "apps"},
			Spec: v1alpha1.RollbackPolicySpec{
				Triggers: []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerImagePull, Mode: v1alpha1.ModeAuto, GracePeriod: &metav1.Duration{}}},
				Approval: v1alpha1.Approval{Timeout: metav1.Duration{Duration: time.Hour}},
				Delivery: v1alpha1.DeliveryPush, Lift: v1alpha1.LiftNewerImage,
				VerifyTimeout: metav1.Duration{Duration: 15 * time.Minute},
			},
		},
	)
}

func (s *stage) create(objects ...client.Object) {
	s.b.Helper()
	for _, o := range objects {
		s.must(s.client.Create(s.b.Context(), o))
	}
}

// deploy does what Flux does: it applies every manifest, and says so in the statuses.
func (s *stage) deploy() {
	s.kubelet = newKubelet(s)
	var inventory []kustomizev1.ResourceRef
	for _, app := range s.fleet.Apps {
		_, err := s.registry.PushIndex(app, fleet.Tag(env, 0), "linux/amd64")
		s.must(err)
		d := &appsv1.Deployment{}
		s.must(yaml.Unmarshal([]byte(s.fleet.Deployment(env, app)), d))
		d.Labels["kustomize.toolkit.fluxcd.io/name"], d.Labels["kustomize.toolkit.fluxcd.io/namespace"] = env, s.fleet.FluxNamespace()
		d.Spec.Template.Spec.NodeName = "node-1"
		s.create(d)
		inventory = append(inventory, kustomizev1.ResourceRef{ID: d.Namespace + "_" + app + "_apps_Deployment", Version: "v1"})
	}
	k := &kustomizev1.Kustomization{}
	s.edit(k, s.fleet.FluxNamespace(), env, func() { k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: inventory} })
	s.reconciled()
	s.until("every app to run", func() error {
		var all appsv1.DeploymentList
		if err := s.client.List(s.b.Context(), &all, client.InNamespace(s.fleet.Namespace(env))); err != nil {
			return err
		}
		for i := range all.Items {
			if all.Items[i].Status.AvailableReplicas != 1 {
				return fmt.Errorf("%s does not", all.Items[i].Name)
			}
		}
		return nil
	})
}

// edit writes the status of a Flux object.
func (s *stage) edit(o client.Object, namespace, name string, change func()) {
	s.b.Helper()
	s.must(s.client.Get(s.b.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o))
	change()
	s.must(s.client.Status().Update(s.b.Context(), o))
}

// reconciled reports that Flux fetched and applied the tip.
func (s *stage) reconciled() {
	s.b.Helper()
	tip, err := s.alice.Git(s.b.Context(), "--git-dir="+s.repo, "rev-parse", fleet.Branch)
	s.must(err)
	revision := fleet.Branch + "@sha1:" + tip
	repo := &sourcev1.GitRepository{}
	s.edit(repo, s.fleet.FluxNamespace(), fleet.SourceName, func() {
		repo.Status.Artifact = &meta.Artifact{Path: "fleet.tar.gz", URL: "http://source/fleet.tar.gz", Revision: revision,
			Digest: "sha256:" + strings.Repeat("0", 64), LastUpdateTime: metav1.Now()}
	})
	k := &kustomizev1.Kustomization{}
	s.edit(k, s.fleet.FluxNamespace(), env, func() {
		k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision = revision, revision
		apimeta.SetStatusCondition(&k.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionTrue,
			Reason: meta.ReconciliationSucceededReason, Message: "Applied revision: " + revision})
	})
}

// until waits for a condition.
func (s *stage) until(what string, ask func() error) {
	s.b.Helper()
	ctx, cancel := context.WithTimeout(s.b.Context(), 3*time.Minute)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.b.Fatalf("wait for %s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
