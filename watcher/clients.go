package watcher

import (
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// Clients are the ways to the API server.
type Clients struct {
	// Core reads pods, their owners and nodes, and writes Leases and Events.
	Core kubernetes.Interface
	// Custom gives a client for the custom kinds of one group and version: Flux's and Backstop's own.
	Custom func(schema.GroupVersion) (cache.Getter, error)
}

// Connect makes the clients. Core kinds travel as protobuf, custom ones as JSON. Where the configuration sets no
// No rate limit is set: the API server's own priority and fairness limits better than a client that guesses.
func Connect(cfg *rest.Config) (Clients, error) {
	cfg = rest.CopyConfig(cfg)
	if cfg.QPS == 0 {
		cfg.QPS = -1
	}
	core := rest.CopyConfig(cfg)
	core.ContentType = runtime.ContentTypeProtobuf
	core.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	set, err := kubernetes.NewForConfig(core)
	if err != nil {
		return Clients{}, fmt.Errorf("make a client for core kinds: %w", err)
	}
	codecs := serializer.NewCodecFactory(customKinds()).WithoutConversion()
	return Clients{Core: set, Custom: func(gv schema.GroupVersion) (cache.Getter, error) {
		custom := rest.CopyConfig(cfg)
		custom.GroupVersion, custom.APIPath, custom.NegotiatedSerializer = &gv, "/apis", codecs
		c, err := rest.RESTClientFor(custom)
		if err != nil {
			return nil, fmt.Errorf("make a client for %s: %w", gv, err)
		}
		return c, nil
	}}, nil
}

// customKinds is the scheme of the kinds that are watched and not built in. No object can end a watch: Backstop's own
// are decoded each by itself, and of Flux's only the metadata is read, with the conditions of those that apply.
func customKinds() *runtime.Scheme {
	scheme := runtime.NewScheme()
	tolerant[v1alpha1.Rollback](scheme, v1alpha1.GroupVersion.WithKind(kindRollback))
	tolerant[v1alpha1.RollbackPolicy](scheme, v1alpha1.GroupVersion.WithKind(kindRollbackPolicy))
	tolerant[unstructured.Unstructured](scheme, trigger.Flagger)
	tolerant[unstructured.Unstructured](scheme, trigger.Argo)
	tolerant[unstructured.Unstructured](scheme, trigger.ArgoAnalysis)
	conditioned(scheme, kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind))
	conditioned(scheme, helmv2.GroupVersion.WithKind(helmv2.HelmReleaseKind))
	for _, gvk := range []schema.GroupVersionKind{
		imagev1.GroupVersion.WithKind(kindImagePolicy),
		automationv1.GroupVersion.WithKind(automationv1.ImageUpdateAutomationKind),
		sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind),
	} {
		scheme.AddKnownTypeWithName(gvk, &metav1.PartialObjectMetadata{})
		scheme.AddKnownTypeWithName(gvk.GroupVersion().WithKind(gvk.Kind+"List"), &metav1.PartialObjectMetadataList{})
		metav1.AddToGroupVersion(scheme, gvk.GroupVersion())
	}
	return scheme
}

// conditioned makes a kind of Flux's known of which the conditions are read too.
func conditioned(scheme *runtime.Scheme, gvk schema.GroupVersionKind) {
	scheme.AddKnownTypeWithName(gvk, &kube.Item[applies, *applies]{})
	scheme.AddKnownTypeWithName(gvk.GroupVersion().WithKind(gvk.Kind+"List"), &kube.Items[applies, *applies]{})
	metav1.AddToGroupVersion(scheme, gvk.GroupVersion())
}

func tolerant[T any, P kube.Object[T]](scheme *runtime.Scheme, gvk schema.GroupVersionKind) {
	scheme.AddKnownTypeWithName(gvk, &kube.Item[T, P]{})
	scheme.AddKnownTypeWithName(gvk.GroupVersion().WithKind(gvk.Kind+"List"), &kube.Items[T, P]{})
	metav1.AddToGroupVersion(scheme, gvk.GroupVersion())
}

// custom watches a kind by its path alone, without discovery: where the kind is missing the reflector asks again
// with back-off, and a CRD that is installed later is picked up by that.
func (c Clients) custom(gv schema.GroupVersion, resource string, example runtime.Object) makeInformer {
	return func(namespace string, ix cache.Indexers) (cache.SharedIndexInformer, error) {
		client, err := c.Custom(gv)
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", resource, err)
		}
		lw := cache.NewListWatchFromClient(client, resource, namespace, fields.Everything())
		return cache.NewSharedIndexInformer(lw, example, 0, ix), nil
	}
}

// applies is what is read of a Kustomization or a HelmRelease: whether it says that it cannot apply.
type applies struct {
	metav1.TypeMeta
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

// condition is what is read of one. Its words are read live by whoever judges it.
type condition struct {
	Type   string                 `json:"type"`
	Status metav1.ConditionStatus `json:"status"`
	Reason string                 `json:"reason"`
}

// DeepCopyObject is runtime.Object's.
func (a *applies) DeepCopyObject() runtime.Object {
	out := &applies{TypeMeta: a.TypeMeta}
	a.DeepCopyInto(&out.ObjectMeta)
	out.Status.Conditions = append([]condition{}, a.Status.Conditions...)
	return out
}
