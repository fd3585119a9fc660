package flux

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// Access finds how to ask the registry for an image, as reconcile.Flux asks: as image automation asks it, then as the
// kubelet does. Each of the two is of one object: a pull secret never travels through the proxy, to the CA or over the
// plain HTTP of somebody else's ImageRepository. What may not be read is left out and said in Missing; an unreachable
// API server is an error.
func (f *Flux) Access(ctx context.Context, namespace, image, pod string) (reconcile.Access, error) {
	// What fails and what was there before are asked for one after the other, as the same pod.
	shared, err := f.kubelets.Do(ctx, namespace+"/"+pod, f.options.Now().Add(-kube.Kept),
		func(ctx context.Context) (*gathering, error) {
			g := &gathering{f: f, out: &reconcile.Access{Provider: "generic"}}
			return g, g.asKubelet(ctx, namespace, pod)
		})
	if err != nil {
		return reconcile.Access{}, err
	}
	of := *shared.out
	kubelet := &gathering{f: f, out: &of, missing: shared.missing}
	repo, err := f.imageRepository(ctx, namespace, image)
	if err != nil || repo == nil || !special(repo) {
		kubelet.out.Missing = strings.Join(kubelet.missing, "; ")
		return *kubelet.out, err
	}
	scan := &gathering{f: f, out: &reconcile.Access{}}
	if err := scan.asAutomation(ctx, repo); err != nil {
		return reconcile.Access{}, err
	}
	for _, why := range kubelet.missing {
		scan.miss(why)
	}
	if len(kubelet.out.DockerConfigs) > 0 {
		scan.out.Next = kubelet.out
	}
	scan.out.Missing = strings.Join(scan.missing, "; ")
	return *scan.out, nil
}

// special reports whether an ImageRepository asks otherwise than anybody does.
func special(r *reflectorv1.ImageRepository) bool {
	s := &r.Spec
	return s.SecretRef != nil || s.CertSecretRef != nil || s.ProxySecretRef != nil || s.ServiceAccountName != "" ||
		s.Insecure || cmp.Or(s.Provider, "generic") != "generic"
}

// imageRepository finds the ImageRepository of an image's repository: the one in the workload's namespace, else one
// whose owner lets that namespace in (spec.accessFrom). The latter must be the platform's, or be named by an
// ImagePolicy of the namespace: else a stranger who lets everybody in could answer for a registry. nil if no such
// object exists.
func (f *Flux) imageRepository(ctx context.Context, namespace, image string) (*reflectorv1.ImageRepository, error) {
	want, ok := canonical(image)
	if !ok {
		return nil, nil
	}
	namespaces := f.options.Namespaces
	if f.options.NoCrossNamespaceRefs {
		namespaces = []string{namespace}
	}
	key := strings.Join(namespaces, "/")
	since := f.options.Now().Add(-kube.Kept)
	all, err := f.scans.Do(ctx, key, since, func(ctx context.Context) ([]reflectorv1.ImageRepository, error) {
		var all []reflectorv1.ImageRepository
		err := each(ctx, f, kindImageRepository, namespaces, func(page *reflectorv1.ImageRepositoryList) {
			all = append(all, page.Items...)
		})
		return all, err
	})
	if err != nil {
		return nil, err
	}
	var found []*reflectorv1.ImageRepository
	for i := range all {
		if have, ok := canonical(all[i].Spec.Image); ok && have == want {
			found = append(found, &all[i])
		}
	}
	slices.SortFunc(found, func(a, b *reflectorv1.ImageRepository) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	if i := slices.IndexFunc(found,
		func(r *reflectorv1.ImageRepository) bool { return r.Namespace == namespace }); i >= 0 {
		return found[i], nil
	}
	if len(found) == 0 {
		return nil, nil
	}
	named, err := f.names(ctx, namespace)
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		if !f.isPlatform(r.Namespace) && !named[types.NamespacedName{Namespace: r.Namespace, Name: r.Name}] {
			continue
		}
		in, err := f.letsIn(ctx, r, namespace)
		if err != nil || in {
			return r, err
		}
	}
	return nil, nil
}

