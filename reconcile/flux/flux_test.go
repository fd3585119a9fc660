package flux

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// read decodes a captured object.
func read[T any](t *testing.T, file string) *T {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	if err := json.Unmarshal(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// scene is a captured cluster: what a case changes before the client is made.
type scene struct {
	deployment *appsv1.Deployment
	k          *kustomizev1.Kustomization
	repo       *sourcev1.GitRepository
	// writer is the GitRepository of the same URL in the automation's own namespace.
	writer *sourcev1.GitRepository
	auto   *automationv1.ImageUpdateAutomation
	policy *reflectorv1.ImagePolicy
	// more objects; of those above, what a case sets to nil is left out.
	more []client.Object
	// missing kinds are not installed, forbidden ones may not be read.
	missing, forbidden map[string]bool
	options            Options
	// managers are the field owners of the patches that were sent.
	managers []string
}

// captured is the develop environment as it was on a real cluster, with the Deployment in its namespace.
func captured(t *testing.T) *scene {
	t.Helper()
	s := &scene{
		deployment: read[appsv1.Deployment](t, "deploy-before-undo.json"),
		k:          read[kustomizev1.Kustomization](t, "kustomization-develop.json"),
		repo:       read[sourcev1.GitRepository](t, "gitrepository.json"),
		auto:       read[automationv1.ImageUpdateAutomation](t, "iua-develop.json"),
		policy:     read[reflectorv1.ImagePolicy](t, "imagepolicy-develop-backend.json"),
		writer:     read[sourcev1.GitRepository](t, "gitrepository.json"),
		missing:    map[string]bool{}, forbidden: map[string]bool{},
	}
	s.deployment.Namespace = "develop"
	s.deployment.Labels = fluxLabels("kustomize", "apps-develop", "flux-system")
	s.writer.Namespace = "develop"
	s.more = []client.Object{
		secret("flux-system", "fleet", map[string]string{"username": "reader", "password": "readme"}),
		secret("develop", "fleet", map[string]string{"username": "writer", "password": "hunter2"}),
	}
	return s
}

func fluxLabels(controller, name, namespace string) map[string]string {
	return map[string]string{
		controller + ".toolkit.fluxcd.io/name": name, controller + ".toolkit.fluxcd.io/namespace": namespace,
	}
}

func secret(namespace, name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	return s
}

func (s *scene) flux(t *testing.T) *Flux {
	t.Helper()
	f, _ := s.client(t)
	return f
}

func (s *scene) client(t *testing.T) (*Flux, client.Client) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{addToScheme, appsv1.AddToScheme, batchv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	var objects []client.Object
	add := func(o client.Object, absent bool) {
		if !absent {
			o.SetResourceVersion("")
			objects = append(objects, o)
		}
	}
	add(s.deployment, s.deployment == nil)
	add(s.k, s.k == nil)
	add(s.repo, s.repo == nil)
	add(s.auto, s.auto == nil)
	add(s.policy, s.policy == nil)
	add(s.writer, s.writer == nil)
	objects = append(objects, s.more...)
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(s.refuse(scheme))
	c := b.Build()
	return New(c, s.options), c
}

// refuse answers as an API server does for a kind that it does not serve, or that RBAC does not grant.
func (s *scene) refuse(scheme *runtime.Scheme) interceptor.Funcs {
	check := func(obj runtime.Object, name string) error {
		gvks, _, err := scheme.ObjectKinds(obj)
		gvk := obj.GetObjectKind().GroupVersionKind()
		if err == nil && gvk.Empty() {
			gvk = gvks[0]
		}
		kind := gvk.Kind
		if len(kind) > 4 && kind[len(kind)-4:] == "List" {
			kind = kind[:len(kind)-4]
		}
		if s.missing[kind] {
			return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: gvk.Group, Kind: kind}}
		}
		if s.forbidden[kind] {
			return apierrors.NewForbidden(schema.GroupResource{Group: gvk.Group, Resource: kind}, name, nil)
		}
		return nil
	}
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object,
			opts ...client.GetOption,
		) error {
			if err := check(obj, key.Name); err != nil {
				return err
			}
			return c.Get(ctx, key, obj, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if err := check(list, ""); err != nil {
				return err
			}
			return c.List(ctx, list, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch,
			opts ...client.PatchOption,
		) error {
			if err := check(obj, obj.GetName()); err != nil {
				return err
			}
			s.managers = append(s.managers, (&client.PatchOptions{}).ApplyOptions(opts).FieldManager)
			return c.Patch(ctx, obj, p, opts...)
		},
	}
}

var backend = v1alpha1.Workload{Kind: "Deployment", Name: "backend"}

func ref(kind, namespace, name string) v1alpha1.ObjectRef {
	return v1alpha1.ObjectRef{Kind: kind, Namespace: namespace, Name: name}
}

// refusal wants an error to be terminal, and gives its sentence.
func refusal(t *testing.T, err error) string {
	t.Helper()
	why, ok := reconcile.AsRefusal(err)
	if !ok {
		t.Fatalf("got error %v, want a refusal", err)
	}
	return why
}

// addToScheme makes the kinds that this package reads known to a scheme.
func addToScheme(s *runtime.Scheme) error {
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme, helmv2.AddToScheme, automationv1.AddToScheme,
		reflectorv1.AddToScheme,
	} {
		if err := add(s); err != nil {
			return fmt.Errorf("add kinds to the scheme: %w", err)
		}
	}
	return nil
}
