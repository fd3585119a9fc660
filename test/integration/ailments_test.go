package integration

import (
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/crypto/ssh"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/registrystub"
)

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

func policyTo(change func(*v1alpha1.RollbackPolicySpec)) func(w *World) {
	return func(w *World) {
		edit(w, &v1alpha1.RollbackPolicy{}, w.Fleet.Namespace(prod), "apps", func(p *v1alpha1.RollbackPolicy) { change(&p.Spec) })
	}
}

// ailmentsOfBackstop are those of the sidecar, its policies and its rights.
func ailmentsOfBackstop() map[string]ailment {
	keys := func(w *World, names ...string) { w.mayReadSecrets(w.Fleet.FluxNamespace(), names...) }
	return map[string]ailment{
		"Backstop is not installed": {
			check: "sidecar", why: "Backstop does not run in namespace NSF", fix: "kubectl apply -k deploy/kustomize/default",
			spoil: func(w *World) { w.must(w.Client.Delete(w.t.Context(), w.inFlux("backstop", 1))) },
			mend: func(w *World, fix string) {
				// The overlay brings its own namespace, whose pods nobody runs here: the API server takes it, and it runs here.
				command, _, _ := strings.Cut(fix, ";")
				w.do(command+" --dry-run=server", "deploy/", filepath.Join(w.Env.Root, "deploy")+"/")
				w.must(w.Client.Create(w.t.Context(), w.inFlux("backstop", 1)))
			},
		},
		"Backstop has no replica":           {check: "sidecar", why: "no replica", fix: "describe deployment backstop", spoil: scaled(0), mend: by(scaled(1))},
		"Backstop watches other namespaces": {check: "sidecar", why: "does not watch", fix: "--namespaces", spoil: args("backstop", "--namespaces=elsewhere"), mend: by(args("backstop"))},
		"Backstop may not see pods": {
			check: "sees", why: "Backstop may not list pods", fix: "kubectl apply -k deploy/kustomize/rbac",
			spoil: sees(false), mend: by(sees(true)),
		},
		"no policy selects the workload": {
			check: "policy", why: "no RollbackPolicy selects it", fix: "spec.selector selects it (an empty one selects all)",
			spoil: policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Selector.MatchLabels = map[string]string{"tier": "other"} }),
			mend:  by(policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Selector.MatchLabels = nil })),
		},
		"the policy is suspended": {
			check: "policy", why: "is suspended", fix: "spec.suspend: false",
			spoil: policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Suspend = true }),
			mend:  by(policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Suspend = false })),
		},
		"Backstop may not read the Git secret": {
			check: "read", why: "Backstop may not read it", fix: "resourceNames: [fleet]",
			spoil: func(w *World) { keys(w, "nothing") }, mend: by(func(w *World) { keys(w, "fleet") }),
		},
		"the Git secret does not exist": {
			check: "read", why: "it does not exist, and GitRepository NSF/fleet names it", fix: "kubectl -n NSF create secret generic gone",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.SecretRef.Name = "gone" }),
			mend: func(w *World, fix string) {
				command, _, _ := strings.Cut(strings.TrimPrefix(fix, "create it: "), " (")
				w.do(command, "USER", w.Fleet.Username, "TOKEN", w.Fleet.Password)
				keys(w, "fleet", "gone")
			},
			after: all(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.SecretRef.Name = "fleet" }), func(w *World) { keys(w, "fleet") }),
		},
	}
}

// signsWith has image automation sign with a Secret of its namespace, or with none.
func signsWith(secret string) func(w *World) {
	return automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) {
		s.GitSpec.Commit.SigningKey = nil
		if secret != "" {
			s.GitSpec.Commit.SigningKey = &automationv1.SigningKey{Type: "ssh", SecretRef: meta.LocalObjectReference{Name: secret}}
		}
	})
}

// keyed puts a new key into a Secret, as the field that SSH keys have, or another one.
func keyed(name, field string) func(w *World) {
	return func(w *World) {
		_, key, err := ed25519.GenerateKey(nil)
		w.must(err)
		block, err := ssh.MarshalPrivateKey(key, "")
		w.must(err)
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: name},
			Data: map[string][]byte{field: pem.EncodeToMemory(block)}}
		if err := w.Client.Create(w.t.Context(), s); err != nil {
			w.must(w.Client.Update(w.t.Context(), s))
		}
		w.mayReadSecrets(s.Namespace, name)
	}
}

// gitLogin is the user of the Secret with which Git is asked.
func gitLogin(user string) func(w *World) {
	return func(w *World) {
		edit(w, &corev1.Secret{}, w.Fleet.FluxNamespace(), fleet.SourceName, func(s *corev1.Secret) { s.Data["username"] = []byte(user) })
	}
}

// readers lets a user of that name read, and refuses its pushes.
func readers(w *World) {
	w.Git.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user == "reader" {
			if strings.Contains(r.URL.String(), "git-receive-pack") {
				return gitserver.Answer(http.StatusForbidden, "read only")(rw, r)
			}
			r.SetBasicAuth(w.Fleet.Username, password)
		}
		return false
	})
}