// names lists the ImageRepositories that the ImagePolicies of a namespace name.
func (f *Flux) names(ctx context.Context, namespace string) (map[types.NamespacedName]bool, error) {
	out := map[types.NamespacedName]bool{}
	err := each(ctx, f, kindPolicy, []string{namespace}, func(list *reflectorv1.ImagePolicyList) {
		for _, p := range list.Items {
			ref := p.Spec.ImageRepositoryRef
			out[types.NamespacedName{Namespace: cmp.Or(ref.Namespace, p.Namespace), Name: ref.Name}] = true
		}
	})
	return out, err
}

// letsIn reports whether the owner of an ImageRepository lets a namespace use it, as image-reflector-controller judges
// it.
func (f *Flux) letsIn(ctx context.Context, r *reflectorv1.ImageRepository, namespace string) (bool, error) {
	if r.Spec.AccessFrom == nil {
		return false, nil
	}
	for _, s := range r.Spec.AccessFrom.NamespaceSelectors {
		if len(s.MatchLabels) == 0 {
			return true, nil
		}
		in := false
		err := each(ctx, f, "Namespace", nil, func(page *corev1.NamespaceList) {
			in = in || slices.ContainsFunc(page.Items, func(n corev1.Namespace) bool {
				return n.Name == namespace && labels.SelectorFromSet(s.MatchLabels).Matches(labels.Set(n.Labels))
			})
		})
		if _, refused := reconcile.AsRefusal(err); refused {
			// Whose labels may not be read is not let in.
			return false, nil
		}
		if err != nil || in {
			return in, err
		}
	}
	return false, nil
}

// canonical is a repository's full name, so that alpine and docker.io/library/alpine are one.
func canonical(image string) (string, bool) {
	if i := strings.IndexByte(image, '@'); i >= 0 {
		image = image[:i]
	}
	ref, err := name.ParseReference(image, name.WeakValidation)
	if err != nil {
		return "", false
	}
	return ref.Context().Name(), true
}

// gathering collects credentials.
type gathering struct {
	f       *Flux
	out     *reconcile.Access
	missing []string
}

// data reads a Secret for the access. A refusal is said, not returned.
func (g *gathering) data(ctx context.Context, namespace, secret string, by v1alpha1.ObjectRef,
) (map[string][]byte, error) {
	data, err := g.f.secret(ctx, namespace, secret, by)
	if why, refused := reconcile.AsRefusal(err); refused {
		g.miss(why)
		return nil, nil
	}
	if apierrors.IsNotFound(err) {
		g.miss(fmt.Sprintf("Secret %s/%s, which %s names, does not exist", namespace, secret, by))
		return nil, nil
	}
	return data, err
}

func (g *gathering) miss(why string) {
	if !slices.Contains(g.missing, why) {
		g.missing = append(g.missing, why)
	}
}

// docker takes a registry login from a Secret.
func (g *gathering) docker(ctx context.Context, namespace, secret string, by v1alpha1.ObjectRef) error {
	data, err := g.data(ctx, namespace, secret, by)
	if err != nil || data == nil {
		return err
	}
	for _, key := range []string{corev1.DockerConfigJsonKey, corev1.DockerConfigKey} {
		if config := data[key]; len(config) > 0 {
			if !slices.ContainsFunc(g.out.DockerConfigs,
				func(have []byte) bool { return string(have) == string(config) }) {
				g.out.DockerConfigs = append(g.out.DockerConfigs, config)
			}
			return nil
		}
	}
	g.miss(fmt.Sprintf("Secret %s/%s, which %s names, holds no %s", namespace, secret, by, corev1.DockerConfigJsonKey))
	return nil
}

