package integration

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// scansWith has image automation ask the registry with a Secret, or with none.
func scansWith(secret string) func(w *World) {
	return scanSpec(func(s *reflectorv1.ImageRepositorySpec) {
		s.SecretRef = nil
		if secret != "" {
			s.SecretRef = &meta.LocalObjectReference{Name: secret}
		}
	})
}

// dockerLogin is what docker login leaves behind.
func (w *World) dockerLogin(password string) string {
	return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, w.Registry.Host(), base64.StdEncoding.EncodeToString([]byte("puller:"+password)))
}

// pullsWith is the password in the Secret with which everybody pulls.
func pullsWith(password string) func(w *World) {
	return func(w *World) {
		edit(w, &corev1.Secret{}, w.Fleet.Namespace(prod), "pull", func(s *corev1.Secret) {
			s.Data[corev1.DockerConfigJsonKey] = []byte(w.dockerLogin(password))
		})
	}
}

// secretly is a production whose registry lets nobody in without a login.
func secretly(s *setup) {
	s.Registry.Token = &registrystub.Login{Username: "puller", Password: "hunter2"}
	s.Vary = func(w *World) {
		ns := w.Fleet.Namespace(prod)
		w.Fleet.Objects = append(w.Fleet.Objects, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pull"}, Type: corev1.SecretTypeDockerConfigJson,
			StringData: map[string]string{corev1.DockerConfigJsonKey: w.dockerLogin("hunter2")},
		})
		for _, o := range w.Fleet.Objects {
			if r, ok := o.(*reflectorv1.ImageRepository); ok {
				r.Spec.SecretRef = &meta.LocalObjectReference{Name: "pull"}
			}
		}
		file := w.Fleet.File(prod, backend)
		w.Fleet.Files[file] = strings.ReplaceAll(w.Fleet.Files[file], "      containers:\n", pulls+"      containers:\n")
	}
}

const pulls = "      imagePullSecrets: [{name: pull}]\n"

// noPullSecrets leaves the ServiceAccount of the pods without any.
func noPullSecrets(w *World) {
	w.kubectl(prod, "patch", "serviceaccount", "default", "-p", `{"imagePullSecrets":null}`)
}

func TestTraceAndDoctorOfAPrivateRegistry(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend), secretly)
	w.auto(prod)
	w.Settle()
	g := w.tracer()
	// created does the command that a fix ends with, which makes a Secret for the registry.
	created := func(name string) func(w *World, fix string) {
		return func(w *World, fix string) {
			i := strings.Index(fix, "kubectl ")
			w.do(fix[i:], "USER", "puller", "TOKEN", "hunter2", "NAME", name, "HOST", w.Registry.Host())
		}
	}
	w.suffer(g, map[string]mishap{
		"the ImageRepository has no login": {
			hop: "scan", why: "its scan fails", fix: "set spec.secretRef.name: backend, and kubectl -n NS create secret docker-registry backend --docker-server=", spoil: scansWith(""),
			mend: func(w *World, fix string) {
				created("")(w, fix)
				scansWith(backend)(w)
			}, after: scansWith("pull"),
		},
		"the ImageRepository's login is wrong": {
			hop: "scan", why: "its scan fails", fix: "correct the login in Secret NS/pull, then: flux -n NS reconcile image repository backend",
			spoil: pullsWith("hunter1"), mend: then(pullsWith("hunter2")),
		},
		"a pod may not pull": {
			hop: "pods", why: "401 Unauthorized", fix: "in imagePullSecrets of the pod or of its ServiceAccount: kubectl -n NS create secret docker-registry NAME --docker-server=",
			spoil: inFile(pulls, ""), mend: func(w *World, fix string) {
				created("ours")(w, fix)
				w.kubectl(prod, "patch", "serviceaccount", "default", "-p", `{"imagePullSecrets":[{"name":"ours"}]}`)
				w.kubectl(prod, "delete", "pod", "-l", "app=backend", "--wait=false")
			},
			after: all(noPullSecrets, inFile("      containers:\n", pulls+"      containers:\n")),
		},
	})
	tool := w.words(strings.NewReplacer("IMAGE:agent", "TOOL", "agent", "tool").Replace(agentSet), "TOOL", w.Fleet.Registry+"/tool:v1")
	w.Publish(backend, "sidecar")
	w.must(w.Client.Create(t.Context(), w.inFlux("backstop", 1)))
	w.mayReadSecrets(w.Fleet.FluxNamespace(), "fleet")
	w.ails(map[string]ailment{
		"the login is wrong": {
			check: "prove", why: "refuses this client", fix: "correct the login in spec.secretRef of ImageRepository NS/backend", spoil: pullsWith("hunter1"), mend: by(pullsWith("hunter2")),
		},
		"the registry's Secret does not exist": {
			check: "read", why: "it does not exist, and ImageRepository NS/backend names it", fix: "create it: kubectl -n NS create secret docker-registry absent",
			spoil: scansWith("absent"), mend: func(w *World, fix string) {
				created("")(w, fix)
				w.mayReadSecrets(w.Fleet.Namespace(prod), "absent", "pull")
			}, after: scansWith("pull"),
		},
		"nothing scans the image": {
			check: "prove", why: "refuses this client", fix: "create an ImageRepository for it with a login in spec.secretRef",
			spoil: func(w *World) {
				for _, tag := range []string{"v0", "v1"} {
					w.Publish("tool", tag)
				}
				file("apps/production/tool.yaml", tool)(w)
			},
			mend: by(func(w *World) {
				w.must(w.Client.Create(w.t.Context(), &reflectorv1.ImageRepository{
					ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "tool"},
					Spec: reflectorv1.ImageRepositorySpec{Image: w.Fleet.Registry + "/tool", Insecure: true,
						Interval: metav1.Duration{Duration: time.Hour}, SecretRef: &meta.LocalObjectReference{Name: "pull"}},
				}))
			}),
			after: file("apps/production/tool.yaml", ""),
		},
	}, func() error { return nil })
	// Who may not read the cluster's logins asks with their own.
	reader, err := w.Env.KubeconfigForUser(w.Name + ":reader")
	w.must(err)
	w.mayRead(w.Name + ":reader")
	w.env = []string{"DOCKER_CONFIG=" + t.TempDir()}
	args := []string{"trace", "deploy/backend", "-n", w.Fleet.Namespace(prod)}
	w.Until("the fix is to log in", func() error {
		if out, code := w.runBackstop(reader, args...); code != 3 || !strings.Contains(out, "? tag") ||
			!strings.Contains(out, "fix: log in to "+w.Registry.Host()+": docker login "+w.Registry.Host()) {
			return fmt.Errorf("code %d:\n%s", code, out)
		}
		return nil
	})
	config := filepath.Join(strings.TrimPrefix(w.env[0], "DOCKER_CONFIG="), "config.json")
	w.must(os.WriteFile(config, []byte(w.dockerLogin("hunter2")), 0o600))
	if out, code := w.runBackstop(reader, args...); code != 3 || !strings.Contains(out, "✓ tag") || strings.Contains(out, "hunter2") {
		t.Errorf("logged in: code %d:\n%s", code, out)
	}
}

