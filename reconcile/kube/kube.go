// Package kube connects Backstop's programs to a cluster.
//
//	kubeconfig flag, KUBECONFIG, ~/.kube/config, the pod's ServiceAccount ──► Config ──► rest.Config
//	rest.Config + the kinds of Kubernetes, Flux and Backstop ──► Client, which reads live
//
// The informers of the sidecar are the watcher's: what is read here is what the API server answers now.
package kube

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/build"
)

// FieldOwner is Backstop's field manager. It must never start with kubectl: kustomize-controller strips those.
const FieldOwner = "backstop"

// ErrNoCluster means that nothing leads to a cluster.
var ErrNoCluster = errors.New("no cluster")

// Config finds the cluster: the kubeconfig and context that are named, else what kubectl would use, else the pod's
// ServiceAccount. The namespace is the context's; it is empty where the kubeconfig cannot be read.
func Config(kubeconfig, context string) (cfg *rest.Config, namespace string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: context})
	cfg, err = loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		// client-go would speak of a variable that nobody set.
		where := strings.Join(rules.GetLoadingPrecedence(), ", ")
		if raw, err := loader.RawConfig(); err == nil && len(raw.Contexts) > 0 {
			return nil, "", fmt.Errorf("%w: %s has no current-context: name one of %s", ErrNoCluster, where,
				strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", "))
		}
		return nil, "", fmt.Errorf("%w: %s, and this is no pod", ErrNoCluster, without(rules.GetLoadingPrecedence()))
	}
	if err != nil {
		return nil, "", fmt.Errorf("no cluster: %w", err)
	}
	if namespace, _, err = loader.Namespace(); err != nil {
		return nil, "", fmt.Errorf("no namespace: %w", err)
	}
	cfg.UserAgent = "backstop/" + build.Version()
	return cfg, namespace, nil
}

// without says of kubeconfigs that they are not there, or else that they say nothing.
func without(files []string) string {
	there := slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		_, err := os.Stat(file)
		return err != nil
	})
	if len(there) == 0 {
		return "there is no kubeconfig " + strings.Join(files, ", ")
	}
	return strings.Join(there, ", ") + " names no cluster"
}

// Client reads and writes live, as Backstop's field manager, with the kinds of Kubernetes, Flux and Backstop. An object
// that cannot be decoded is left out of lists and added to found, which may be nil: Tolerant.
func Client(cfg *rest.Config, found *Unreadables) (client.Client, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	if cfg.QPS == 0 {
		// client-go would hold back all but a few requests a second, which hundreds of images that fail at once feel. The
		// API server limits better.
		cfg = rest.CopyConfig(cfg)
		cfg.QPS = -1
	}
	cl, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("no cluster: %w", err)
	}
	return Tolerant(client.WithFieldOwner(cl, FieldOwner), found), nil
}

// Scheme has the kinds of Kubernetes, Flux and Backstop.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme,
		helmv2.AddToScheme, imagev1.AddToScheme, automationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	return scheme, nil
}

// Home is Backstop's own namespace: POD_NAMESPACE, or backstop-system outside a pod.
func Home() string {
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	return "backstop-system"
}