// ailmentsOfGit are those of the branch, the push, and the key that signs.
func ailmentsOfGit() map[string]ailment {
	bundle := func(w *World) *sourcev1.OCIRepository {
		return &sourcev1.OCIRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.FluxNamespace(), Name: "bundle"},
			Spec: sourcev1.OCIRepositorySpec{URL: "oci://registry.test/bundle", Interval: metav1.Duration{Duration: time.Hour}}}
	}
	deployed := func(kind, name string) func(w *World) {
		return applySpec(func(s *kustomizev1.KustomizationSpec) { s.SourceRef.Kind, s.SourceRef.Name = kind, name })
	}
	refusal := func(w *World) *v1alpha1.Rollback {
		return &v1alpha1.Rollback{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "backend-refused-1"},
			Spec: v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject(w.Fleet.Image(backend, "refused"))}}
	}
	return map[string]ailment{
		"the source does not exist": {
			check: "branch", why: "it does not exist", fix: "correct spec.sourceRef of production",
			spoil: deployed("GitRepository", "nowhere"), mend: by(deployed("GitRepository", "fleet")),
		},
		"the source is no Git repository": {
			check: "branch", why: "is no Git repository that Backstop could write to", fix: "in spec.sourceRef of the RollbackPolicy",
			spoil: func(w *World) {
				w.must(w.Client.Create(w.t.Context(), bundle(w)))
				deployed("OCIRepository", "bundle")(w)
			},
			mend: by(func(w *World) {
				policyTo(func(s *v1alpha1.RollbackPolicySpec) {
					s.SourceRef = &v1alpha1.SourceRef{Namespace: w.Fleet.FluxNamespace(), Name: "fleet"}
				})(w)
			}),
			after: all(deployed("GitRepository", "fleet"), policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.SourceRef = nil }),
				func(w *World) { w.must(w.Client.Delete(w.t.Context(), bundle(w))) }),
		},
		"the source is pinned to a tag": {
			check: "branch", why: "is pinned to tag v1", fix: "spec.ref: {branch: main}",
			spoil: func(w *World) {
				w.git("tag", "--force", "v1", fleet.Branch)
				sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Tag: "v1"} })(w)
			},
			mend: by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Branch: "main"} })),
		},
		"the automation pushes to another branch": {
			check: "branch", why: "pushes to updates", fix: "spec.git.push.branch of the ImageUpdateAutomation: main",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Push.Branch = "updates" }),
			mend:  by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Push.Branch = "main" })),
		},
		"the credentials may only read": {
			check: "push", why: "refuses this to the credentials", fix: "put a login that may push into Secret NSF/fleet",
			spoil: all(readers, gitLogin("reader")),
			mend:  by(func(w *World) { gitLogin(w.Fleet.Username)(w) }),
			after: func(w *World) { w.Git.SetFault(nil) },
		},
		"there are no credentials": {
			check: "push", why: "the server asks for credentials, but GitRepository NSF/fleet has no secretRef", fix: "set spec.secretRef of GitRepository/NSF/fleet to a Secret with a login that may push",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.SecretRef = nil }),
			mend:  by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "fleet"} })),
		},
		"the branch is protected": {
			check: "protection", why: "protected branch", fix: "push to main in the rules of the Git server",
			spoil: func(w *World) {
				w.must(gitserver.Hook(w.Repo, "pre-receive", "echo protected branch; exit 1"))
				w.newer()
			},
			mend: by(func(w *World) { w.must(os.Remove(filepath.Join(w.Repo, "hooks", "pre-receive"))) }),
		},
		// What Backstop itself was told stays in its record; only a push that goes through says otherwise.
		"Backstop was refused a push": {
			check: "protection", why: "the server refused a push to main: protected branch", fix: "push to main in the rules of the Git server",
			spoil: func(w *World) {
				r, records := refusal(w), w.asBackstop()
				w.must(records.Create(w.t.Context(), r))
				now := v1alpha1.NewTime(time.Now())
				r.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: backend},
					Container: backend, Cause: v1alpha1.CauseNotFound, Since: now,
					ID: "3fa9c1d2e4b5", Pull: &v1alpha1.Pull{}}}
				r.Status.Waiting = &v1alpha1.Waiting{Why: "protected branch hook declined", Since: now, Refused: string(reconcile.FaultDeclined)}
				w.must(records.SaveStatus(w.t.Context(), r))
			},
			mend: by(func(w *World) {
				said := Object(w, refusal(w)).Status.Waiting.Since
				w.Until("a push would be later", func() error {
					if time.Since(said.Time) < 1100*time.Millisecond { // a push's time has whole seconds
						return errors.New("not yet")
					}
					return nil
				})
				w.newer()
			}),
			after: func(w *World) { w.must(w.Client.Delete(w.t.Context(), refusal(w))) },
		},
		"Flux wants signatures and there is no key": {
			check: "signing", why: "signed commits alone", fix: "spec.git.commit.signingKey",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) {
				s.Verification = &sourcev1.GitRepositoryVerification{Mode: sourcev1.ModeGitHEAD, SecretRef: meta.LocalObjectReference{Name: "keys"}}
			}),
			mend:  by(keyed("signing", "identity"), signsWith("signing")),
			after: all(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Verification = nil }), signsWith("")),
		},
		"the key's Secret holds no key": {
			check: "signing", why: "Secret NS/wrong, which ImageUpdateAutomation/NS/production signs with, holds no identity", fix: "put the key into that Secret",
			spoil: all(keyed("wrong", "git.asc"), signsWith("wrong")), mend: by(keyed("wrong", "identity")), after: signsWith(""),
		},
		"the key's Secret does not exist": {
			check: "read", why: "it does not exist, and the key of ImageUpdateAutomation/NS/production names it", fix: "kubectl -n NS create secret generic lost",
			spoil: signsWith("lost"), mend: by(keyed("lost", "identity")), after: signsWith(""),
		},
		"the automation pushes by force": {
			check: "force", why: "by force", fix: "spec.git.checkout.ref.branch: main",
			spoil: all(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Checkout = nil }),
				sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Name: "refs/heads/main"} })),
			mend: by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) {
				s.GitSpec.Checkout = &automationv1.GitCheckoutSpec{Reference: sourcev1.GitRepositoryRef{Branch: "main"}}
			})),
			after: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference = &sourcev1.GitRepositoryRef{Branch: "main"} }),
		},
	}
}

