package integration

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/crypto/ssh"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/doctor"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/registrystub"
	"github.com/backstop-dev/backstop/trace"
)

// examined is what the doctor says of production. Backstop and Flux's controllers are taken to run in the world's own
// namespace of Flux.
func (w *World) examined() *doctor.Report {
	w.t.Helper()
	git, err := gitrepo.New(w.scratch("mirrors"), gitrepo.Options{})
	w.must(err)
	g := &doctor.Gatherer{
		Client: w.Client, Flux: flux.New(w.Client, flux.Options{Person: true}), Git: git, Registry: registry.New(registry.Options{}),
		Logins: func(context.Context, string) reconcile.Access { return reconcile.Access{} }, Now: time.Now,
		Home: w.Fleet.FluxNamespace(), FluxHome: w.Fleet.FluxNamespace(),
	}
	facts, err := g.Gather(w.t.Context(), w.Fleet.Namespace(prod))
	w.must(err)
	r := doctor.Examine(facts)
	return &r
}

// diagnosis is a report as people read it.
func diagnosis(r *doctor.Report) string {
	var b strings.Builder
	_ = doctor.Print(&b, r, true, false)
	return b.String()
}

// found gives the checks of a name.
func found(r *doctor.Report, name string) []doctor.Check {
	all := r.General
	for _, p := range r.Workloads {
		all = append(all[:len(all):len(all)], p.Checks...)
	}
	return slices.DeleteFunc(slices.Clone(all), func(c doctor.Check) bool { return c.Name != name })
}

// deployment makes one in the namespace of Flux.
func (w *World) inFlux(name string, replicas int32, args ...string) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.FluxNamespace(), Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: name, Image: w.Fleet.Image(backend, "sidecar"), Args: args}},
			}}}}
}

// args changes what a Deployment of the namespace of Flux is run with.
func args(name string, args ...string) func(w *World) {
	return func(w *World) {
		edit(w, &appsv1.Deployment{}, w.Fleet.FluxNamespace(), name, func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Args = args
		})
	}
}

func scaled(n int32) func(w *World) {
	return func(w *World) {
		edit(w, &appsv1.Deployment{}, w.Fleet.FluxNamespace(), "backstop", func(d *appsv1.Deployment) { d.Spec.Replicas = &n })
	}
}

func (w *World) mayReadSecrets(names ...string) {
	edit(w, &rbacv1.Role{}, w.Fleet.FluxNamespace(), "backstop-credentials", func(r *rbacv1.Role) { r.Rules[0].ResourceNames = names })
}

func policyTo(change func(*v1alpha1.RollbackPolicySpec)) func(w *World) {
	return func(w *World) {
		edit(w, &v1alpha1.RollbackPolicy{}, w.Fleet.Namespace(prod), "apps", func(p *v1alpha1.RollbackPolicy) { change(&p.Spec) })
	}
}

// ailment is one thing that would be in a rollback's way.
type ailment struct {
	check, why, fix string
	spoil, mend     func(w *World)
	// after cleans up what the fix leaves as it is.
	after func(w *World)
}

const orderedSet = `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  serviceName: db
  podManagementPolicy: OrderedReady
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
        - {name: db, image: "IMAGE"}
`

