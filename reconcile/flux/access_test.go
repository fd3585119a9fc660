package flux

import (
	"fmt"
	"strings"
	"testing"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/reconcile"
)

const image = "localhost:5000/backend:develop-v1.1.0-1700000200"

func imageRepository(namespace, name, image string) *reflectorv1.ImageRepository {
	r := &reflectorv1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	r.Spec.Image = image
	return r
}

func login(namespace, name string) *corev1.Secret {
	return secret(namespace, name, map[string]string{corev1.DockerConfigJsonKey: "login of " + name})
}

func pod(name string, pullSecrets ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "develop", Name: name}}
	for _, s := range pullSecrets {
		p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
	}
	return p
}

func account(namespace, name string, pullSecrets ...string) *corev1.ServiceAccount {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, s := range pullSecrets {
		sa.ImagePullSecrets = append(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
	}
	return sa
}

// lettingIn is an ImageRepository over plain HTTP that lets namespaces with these labels in; nil is all.
func lettingIn(namespace string, in map[string]string) *reflectorv1.ImageRepository {
	r := imageRepository(namespace, "backend", "localhost:5000/backend")
	r.Spec.Insecure = true
	r.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{MatchLabels: in}}}
	return r
}

func labelled(name, team string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": team}}}
}

// printed shows an Access for comparing, which does not print by itself.
func printed(a reconcile.Access) string {
	next := ""
	if a.Next != nil {
		next = "; next " + printed(*a.Next)
	}
	return next + fmt.Sprintf("insecure=%v provider=%s docker=%q ca=%s cert=%s key=%s proxy=%s missing=%s", a.Insecure,
		a.Provider,
		a.DockerConfigs, a.CA, a.ClientCert, a.ClientKey, a.Proxy, a.Missing)
}

