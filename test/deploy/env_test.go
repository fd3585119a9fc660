// Package deploy_test applies what is in deploy/kustomize to a real API server
// and tries everything that it is meant to allow and to refuse.
package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/testenv"
)

// backstop is who the default overlay runs as.
const backstop = "system:serviceaccount:backstop-system:backstop"

// common is the control plane that everything here shares, begun by the first that asks.
var common struct {
	once sync.Once
	env  *testenv.Env
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if common.env != nil {
		common.env.Stop()
	}
	os.Exit(code)
}

func environment(t testing.TB) *testenv.Env {
	t.Helper()
	// Not the test's context: the control plane outlives it.
	common.once.Do(func() { common.env, common.err = testenv.Start(context.Background(), testenv.Options{}) })
	if common.err != nil {
		t.Fatal(common.err)
	}
	return common.env
}

// TestDeploy applies the overlays one after the other. The order counts: the tenant overlay
// replaces what the default one says of who Backstop is.
func TestDeploy(t *testing.T) {
	env := environment(t)
	s := suite{env: env, admin: clientAs(t, env.Config, "")}
	s.create(t, `{apiVersion: v1, kind: Namespace, metadata: {name: apps}}`)
	s.create(t, `{apiVersion: v1, kind: Namespace, metadata: {name: team-a}}`)

	if !t.Run("the default overlay is accepted, and runs", s.defaultOverlay) {
		return
	}
	t.Run("it grants what is needed and no more", s.rights)
	t.Run("the component credentials grants named Secrets of one namespace", s.credentials)
	t.Run("the component unstick grants to delete pods", s.unstick)
	t.Run("the component fast-forward lets images alone be set, where a namespace allows it", s.fastForward)
	t.Run("every kustomization in the docs can be built", s.docs)
	t.Run("the component slack-http lets Slack's clicks in", s.slackHTTP)
	t.Run("the component alerts lets Flux's events in", s.alerts)
	t.Run("people view and decide by the roles that they have anyway", s.people)
	t.Run("Backstop changes one annotation of a Flux object", s.fluxObjects)
	t.Run("people decide in their own name", s.decisions)
	t.Run("a time is taken in every form that can be read", s.times)
	t.Run("a policy that is nonsense is refused with a sentence", s.policies)
	t.Run("a step is filled in order and never erased", s.blanks)
	t.Run("a status that is full in every field is taken", s.full)
	t.Run("the tenant overlay stays in its namespace", s.tenantOverlay)
}

type suite struct {
	env   *testenv.Env
	admin client.Client
}

// clientAs impersonates a user, who may do whatever its groups may.
func clientAs(t *testing.T, config *rest.Config, user string, groups ...string) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, notificationv1beta3.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// almighty is a user whom RBAC lets do everything, so that what refuses is admission.
func (s suite) almighty(t *testing.T, user string) client.Client {
	t.Helper()
	return clientAs(t, s.env.Config, user, "system:masters")
}

// object reads YAML.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return o
}

func (s suite) create(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := object(t, text)
	if err := s.admin.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o
}

func (s suite) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.env.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// folder is a folder of deploy/kustomize.
func (s suite) folder(name string) string {
	return filepath.Join(s.env.Root, "deploy", "kustomize", name)
}

// overlay writes a kustomization as a user would, in a folder of its own, where
// KUSTOMIZE stands for the path to deploy/kustomize.
func (s suite) overlay(t *testing.T, text string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// kustomize wants relative paths.
	rel, err := filepath.Rel(dir, s.folder(""))
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "KUSTOMIZE", rel)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// eventually asks until the answer is nil. The API server's caches of policies
// and rights follow a write within a second.
func eventually(t *testing.T, ask func(context.Context) error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ask(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// refused describes what is wrong with an answer that should refuse with a sentence.
func refused(err error, sentence string) error {
	if err == nil {
		return fmt.Errorf("accepted, want %q", sentence)
	}
	if !strings.Contains(err.Error(), sentence) {
		return fmt.Errorf("refused otherwise, want %q: %w", sentence, err)
	}
	return nil
}

// want compares an answer with what is expected: a sentence, or acceptance where it is empty.
func want(t *testing.T, err error, sentence string) {
	t.Helper()
	switch {
	case sentence == "" && err != nil:
		t.Errorf("refused: %v", err)
	case sentence != "":
		if err := refused(err, sentence); err != nil {
			t.Error(err)
		}
	}
}

var errNotYet = errors.New("not yet")