// asAutomation takes what an ImageRepository says about its registry.
func (g *gathering) asAutomation(ctx context.Context, r *reflectorv1.ImageRepository) error {
	by := refTo(kindImageRepository, r.Namespace, r.Name)
	g.out.Insecure = r.Spec.Insecure
	g.out.Provider = cmp.Or(r.Spec.Provider, "generic")
	if r.Spec.SecretRef != nil {
		if err := g.docker(ctx, r.Namespace, r.Spec.SecretRef.Name, by); err != nil {
			return err
		}
	}
	if sa := r.Spec.ServiceAccountName; sa != "" {
		if err := g.serviceAccount(ctx, refTo("ServiceAccount", r.Namespace, sa), true); err != nil {
			return err
		}
	}
	if r.Spec.CertSecretRef != nil {
		data, err := g.data(ctx, r.Namespace, r.Spec.CertSecretRef.Name, by)
		if err != nil {
			return err
		}
		g.out.CA = either(data, "ca.crt", "caFile")
		g.out.ClientCert, g.out.ClientKey = either(data, "tls.crt", "certFile"), either(data, "tls.key", "keyFile")
	}
	if r.Spec.ProxySecretRef != nil {
		data, err := g.data(ctx, r.Namespace, r.Spec.ProxySecretRef.Name, by)
		if err != nil || data == nil {
			return err
		}
		proxy, ok := proxyURL(data)
		if !ok {
			g.miss(fmt.Sprintf("Secret %s/%s, which %s names as its proxy, holds no address that is a URL", r.Namespace,
				r.Spec.ProxySecretRef.Name, by))
		}
		g.out.Proxy = proxy
	}
	return nil
}

func either(data map[string][]byte, key, legacy string) []byte {
	if v := data[key]; len(v) > 0 {
		return v
	}
	return data[legacy]
}

// proxyURL makes a proxy's URL of the Secret's address, username and password.
func proxyURL(data map[string][]byte) (string, bool) {
	u, err := url.Parse(strings.TrimSpace(string(data["address"])))
	if err != nil || u.Host == "" {
		return "", false
	}
	user, password := string(data["username"]), string(data["password"])
	switch {
	case user != "" && password != "":
		u.User = url.UserPassword(user, password)
	case user != "":
		u.User = url.User(user)
	}
	return u.String(), true
}

// asKubelet takes the pull secrets of a pod. The API server copies those of its ServiceAccount into a pod that names
// none; so the ServiceAccount only counts where there is no pod, or the pod has none.
func (g *gathering) asKubelet(ctx context.Context, namespace, pod string) error {
	account := "default"
	if pod != "" {
		ref := refTo("Pod", namespace, pod)
		var p corev1.Pod
		err := g.f.get(ctx, ref, &p)
		if why, refused := reconcile.AsRefusal(err); refused {
			g.miss(why)
		} else if err != nil && !isGone(err) {
			return err
		}
		for _, s := range p.Spec.ImagePullSecrets {
			if err := g.docker(ctx, namespace, s.Name, ref); err != nil {
				return err
			}
		}
		if len(p.Spec.ImagePullSecrets) > 0 {
			return nil
		}
		account = cmp.Or(p.Spec.ServiceAccountName, account)
	}
	return g.serviceAccount(ctx, refTo("ServiceAccount", namespace, account), false)
}

// pullSecrets are those of a ServiceAccount, which may not be there.
type pullSecrets struct {
	secrets []corev1.LocalObjectReference
	// closed means that it may not be read.
	closed bool
}

// accountSecrets reads a ServiceAccount, which most pods of a namespace share.
func (f *Flux) accountSecrets(ctx context.Context, name types.NamespacedName) (pullSecrets, error) {
	since := f.options.Now().Add(-kube.Kept)
	return f.accounts.Do(ctx, name.String(), since, func(ctx context.Context) (pullSecrets, error) {
		var sa corev1.ServiceAccount
		err := f.client.Get(ctx, name, &sa)
		if apierrors.IsForbidden(err) || isGone(err) {
			return pullSecrets{closed: apierrors.IsForbidden(err)}, nil
		}
		return pullSecrets{secrets: sa.ImagePullSecrets}, err
	})
}

// serviceAccount takes the pull secrets of a ServiceAccount. named says that an object names it, so that it is missed
// when it may not be read.
func (g *gathering) serviceAccount(ctx context.Context, ref v1alpha1.ObjectRef, named bool) error {
	sa, err := g.f.accountSecrets(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name})
	switch {
	case err == nil && sa.closed:
		if named && g.f.options.Person {
			g.miss(fmt.Sprintf("you may not read %s for its imagePullSecrets", ref))
		} else if named {
			g.miss(fmt.Sprintf("Backstop may not read %s for its imagePullSecrets: use the component credentials in "+
				"namespace %s (a Role with get on serviceaccounts)", ref, ref.Namespace))
		}
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", ref, err)
	}
	for _, s := range sa.secrets {
		if err := g.docker(ctx, ref.Namespace, s.Name, ref); err != nil {
			return err
		}
	}
	return nil
}