func ailments() map[string]ailment {
	hook := func(w *World) string { return filepath.Join(w.Repo, "hooks", "pre-receive") }
	write := func(text string) func(w *World) {
		return func(w *World) {
			w.must(w.Alice.Pull(w.t.Context()))
			text := strings.NewReplacer("NS", w.Fleet.Namespace(prod), "IMAGE", w.Fleet.Image(backend, fleet.Tag(prod, 0))).Replace(text)
			w.must(w.Alice.Write(map[string]string{"apps/production/db.yaml": text}))
			_, err := w.Alice.Push(w.t.Context(), "Write db")
			w.must(err)
		}
	}
	return map[string]ailment{
		"Backstop has no replica":           {check: "sidecar", why: "no replica", fix: "describe deployment backstop", spoil: scaled(0), mend: scaled(1)},
		"Backstop watches other namespaces": {check: "sidecar", why: "does not watch", fix: "--namespaces", spoil: args("backstop", "run", "--namespaces=elsewhere"), mend: args("backstop", "run")},
		"no policy selects the workload": {
			check: "policy", why: "no RollbackPolicy selects it", fix: "spec.selector selects it (an empty one selects all)",
			spoil: policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Selector.MatchLabels = map[string]string{"tier": "other"} }),
			mend:  policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Selector.MatchLabels = nil }),
		},
		"the policy is suspended": {
			check: "policy", why: "is suspended", fix: "spec.suspend: false",
			spoil: policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Suspend = true }),
			mend:  policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Suspend = false }),
		},
		"the source is pinned to a tag": {
			check: "branch", why: "is pinned to tag v1", fix: "spec.ref: {branch: main}",
			spoil: func(w *World) {
				w.git("tag", "--force", "v1", fleet.Branch)
				sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Tag: "v1"} })(w)
			},
			mend: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Branch: "main"} }),
		},
		"the automation pushes to another branch": {
			check: "branch", why: "pushes to updates", fix: "spec.git.push.branch of the ImageUpdateAutomation: main",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Push.Branch = "updates" }),
			mend:  automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Push.Branch = "main" }),
		},
		"Backstop may not read the Git secret": {
			check: "read", why: "Backstop may not read it", fix: "resourceNames: [fleet]",
			spoil: func(w *World) { w.mayReadSecrets("nothing") }, mend: func(w *World) { w.mayReadSecrets("fleet") },
		},
		"the credentials may only read": {
			check: "push", why: "refuses this to the credentials", fix: "put a login that may push into Secret NSF/fleet",
			spoil: func(w *World) {
				w.Git.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("service") != "git-receive-pack" {
						return false
					}
					return gitserver.Answer(http.StatusForbidden, "read only")(rw, r)
				})
			},
			mend: func(w *World) { w.Git.SetFault(nil) },
		},
		"the branch is protected": {
			check: "protection", why: "protected branch", fix: "push to main in the rules of the Git server",
			spoil: func(w *World) {
				w.must(gitserver.Hook(w.Repo, "pre-receive", "echo protected branch; exit 1"))
				w.Publish(backend, fleet.Tag(prod, 1))
			},
			mend: func(w *World) { w.must(os.Remove(hook(w))) },
		},
		"Flux wants signatures and there is no key": {
			check: "signing", why: "signed commits alone", fix: "spec.git.commit.signingKey",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) {
				s.Verification = &sourcev1.GitRepositoryVerification{Mode: sourcev1.ModeGitHEAD, SecretRef: meta.LocalObjectReference{Name: "keys"}}
			}),
			mend: func(w *World) {
				_, key, err := ed25519.GenerateKey(nil)
				w.must(err)
				block, err := ssh.MarshalPrivateKey(key, "")
				w.must(err)
				w.must(w.Client.Create(w.t.Context(), &corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "signing"},
					Data:       map[string][]byte{"identity": pem.EncodeToMemory(block)},
				}))
				automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) {
					s.GitSpec.Commit.SigningKey = &automationv1.SigningKey{Type: "ssh", SecretRef: meta.LocalObjectReference{Name: "signing"}}
				})(w)
			},
			after: all(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Verification = nil }),
				automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Commit.SigningKey = nil })),
		},
		"the registry lets nobody in": {
			check: "prove", why: "refuses this client", fix: "ImageRepository NS/backend",
			spoil: func(w *World) { w.Registry.Fail("/v2/", registrystub.Status(http.StatusUnauthorized)) },
			mend:  func(w *World) { w.Registry.Heal() },
		},
		"no other tag of the repository is seen": {
			check: "prove", why: "no other tag", fix: "keep the image before it",
			spoil: func(w *World) { w.must(w.Registry.DeleteTag(backend, "sidecar")) },
			mend:  publish("sidecar"),
		},
		"the source is suspended": {
			check: "apply", why: "suspended", fix: "flux -n NSF resume source git fleet",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Suspend = true }),
		},
		"the Kustomization is suspended": {
			check: "apply", why: "suspended", fix: "flux -n NSF resume kustomization production",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) { s.Suspend = true }),
		},
		"a health check makes a revert wait": {
			check: "health", why: "spec.wait makes a revert wait up to 1m30s", fix: "--feature-gates=CancelHealthCheckOnNewRevision=true",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) { s.Wait = true }),
			mend:  args("kustomize-controller", "--feature-gates=CancelHealthCheckOnNewRevision=true"),
			after: all(applySpec(func(s *kustomizev1.KustomizationSpec) { s.Wait = false }), args("kustomize-controller", "--watch-all-namespaces=true")),
		},
		"the Kustomization depends on what is not there": {
			check: "dependsOn", why: "does not exist", fix: "flux -n NSF get kustomization nowhere",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) {
				s.DependsOn = []kustomizev1.DependencyReference{{Name: "nowhere"}}
			}),
			mend: applySpec(func(s *kustomizev1.KustomizationSpec) { s.DependsOn = nil }),
		},
		"a StatefulSet keeps its stuck pods": {
			check: "ordered", why: "not replaced", fix: "spec.podManagementPolicy: Parallel",
			spoil: write(orderedSet),
			mend: all(write(strings.ReplaceAll(orderedSet, "OrderedReady", "Parallel")),
				func(w *World) { w.kubectl(prod, "delete", "statefulset", "db", "--wait=true") }),
		},
		"the automation pushes by force": {
			check: "force", why: "by force", fix: "spec.git.checkout.ref.branch: main",
			spoil: all(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Checkout = nil }),
				sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Name: "refs/heads/main"} })),
			mend: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) {
				s.GitSpec.Checkout = &automationv1.GitCheckoutSpec{Reference: sourcev1.GitRepositoryRef{Branch: "main"}}
			}),
			after: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Branch: "main"} }),
		},
	}
}