func TestAccess(t *testing.T) {
	for _, c := range []struct {
		name    string
		pod     string
		objects []client.Object
		scene   func(s *scene)
		want    reconcile.Access
	}{
		{name: "a public image", want: reconcile.Access{}},
		{name: "as the ImageRepository of the namespace asks", objects: []client.Object{
			func() client.Object {
				r := imageRepository("develop", "backend", "localhost:5000/backend")
				r.Spec.SecretRef = &meta.LocalObjectReference{Name: "registry"}
				r.Spec.CertSecretRef = &meta.LocalObjectReference{Name: "tls"}
				r.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
				r.Spec.ServiceAccountName, r.Spec.Insecure, r.Spec.Provider = "scanner", true, "aws"
				return r
			}(),
			login("develop", "registry"), login("develop", "scan"), account("develop", "scanner", "scan", "registry"),
			secret("develop", "tls", map[string]string{"ca.crt": "CA", "certFile": "CERT", "tls.key": "KEY"}),
			secret("develop", "proxy", map[string]string{"address": "http://proxy:3128", "username": "u",
				"password": "p:@"}),
		}, want: reconcile.Access{
			Insecure: true, Provider: "aws", DockerConfigs: [][]byte{[]byte("login of registry"),
				[]byte("login of scan")},
			CA: []byte("CA"), ClientCert: []byte("CERT"), ClientKey: []byte("KEY"),
			Proxy: "http://u:p%3A%40@proxy:3128",
		}},
		{name: "as the pod asks, after the automation", pod: "web", objects: []client.Object{
			func() client.Object {
				r := imageRepository("develop", "backend", "localhost:5000/backend")
				r.Spec.SecretRef = &meta.LocalObjectReference{Name: "registry"}
				return r
			}(),
			login("develop", "registry"), login("develop", "pull"), pod("web", "pull"),
			account("develop", "default", "other"), login("develop", "other"),
		}, want: reconcile.Access{DockerConfigs: [][]byte{[]byte("login of registry")}, Next: &reconcile.Access{
			Provider: "generic", DockerConfigs: [][]byte{[]byte("login of pull")},
		}}},
		{name: "the pod's login does not travel as the automation's requests do", pod: "web", objects: []client.Object{
			func() client.Object {
				r := imageRepository("develop", "backend", "localhost:5000/backend")
				r.Spec.ProxySecretRef, r.Spec.Insecure = &meta.LocalObjectReference{Name: "proxy"}, true
				return r
			}(),
			secret("develop", "proxy", map[string]string{"address": "http://proxy:3128"}),
			login("develop", "pull"), pod("web", "pull"),
		}, want: reconcile.Access{Insecure: true, Proxy: "http://proxy:3128", Next: &reconcile.Access{
			Provider: "generic", DockerConfigs: [][]byte{[]byte("login of pull")},
		}}},
		{name: "an ImageRepository that asks as everybody does asks as the pod does", pod: "web", objects: []client.Object{
			imageRepository("develop", "backend", "localhost:5000/backend"), login("develop", "pull"), pod("web", "pull"),
		}, want: reconcile.Access{DockerConfigs: [][]byte{[]byte("login of pull")}}},
		{name: "as the ServiceAccount asks, where the pod names no secrets", pod: "web", objects: []client.Object{
			pod("web"), account("develop", "default", "pull"), login("develop", "pull"),
		}, want: reconcile.Access{DockerConfigs: [][]byte{[]byte("login of pull")}}},
		{name: "as the namespace's ServiceAccount asks, where the pod is gone", pod: "web", objects: []client.Object{
			account("develop", "default", "pull"), login("develop", "pull"),
		}, want: reconcile.Access{DockerConfigs: [][]byte{[]byte("login of pull")}}},
		{name: "by a legacy login", pod: "web", objects: []client.Object{
			pod("web", "old"), secret("develop", "old", map[string]string{corev1.DockerConfigKey: "legacy"}),
		}, want: reconcile.Access{DockerConfigs: [][]byte{[]byte("legacy")}}},
		{name: "an ImageRepository of another image does not count", objects: []client.Object{
			imageRepository("develop", "frontend", "localhost:5000/frontend"),
		}, want: reconcile.Access{}},
		{name: "an ImageRepository elsewhere counts where a policy names it and its owner lets the namespace in",
			objects: []client.Object{lettingIn("shared", map[string]string{"team": "b"}), labelled("develop", "b")},
			scene: func(s *scene) {
				s.policy.Spec.ImageRepositoryRef = meta.NamespacedObjectReference{Namespace: "shared", Name: "backend"}
			}, want: reconcile.Access{Insecure: true}},
		{name: "and not where its owner lets others in", objects: []client.Object{
			lettingIn("shared", map[string]string{"team": "b"}), labelled("develop", "a"), labelled("staging", "b"),
		}, scene: func(s *scene) {
			s.policy.Spec.ImageRepositoryRef = meta.NamespacedObjectReference{Namespace: "shared", Name: "backend"}
		}, want: reconcile.Access{}},
		{name: "and not where its owner lets nobody in", objects: []client.Object{
			func() client.Object {
				r := lettingIn("shared", nil)
				r.Spec.AccessFrom = nil
				return r
			}(),
		}, scene: func(s *scene) {
			s.policy.Spec.ImageRepositoryRef = meta.NamespacedObjectReference{Namespace: "shared", Name: "backend"}
		}, want: reconcile.Access{}},
		{name: "the platform's counts where it lets everybody in", objects: []client.Object{
			lettingIn("a-team", nil), lettingIn("flux-system", nil),
		}, want: reconcile.Access{Insecure: true}},
		{name: "a stranger's does not count, though it lets everybody in", objects: []client.Object{
			lettingIn("a-team", nil), login("develop", "pull"), pod("web", "pull"),
		}, pod: "web", want: reconcile.Access{DockerConfigs: [][]byte{[]byte("login of pull")}}},
		{name: "an ImageRepository elsewhere does not count where references across namespaces are forbidden",
			objects: []client.Object{
				func() client.Object {
					r := imageRepository("shared", "backend", "localhost:5000/backend")
					r.Spec.Insecure = true
					return r
				}(),
			}, scene: func(s *scene) {
				s.options.NoCrossNamespaceRefs = true
				s.policy.Spec.ImageRepositoryRef = meta.NamespacedObjectReference{Namespace: "shared", Name: "backend"}
			}, want: reconcile.Access{}},
		{name: "secrets that may not be read are missed", pod: "web", objects: []client.Object{
			pod("web", "pull"), login("develop", "pull"),
		}, scene: func(s *scene) { s.forbidden["Secret"] = true }, want: reconcile.Access{
			Missing: "Backstop may not read Secret develop/pull, which Pod/develop/web names: use the component " +
				"credentials in " +
				"namespace develop (a Role with get on secrets, resourceNames pull)",
		}},
		{name: "a ServiceAccount that is named and may not be read is missed", objects: []client.Object{
			func() client.Object {
				r := imageRepository("develop", "backend", "localhost:5000/backend")
				r.Spec.ServiceAccountName = "scanner"
				return r
			}(),
		}, scene: func(s *scene) { s.forbidden["ServiceAccount"] = true }, want: reconcile.Access{
			Missing: "Backstop may not read ServiceAccount/develop/scanner for its imagePullSecrets: use the " +
				"component credentials " +
				"in namespace develop (a Role with get on serviceaccounts)",
		}},
		{name: "secrets that are not there, or hold something else, are missed", pod: "web", objects: []client.Object{
			pod("web", "gone", "opaque"), secret("develop", "opaque", map[string]string{"password": "hunter2"}),
		}, want: reconcile.Access{
			Missing: "Secret develop/gone, which Pod/develop/web names, does not exist; Secret develop/opaque, which " +
				"Pod/develop/web " +
				"names, holds no .dockerconfigjson",
		}},
		{name: "a proxy without an address is missed", objects: []client.Object{
			func() client.Object {
				r := imageRepository("develop", "backend", "localhost:5000/backend")
				r.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
				return r
			}(), secret("develop", "proxy", map[string]string{"address": "%"}),
		}, want: reconcile.Access{
			Missing: "Secret develop/proxy, which ImageRepository/develop/backend names as its proxy, holds no " +
				"address that is a URL",
		}},
		{name: "image automation that is not installed", scene: func(s *scene) {
			s.missing["ImageRepository"], s.missing["ImagePolicy"], s.missing["ImageUpdateAutomation"] = true, true,
				true
		}, want: reconcile.Access{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			if c.scene != nil {
				c.scene(s)
			}
			s.more = append(s.more, c.objects...)
			got, err := s.flux(t).Access(t.Context(), "develop", image, c.pod)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Provider == "" {
				c.want.Provider = "generic"
			}
			if diff := cmp.Diff(printed(c.want), printed(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	for _, same := range [][]string{
		{"alpine", "alpine:3.20", "docker.io/library/alpine", "index.docker.io/library/alpine:3@sha256:" + sha256},
		{"localhost:5000/backend", image},
		{"ghcr.io/a/b", "ghcr.io/a/b:v1", "ghcr.io/a/b@sha256:" + sha256, "ghcr.io/a/b@sha256:broken"},
	} {
		first, ok := canonical(same[0])
		if !ok {
			t.Fatalf("%s is a repository", same[0])
		}
		for _, s := range same {
			if got, ok := canonical(s); !ok || got != first {
				t.Errorf("canonical(%q) = %q, %v; want %q", s, got, ok, first)
			}
		}
	}
	for _, s := range []string{"", "UPPER/case", "a b", ":tag", strings.Repeat("a", 300)} {
		if got, ok := canonical(s); ok {
			t.Errorf("canonical(%q) = %q", s, got)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"alpine", image, "ghcr.io/a/b@sha256:x", "@", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, ok := canonical(s)
		if !ok {
			return
		}
		if again, ok := canonical(first); !ok || again != first {
			t.Fatalf("%q: %q is %q of itself", s, first, again)
		}
	})
}
