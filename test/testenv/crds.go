package testenv

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

//go:embed crds/*.yaml crds/*/*.yaml
var fluxCRDs embed.FS

// crds reads Flux's definitions, and Backstop's own out of the checkout. flux is an older release of Flux, such as 2.7;
// empty for the one that go.mod names.
func crds(root, flux string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	own := os.DirFS(filepath.Join(root, "deploy", "kustomize", "crds"))
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, from := range []struct {
		files fs.FS
		glob  string
	}{{fluxCRDs, path.Join("crds", flux, "*.yaml")}, {own, "backstop.dev_*.yaml"}} {
		names, err := fs.Glob(from.files, from.glob)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", from.glob, err)
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("there is no %s", from.glob)
		}
		for _, name := range names {
			text, err := fs.ReadFile(from.files, name)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			crd := &apiextensionsv1.CustomResourceDefinition{}
			if err := yaml.UnmarshalStrict(text, crd); err != nil {
				return nil, fmt.Errorf("parse %s: %w", name, err)
			}
			all = append(all, crd)
		}
	}
	return all, nil
}

// installCRDs creates all definitions at once and waits until they are served. The variable FLUX_APIS names an older
// release of Flux.
func (e *Env) installCRDs(ctx context.Context) error {
	all, err := crds(e.Root, os.Getenv("FLUX_APIS"))
	if err != nil {
		return err
	}
	client, err := apiextensions.NewForConfig(e.Config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	definitions := client.ApiextensionsV1().CustomResourceDefinitions()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, crd := range all {
		wg.Go(func() {
			if _, err := definitions.Create(ctx, crd, metav1.CreateOptions{}); err != nil {
				errs[i] = fmt.Errorf("create %s: %w", crd.Name, err)
				return
			}
			errs[i] = e.until(ctx, crd.Name+" to be served", func(ctx context.Context) error {
				return served(ctx, client.ApiextensionsV1().RESTClient(), crd)
			})
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// served asks for the objects of a definition in every version. The first
// answers are 404 and then 429, until its watch cache is filled; a client of
// client-go would wait a second after each of those.
func served(ctx context.Context, client rest.Interface, crd *apiextensionsv1.CustomResourceDefinition) error {
	for _, version := range crd.Spec.Versions {
		path := "/apis/" + crd.Spec.Group + "/" + version.Name + "/" + crd.Spec.Names.Plural
		if err := client.Get().AbsPath(path).MaxRetries(0).Do(ctx).Error(); err != nil {
			return fmt.Errorf("list %s: %w", path, err)
		}
	}
	return nil
}

// controllersWork asks for the default ServiceAccount of Backstop's namespace,
// which only a running controller makes.
func controllersWork(client kubernetes.Interface) func(context.Context) error {
	return func(ctx context.Context) error {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
		_, err := client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		_, err = client.CoreV1().ServiceAccounts(Namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	}
}