// Each ailment is made, must be said with the fix, and be gone once the fix was done.
func TestDoctorNamesEveryAilmentAndItsFix(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	w.Publish(backend, "sidecar")
	w.auto(prod)
	ns := w.Fleet.FluxNamespace()
	for _, err := range []error{
		w.Client.Create(t.Context(), w.inFlux("backstop", 1, "run")),
		w.Client.Create(t.Context(), w.inFlux("kustomize-controller", 0, "--watch-all-namespaces=true")),
		w.Client.Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "backstop-credentials"},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"fleet"}, Verbs: []string{"get"}}}}),
		w.Client.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "backstop-credentials"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "backstop-credentials"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "backstop"}}}),
	} {
		w.must(err)
	}
	w.Settle()
	names := strings.NewReplacer("NSF", ns, "NS", w.Fleet.Namespace(prod))
	healthy := func() error {
		if r := w.examined(); doctor.Code(r) != trace.CodeGood {
			return errors.New(diagnosis(r))
		}
		return nil
	}
	w.Until("nothing is in the way", healthy)
	t.Log("\n" + diagnosis(w.examined()))
	out, code := w.runBackstop(w.Env.Kubeconfig, "doctor", "-n", w.Fleet.Namespace(prod), "--backstop-namespace="+ns, "--flux-namespace="+ns)
	if code != 0 || !strings.Contains(out, "1 of 1 workloads are ready for a rollback") {
		t.Errorf("code %d:\n%s", code, out)
	}
	all := ailments()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a := all[name]
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			a.spoil(&w)
			var c doctor.Check
			w.Until("the doctor says so", func() error {
				r := w.examined()
				for _, c = range found(r, a.check) {
					if c.Mark == trace.Stopped && strings.Contains(c.Why, names.Replace(a.why)) {
						return nil
					}
				}
				return errors.New(diagnosis(r))
			})
			if !strings.Contains(c.Fix, names.Replace(a.fix)) {
				t.Errorf("the fix is %q, want %q", c.Fix, names.Replace(a.fix))
			}
			if a.mend == nil {
				w.do(c.Fix)
			} else {
				a.mend(&w)
			}
			w.Until("the fix helps", func() error {
				for _, c := range found(w.examined(), a.check) {
					if c.Mark == trace.Stopped {
						return fmt.Errorf("%+v", c)
					}
				}
				return nil
			})
			if a.after != nil {
				a.after(&w)
			}
			w.Until("nothing is in the way", healthy)
		})
	}
	stranger, err := w.Env.KubeconfigForUser(w.Name + ":stranger")
	w.must(err)
	if out, code := w.runBackstop(stranger, "doctor", "-n", w.Fleet.Namespace(prod)); code != 3 || out != "" {
		t.Errorf("somebody who may read nothing gets code %d: %s", code, out)
	}
	if _, code := w.runBackstop(stranger, "doctor", "production"); code != 2 {
		t.Errorf("an argument too many: code %d", code)
	}
}