// ailmentsOfTheRegistry are those of the proof.
func ailmentsOfTheRegistry() map[string]ailment {
	fails := func(where string, status int) func(w *World) {
		return func(w *World) { w.Registry.Fail(where, registrystub.Status(status)) }
	}
	heal := by(func(w *World) { w.Registry.Heal() })
	lost := func(tag string) func(w *World) {
		return func(w *World) { w.must(w.Registry.DeleteTag(backend, tag)) }
	}
	return map[string]ailment{
		"the registry lets nobody in": {
			check: "prove", why: "refuses this client", fix: "correct the login in spec.secretRef of ImageRepository NS/backend", spoil: fails("/v2/", http.StatusUnauthorized), mend: heal,
		},
		"the registry does not answer": {
			check: "prove", why: "answers 500", fix: "see that the registry answers", spoil: fails("/v2/", http.StatusInternalServerError), mend: heal,
		},
		"tags may not be listed": {
			check: "prove", why: "its tags are not listed", fix: "let the login list tags", spoil: fails("/v2/backend/tags/", http.StatusForbidden), mend: heal,
		},
		"an image that runs is gone": {check: "prove", why: "it runs, and could not be pulled again", fix: "push it again", spoil: lost("agent"), mend: by(publish("agent"))},
		"no other tag of the repository is seen": {
			check: "prove", why: "no other tag", fix: "keep the image before it",
			spoil: func(w *World) { // the sidecar's own namespace is not looked at
				for _, tag := range w.tags() {
					if tag != "agent" {
						lost(tag)(w)
					}
				}
			},
			mend: by(func(w *World) { w.Publish(backend, w.selectedTag()) }, publish("sidecar")),
		},
	}
}

// selectedTag is the tag of the backend that production's policy selects.
func (w *World) selectedTag() string {
	w.t.Helper()
	return Object(w, fleet.Get[*reflectorv1.ImagePolicy](w.Fleet, w.Fleet.Namespace(prod), backend)).Status.LatestRef.Tag
}

// newer publishes the backend's next image, and gives its tag.
func (w *World) newer() string {
	w.t.Helper()
	tag := w.nextTag()
	w.Publish(backend, tag)
	return tag
}

// nextTag is one that comes after all that there are.
func (w *World) nextTag() string {
	w.t.Helper()
	n := -1
	for _, tag := range w.tags() {
		n = max(n, nth(tag))
	}
	return fleet.Tag(prod, n+1)
}

// tags are those of the backend, past every fault.
func (w *World) tags() []string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.Registry.URL()+"/v2/"+backend+"/tags/list", nil)
	w.must(err)
	res, err := w.Registry.RoundTrip(req)
	w.must(err)
	defer res.Body.Close()
	var list struct{ Tags []string }
	w.must(json.NewDecoder(res.Body).Decode(&list))
	return list.Tags
}

// newest reports whether no tag of production's comes after one.
func (w *World) newest(tag string) error {
	w.t.Helper()
	if last := w.nextTag(); fleet.Tag(prod, nth(tag)+1) != last {
		return fmt.Errorf("%s would come after %s", last, tag)
	}
	return nil
}

// nth is the number of a tag of production's; -1 for another's.
func nth(tag string) int {
	var n, build int
	if _, err := fmt.Sscanf(tag, prod+"-v1.%d.0-%d", &n, &build); err != nil {
		return -1
	}
	return n
}