// authority has image automation trust what a Secret holds, or nothing of its own.
func authority(secret string) func(w *World) {
	return scanSpec(func(s *reflectorv1.ImageRepositorySpec) {
		s.CertSecretRef = nil
		if secret != "" {
			s.CertSecretRef = &meta.LocalObjectReference{Name: secret}
		}
	})
}

func TestTraceAndDoctorOfARegistryWithAnAuthorityOfItsOwn(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend), func(s *setup) {
		s.Registry.TLS = true
		s.Vary = func(w *World) {
			ns := w.Fleet.Namespace(prod)
			s.Node.Trust = map[string][]byte{w.Registry.Host(): w.Registry.CA()}
			r := fleet.Get[*reflectorv1.ImageRepository](w.Fleet, ns, backend)
			r.Spec.Insecure, r.Spec.CertSecretRef = false, &meta.LocalObjectReference{Name: "ca"}
			w.Fleet.Objects = append(w.Fleet.Objects, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "ca"},
				Data: map[string][]byte{"ca.crt": w.Registry.CA()}})
		}
	})
	w.auto(prod)
	w.Publish(backend, "other")
	w.Settle()
	g := w.tracer()
	w.suffer(g, map[string]mishap{"the registry's certificate is unknown": {
		hop: "scan", why: "x509", fix: "set spec.certSecretRef to a Secret with the registry's ca.crt", spoil: authority(""), mend: by(authority("ca")),
	}})
	file := w.scratch("ca.crt")
	w.must(os.WriteFile(file, w.Registry.CA(), 0o600))
	w.ails(map[string]ailment{
		"the registry's certificate is unknown": {
			check: "prove", why: "its certificate is signed by an unknown authority", fix: "ca.crt in spec.certSecretRef of ImageRepository NS/backend",
			spoil: authority(""), mend: by(authority("ca")),
		},
		"the certificate's Secret does not exist": {
			check: "read", why: "it does not exist, and ImageRepository NS/backend names it", fix: "create it: kubectl -n NS create secret generic lost --from-file=ca.crt=FILE",
			spoil: authority("lost"), mend: func(w *World, fix string) {
				w.do(strings.TrimPrefix(fix, "create it: "), "FILE", file)
				w.mayReadSecrets(w.Fleet.Namespace(prod), "lost")
			},
		},
	}, w.arrived(g, v1alpha1.Workload{}))
}
