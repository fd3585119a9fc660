package main

import (
	"context"
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/pflag"
	authv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// fieldOwner is Backstop's field manager. It must never start with kubectl: kustomize-controller strips those.
const fieldOwner = "backstop"

// cluster are the flags by which a command finds its cluster.
type cluster struct {
	kubeconfig, context, namespace string
}

func (c *cluster) bind(flags *pflag.FlagSet) {
	flags.StringVar(&c.kubeconfig, "kubeconfig", "",
		"path to the kubeconfig (default: KUBECONFIG, ~/.kube/config, or the pod's)")
	flags.StringVar(&c.context, "context", "", "context in the kubeconfig")
	flags.StringVarP(&c.namespace, "namespace", "n", "", "namespace (default: the context's)")
}

// config finds the cluster and the namespace to work in.
func (c *cluster) config() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: c.context})
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("no cluster: %w", err)
	}
	ns := c.namespace
	if ns == "" {
		if ns, _, err = loader.Namespace(); err != nil {
			return nil, "", fmt.Errorf("no namespace: %w", err)
		}
	}
	cfg.UserAgent = "backstop/" + version()
	return cfg, ns, nil
}

// client connects with the kinds of Kubernetes, Flux and Backstop.
func (c *cluster) client() (client.Client, string, error) {
	cfg, ns, err := c.config()
	if err != nil {
		return nil, "", err
	}
	cl, err := newClient(cfg)
	return cl, ns, err
}

func newClient(cfg *rest.Config) (client.Client, error) {
	scheme, err := newScheme()
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
	return client.WithFieldOwner(cl, fieldOwner), nil
}

func newScheme() (*runtime.Scheme, error) {
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

// whoAmI asks the API server for the user's name, which a decision carries.
func whoAmI(ctx context.Context, cl client.Client) (string, error) {
	var review authv1.SelfSubjectReview
	if err := cl.Create(ctx, &review); err != nil {
		return "", fmt.Errorf("ask the API server who you are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
