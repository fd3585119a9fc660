package testenv_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/proxy"
	"github.com/backstop-dev/backstop/test/testenv"
)

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, helmv2.AddToScheme, automationv1.AddToScheme,
		reflectorv1.AddToScheme, kustomizev1.AddToScheme, notificationv1beta3.AddToScheme, sourcev1.AddToScheme,
	} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func clientFor(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually asks until the answer is nil.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestEnvironment(t *testing.T) {
	begin := time.Now()
	env, err := testenv.Start(t.Context(), testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %s", time.Since(begin).Round(10*time.Millisecond))
	admin := clientFor(t, env.Config)

	t.Run("kubectl speaks to it", func(t *testing.T) {
		out, err := env.Kubectl(t.Context(), "get", "namespaces", "-o", "name")
		if err != nil || !strings.Contains(out, "namespace/"+testenv.Namespace) {
			t.Errorf("got %q, %v", out, err)
		}
		if _, err := env.Kubectl(t.Context(), "get", "nonsense"); err == nil || !strings.Contains(err.Error(), `doesn't have a resource type "nonsense"`) {
			t.Errorf("kubectl's complaint is lost: %v", err)
		}
	})
	t.Run("a Deployment gets a ReplicaSet and pods", func(t *testing.T) { controllers(t, admin) })
	t.Run("every kind of Flux and Backstop is served", func(t *testing.T) { kinds(t, env, admin) })
	t.Run("a ServiceAccount may do what RBAC grants, and is audited", func(t *testing.T) { serviceAccount(t, env, admin) })
	t.Run("a user is who its certificate says", func(t *testing.T) { user(t, env) })
	t.Run("a proxy counts what changes something, and may refuse", func(t *testing.T) { proxied(t, env, admin) })

	env.Stop()
	if _, err := os.Stat(env.Dir); !os.IsNotExist(err) {
		t.Errorf("Stop left %s: %v", env.Dir, err)
	}
	if err := admin.List(t.Context(), &corev1.NamespaceList{}); err == nil {
		t.Error("Stop left an API server that answers")
	}
}

func controllers(t *testing.T, admin client.Client) {
	labels := map[string]string{"app": "web"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:v1"}}},
			},
		},
	}
	if err := admin.Create(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		var pods corev1.PodList
		if err := admin.List(t.Context(), &pods, client.InNamespace("default")); err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("%d pods", len(pods.Items))
		}
		return nil
	})
	if err := admin.Delete(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		var pods corev1.PodList
		if err := admin.List(t.Context(), &pods, client.InNamespace("default")); err != nil || len(pods.Items) == 0 {
			return err
		}
		return fmt.Errorf("the garbage collector left %d pods", len(pods.Items))
	})
}

func kinds(t *testing.T, env *testenv.Env, admin client.Client) {
	for _, list := range []client.ObjectList{
		&sourcev1.GitRepositoryList{}, &sourcev1.OCIRepositoryList{}, &sourcev1.BucketList{}, &kustomizev1.KustomizationList{},
		&helmv2.HelmReleaseList{}, &reflectorv1.ImageRepositoryList{}, &reflectorv1.ImagePolicyList{},
		&automationv1.ImageUpdateAutomationList{}, &notificationv1beta3.ProviderList{}, &notificationv1beta3.AlertList{},
		&v1alpha1.RollbackList{}, &v1alpha1.RollbackPolicyList{},
	} {
		if err := admin.List(t.Context(), list); err != nil {
			t.Errorf("%T: %v", list, err)
		}
	}
	provider := &notificationv1beta3.Provider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "slack"},
		Spec:       notificationv1beta3.ProviderSpec{Type: "slack", Channel: "rollbacks"},
	}
	if err := admin.Create(t.Context(), provider); err != nil {
		t.Errorf("the CRD does not take what Flux's own type writes: %v", err)
	}
	const nonsense = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: nonsense, namespace: default}
spec: {interval: soon, prune: true, sourceRef: {kind: GitRepository, name: fleet}}`
	if err := env.Apply(t.Context(), nonsense); err == nil || !strings.Contains(err.Error(), "spec.interval") {
		t.Errorf("the CRD takes an interval that is none: %v", err)
	}
}

func serviceAccount(t *testing.T, env *testenv.Env, admin client.Client) {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: testenv.Namespace, Name: testenv.ServiceAccount}}
	if err := admin.Create(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reads-pods, namespace: default}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reads-pods, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reads-pods}
subjects: [{kind: ServiceAccount, name: backstop, namespace: backstop-system}]`
	if err := env.Apply(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := env.KubeconfigForServiceAccount(t.Context(), testenv.Namespace, testenv.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := env.KubectlAs(t.Context(), kubeconfig, "get", "pods", "-n", "default")
		return err
	})
	if _, err := env.KubectlAs(t.Context(), kubeconfig, "get", "secrets", "-n", "default"); err == nil || !strings.Contains(err.Error(), "cannot list resource \"secrets\"") {
		t.Errorf("secrets: got %v, want a refusal", err)
	}
	eventually(t, func() error {
		uses, err := env.Audit()
		if err != nil {
			return err
		}
		got := map[string]int{}
		for _, u := range uses {
			if u.User != "system:serviceaccount:backstop-system:backstop" {
				t.Errorf("the audit log holds a request of %q", u.User)
			}
			if u.Path == "" && u.Namespace == "default" {
				got[u.Verb+" "+u.Resource] = u.Code
			}
		}
		want := map[string]int{"list pods": 200, "list secrets": 403}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("audited (-want +got):\n%s", diff)
		}
		return nil
	})
}

func user(t *testing.T, env *testenv.Env) {
	kubeconfig, err := env.KubeconfigForUser("alice", "developers")
	if err != nil {
		t.Fatal(err)
	}
	out, err := env.KubectlAs(t.Context(), kubeconfig, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}")
	if err != nil || !strings.HasPrefix(out, `alice ["developers"`) {
		t.Errorf("got %q, %v", out, err)
	}
}

func proxied(t *testing.T, env *testenv.Env, admin client.Client) {
	p, err := env.ProxyTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	certified, err := env.ConfigForUser("alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := testenv.Via(certified, p); err == nil {
		t.Error("a client certificate cannot go through a proxy, and nobody said so")
	}
	token, err := env.ConfigForServiceAccount(t.Context(), "default", "default")
	if err != nil {
		t.Fatal(err)
	}
	config, err := testenv.Via(token, p)
	if err != nil {
		t.Fatal(err)
	}
	c := clientFor(t, config)
	err = c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "mine"}})
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want the API server's own refusal", err)
	}
	want := []proxy.Request{{N: 1, Method: "POST", Path: "/api/v1/namespaces/default/configmaps"}}
	if diff := cmp.Diff(want, p.Tap.Seen()); diff != "" {
		t.Error(diff)
	}
	p.Refuse()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := c.List(ctx, &corev1.PodList{}); err == nil || apierrors.IsForbidden(err) {
		t.Errorf("got %v, want no connection", err)
	}
	p.Admit()
	if err := c.List(t.Context(), &corev1.PodList{}); !apierrors.IsForbidden(err) {
		t.Errorf("after Admit: %v", err)
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	if _, err := testenv.Start(t.Context(), testenv.Options{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "no scripts/control-plane.sh") {
		t.Errorf("got %v", err)
	}
}

// The committed CRDs must be those of the Flux modules that go.mod names.
func TestFluxCRDsAreOfTheVersionsInGoMod(t *testing.T) {
	versions, err := os.ReadFile(filepath.Join("crds", "versions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(versions))
	for lines.Scan() {
		if !bytes.Contains(mod, []byte(lines.Text())) {
			t.Errorf("go.mod has not %s: run test/testenv/crds/generate.sh", lines.Text())
		}
	}
	if n := bytes.Count(versions, []byte("\n")); n != 6 {
		t.Errorf("versions.txt has %d lines", n)
	}
}
