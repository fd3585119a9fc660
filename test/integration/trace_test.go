package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/trace"
)

// runBackstop runs the real backstop with somebody's kubeconfig, and gives what it prints and its exit code.
func (w *World) runBackstop(kubeconfig string, args ...string) (out string, code int) {
	w.t.Helper()
	cmd := exec.Command(buildSidecar(w.t, w.Env), append(args, "--kubeconfig="+kubeconfig)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	if strings.Contains(stdout.String()+stderr.String(), w.Fleet.Password) {
		w.t.Error("the password of the Git server is printed")
	}
	if stderr.Len() > 0 {
		w.t.Logf("backstop %s: %s", strings.Join(args, " "), &stderr)
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// tracer looks with an administrator's rights. It keeps what it cloned, as --watch does.
func (w *World) tracer() *trace.Gatherer {
	w.t.Helper()
	git, err := gitrepo.New(w.scratch("mirrors"), gitrepo.Options{})
	w.must(err)
	return &trace.Gatherer{
		Client: w.Client, Flux: flux.New(w.Client, flux.Options{Person: true}), Git: git,
		Registry: registry.New(registry.Options{}), Now: time.Now,
		Logins: func(context.Context, string) reconcile.Access { return reconcile.Access{} },
	}
}

// traced traces the backend of production; image is the one that is asked for, or none.
func (w *World) traced(g *trace.Gatherer, image string) *trace.Trail {
	w.t.Helper()
	// The registry is asked anew each time.
	g.Registry = registry.New(registry.Options{})
	facts, err := g.Gather(w.t.Context(), trace.Question{
		Namespace: w.Fleet.Namespace(prod), Workload: v1alpha1.Workload{Kind: "Deployment", Name: backend}, Image: image,
	})
	w.must(err)
	t := trace.Of(facts[0])
	return &t
}

// at is what a trail says of one hop.
func at(t *trace.Trail, name string) trace.Hop {
	if i := slices.IndexFunc(t.Hops, func(h trace.Hop) bool { return h.Name == name }); i >= 0 {
		return t.Hops[i]
	}
	return trace.Hop{}
}

// told is a trail as people read it.
func told(t *trace.Trail) string {
	var b strings.Builder
	_ = trace.Print(&b, t, false)
	return b.String()
}

// do does what a fix says: flux and kubectl commands as those tools do, backstop's with the real one.
func (w *World) do(command string) {
	w.t.Helper()
	words := strings.Fields(command)
	switch {
	case len(words) > 5 && words[0] == "flux" && (words[3] == "resume" || words[3] == "reconcile"):
		kind := map[string]string{
			"image repository": "imagerepository", "image policy": "imagepolicy", "image update": "imageupdateautomation",
			"source git": "gitrepository", "kustomization": "kustomization", "helmrelease": "helmrelease",
		}[strings.Join(words[4:len(words)-1], " ")]
		patch := `{"spec":{"suspend":false}}`
		if words[3] == "reconcile" {
			patch = fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"%d"}}}`, time.Now().UnixNano())
		}
		_, err := w.Env.Kubectl(w.t.Context(), "-n", words[2], "patch", kind, words[len(words)-1], "--type=merge", "-p", patch)
		w.must(err)
	case words[0] == "kubectl":
		_, err := w.Env.Kubectl(w.t.Context(), words[1:]...)
		w.must(err)
	case words[0] == "backstop":
		if out, code := w.runBackstop(w.Env.Kubeconfig, words[1:]...); code != 0 {
			w.t.Fatalf("%s: %d\n%s", command, code, out)
		}
	default:
		w.t.Fatalf("nobody knows how to do: %s", command)
	}
}

// edit changes an object of Flux's, as a person does in Git.
func edit[T client.Object](w *World, o T, namespace, name string, change func(T)) {
	w.t.Helper()
	o.SetNamespace(namespace)
	o.SetName(name)
	Object(w, o)
	was := o.DeepCopyObject().(client.Object)
	change(o)
	w.must(w.Client.Patch(w.t.Context(), o, client.MergeFrom(was)))
}

// mishap is one thing that goes wrong on an image's way.
type mishap struct {
	// hop at which a trace must say so, with these words and this fix.
	hop, why, fix string
	// ask for this tag instead of for the Deployment.
	ask string
	// spoil makes it happen; mend does what the fix says, where that is not a command alone.
	spoil func(w *World)
	mend  func(w *World, fix string)
}

const backend = "backend"

// inProduction are shorthands for the objects that the mishaps change.
func scanSpec(change func(*reflectorv1.ImageRepositorySpec)) func(w *World) {
	return func(w *World) {
		edit(w, &reflectorv1.ImageRepository{}, w.Fleet.Namespace(prod), backend, func(o *reflectorv1.ImageRepository) { change(&o.Spec) })
	}
}

func policySpec(change func(*reflectorv1.ImagePolicySpec)) func(w *World) {
	return func(w *World) {
		edit(w, &reflectorv1.ImagePolicy{}, w.Fleet.Namespace(prod), backend, func(o *reflectorv1.ImagePolicy) { change(&o.Spec) })
	}
}

func automationSpec(change func(*automationv1.ImageUpdateAutomationSpec)) func(w *World) {
	return func(w *World) {
		edit(w, &automationv1.ImageUpdateAutomation{}, w.Fleet.Namespace(prod), prod, func(o *automationv1.ImageUpdateAutomation) { change(&o.Spec) })
	}
}

func sourceSpec(change func(*sourcev1.GitRepositorySpec)) func(w *World) {
	return func(w *World) {
		edit(w, &sourcev1.GitRepository{}, w.Fleet.FluxNamespace(), fleet.SourceName, func(o *sourcev1.GitRepository) { change(&o.Spec) })
	}
}

func applySpec(change func(*kustomizev1.KustomizationSpec)) func(w *World) {
	return func(w *World) {
		edit(w, &kustomizev1.Kustomization{}, w.Fleet.FluxNamespace(), prod, func(o *kustomizev1.Kustomization) { change(&o.Spec) })
	}
}

// inFile replaces words in the app's manifest, in Git.
func inFile(old, now string) func(w *World) {
	return func(w *World) {
		_, err := w.Alice.Change(w.t.Context(), w.Fleet.File(prod, backend), "Edit", func(s string) string {
			return strings.ReplaceAll(s, strings.ReplaceAll(old, "NS", w.Fleet.Namespace(prod)), strings.ReplaceAll(now, "NS", w.Fleet.Namespace(prod)))
		})
		w.must(err)
	}
}

func all(steps ...func(w *World)) func(w *World) {
	return func(w *World) {
		for _, s := range steps {
			s(w)
		}
	}
}

// by mends with steps that the fix describes in words.
func by(steps ...func(w *World)) func(w *World, fix string) {
	return func(w *World, _ string) { all(steps...)(w) }
}

func publish(tag string) func(w *World) { return func(w *World) { w.Publish(backend, tag) } }

func mishaps() map[string]mishap {
	pattern := func(p string) func(w *World) {
		return policySpec(func(s *reflectorv1.ImagePolicySpec) { s.FilterTags.Pattern = p })
	}
	good := "^" + prod + `-v.*-(?P<ts>[0-9]+)$`
	return map[string]mishap{
		"the tag was deleted from the registry": {
			hop: "tag", why: "does not have backend:", fix: "push ",
			spoil: all(publish("other"), func(w *World) {
				for n := range 3 { // those that there are
					_ = w.Registry.DeleteTag(backend, fleet.Tag(prod, n))
				}
			}),
			mend: func(w *World, fix string) { publish(fix[strings.LastIndex(fix, ":")+1:])(w) },
		},
		"the ImageRepository is suspended": {
			hop: "scan", why: "suspended", fix: "flux -n NS resume image repository backend",
			spoil: scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.Suspend = true }),
		},
		"the ImageRepository leaves the tag out": {
			hop: "scan", why: "the exclusion -v1.9 matches", fix: "spec.exclusionList", ask: prod + "-v1.9.0-1600000000",
			spoil: all(publish(prod+"-v1.9.0-1600000000"), scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.ExclusionList = []string{`\.sig$`, "-v1.9"} })),
			mend: by(scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.ExclusionList = nil }),
				func(w *World) { w.must(w.Registry.DeleteTag(backend, prod+"-v1.9.0-1600000000")) }),
		},
		"the ImageRepository's Secret does not exist": {
			hop: "scan", why: "scan fails", fix: "create secret docker-registry pull",
			spoil: scanSpec(func(s *reflectorv1.ImageRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "pull"} }),
			mend:  func(w *World, fix string) { w.do(strings.NewReplacer("USER", "any", "TOKEN", "thing").Replace(fix)) },
		},
		"the ImagePolicy is suspended": {
			hop: "policy", why: "suspended", fix: "flux -n NS resume image policy backend",
			spoil: policySpec(func(s *reflectorv1.ImagePolicySpec) { s.Suspend = true }),
		},
		"the pattern matches no tag": {
			hop: "policy", why: "elects nothing", fix: "push the image under a tag that matches, such as prd-v-",
			spoil: pattern(`^prd-v-(?P<ts>[0-9]+)$`), mend: by(pattern(good)),
		},
		"the tag that was pushed does not match the pattern": {
			hop: "policy", why: "does not match the pattern", fix: "push the image under a tag that matches", ask: "prod-v2",
			spoil: publish("prod-v2"), mend: by(func(w *World) { w.must(w.Registry.DeleteTag(backend, "prod-v2")) }),
		},
		"the production policy takes staging's tags": {
			hop: "policy", why: "ImagePolicy NS2/backend is for", fix: "anchored with ^",
			spoil: all(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = true }),
				publish(fleet.Tag("staging", 9)), pattern(`-v.*-(?P<ts>[0-9]+)$`)),
			mend: by(pattern(good), automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = false })),
		},
		"the automation is suspended": {
			hop: "automation", why: "suspended", fix: "flux -n NS resume image update production",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = true }),
		},
		"the automation updates another folder": {
			hop: "automation", why: "updates apps/staging alone", fix: "spec.update.path",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Update.Path = "./apps/staging" }),
			mend:  by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Update.Path = "./apps/production" })),
		},
		"the automation pushes to another branch": {
			hop: "automation", why: "pushes to updates", fix: "spec.git.push.branch: main",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Push.Branch = "updates" }),
			mend:  by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Push.Branch = "main" })),
		},
		"the automation does not select the policy": {
			hop: "automation", why: "does not select", fix: "team=web",
			spoil: automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) {
				s.PolicySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "web"}}
			}),
			mend: func(w *World, fix string) {
				_, label, _ := strings.Cut(fix, "policySelector: ")
				w.kubectl(prod, "label", "imagepolicy", "backend", label)
			},
		},
		"the automation fails": {
			hop: "automation", why: "template", fix: "spec.git.commit.messageTemplate",
			spoil: all(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Commit.MessageTemplate = "{{" }), publish(fleet.Tag(prod, 1))),
			mend:  by(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.GitSpec.Commit.MessageTemplate = "" })),
		},
		"the line has no marker": {
			hop: "marker", why: "without a marker", fix: `# {"$imagepolicy": "NS:backend"}`,
			spoil: inFile(` # {"$imagepolicy": "NS:backend"}`, ""),
			mend: func(w *World, fix string) {
				_, comment, _ := strings.Cut(fix, "with the comment: ")
				_, err := w.Alice.Change(w.t.Context(), w.Fleet.File(prod, backend), "Mark it", func(s string) string {
					return regexp.MustCompile(`(?m)^( +- name: backend\n +image: \S+).*$`).ReplaceAllString(s, "${1} "+strings.ReplaceAll(comment, "$", "$$"))
				})
				w.must(err)
			},
		},
		"the marker names a policy that does not exist": {
			hop: "marker", why: "there is no such ImagePolicy", fix: `"NS:backend"`,
			spoil: inFile(`"NS:backend"`, `"NS:bakend"`), mend: by(inFile(`"NS:bakend"`, `"NS:backend"`)),
		},
		"the marker names another environment's policy": {
			hop: "marker", why: "another environment's policy", fix: `"NS:backend"`,
			spoil: all(automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = true }), func(w *World) {
				inFile(`"NS:backend"`, `"`+w.Fleet.Namespace("staging")+`:backend"`)(w)
			}),
			mend: by(func(w *World) { inFile(`"`+w.Fleet.Namespace("staging")+`:backend"`, `"NS:backend"`)(w) },
				automationSpec(func(s *automationv1.ImageUpdateAutomationSpec) { s.Suspend = false })),
		},
		"the marker is held": {
			hop: "marker", why: "holds image automation off: production-v9 could not run", fix: "take backstop:hold out of the comment",
			spoil: inFile(`# {"$imagepolicy": "NS:backend"}`, `# backstop:hold not=production-v9 {"$imagepolicy": "NS:backend"}`),
			mend:  by(inFile(`# backstop:hold not=production-v9 {"$imagepolicy": "NS:backend"}`, `# {"$imagepolicy": "NS:backend"}`)),
		},
		"the GitRepository is suspended": {
			hop: "source", why: "suspended", fix: "flux -n NSF resume source git fleet",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Suspend = true }),
		},
		"the GitRepository follows a branch that is not there": {
			hop: "source", why: "cannot be fetched", fix: "correct Secret NSF/fleet, spec.url or spec.ref",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Branch = "mian" }),
			mend:  by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Branch = "main" })),
		},
		"the GitRepository is pinned to a commit": {
			hop: "source", why: "is pinned to commit", fix: "set spec.ref to the branch alone",
			spoil: func(w *World) {
				tip := w.Tip()
				sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Commit = tip })(w)
			},
			mend: by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Reference.Commit = "" })),
		},
		"the GitRepository wants signed commits": {
			hop: "source", why: "refuses the commit's signature", fix: "spec.verify.secretRef",
			spoil: sourceSpec(func(s *sourcev1.GitRepositorySpec) {
				s.Verification = &sourcev1.GitRepositoryVerification{Mode: sourcev1.ModeGitHEAD, SecretRef: meta.LocalObjectReference{Name: "keys"}}
			}),
			mend: by(sourceSpec(func(s *sourcev1.GitRepositorySpec) { s.Verification = nil })),
		},
		"the Kustomization is suspended": {
			hop: "apply", why: "suspended", fix: "flux -n NSF resume kustomization production",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) { s.Suspend = true }),
		},
		"the Kustomization depends on what is not ready": {
			hop: "apply", why: "DependencyNotReady", fix: "flux -n NSF get kustomization nowhere",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) {
				s.DependsOn = []kustomizev1.DependencyReference{{Name: "nowhere"}}
			}),
			mend: by(applySpec(func(s *kustomizev1.KustomizationSpec) { s.DependsOn = nil })),
		},
		"the Kustomization does not build": {
			hop: "apply", why: "BuildFailed", fix: "correct the files below spec.path",
			spoil: applySpec(func(s *kustomizev1.KustomizationSpec) { s.Path = "./apps/nowhere" }),
			mend:  by(applySpec(func(s *kustomizev1.KustomizationSpec) { s.Path = "./apps/production" })),
		},
		"somebody changed the image by hand": {
			hop: "workload", why: "set by kubectl-set", fix: "flux -n NSF reconcile kustomization production",
			spoil: func(w *World) {
				w.Publish(backend, "by-hand")
				w.kubectl(prod, "set", "image", "deploy/backend", "backend="+w.Fleet.Image(backend, "by-hand"))
			},
			mend: func(w *World, fix string) {
				command, _, _ := strings.Cut(strings.TrimPrefix(fix, "restore what Git says: "), ";")
				w.do(command)
				w.must(w.Registry.DeleteTag(backend, "by-hand"))
			},
		},
		"somebody changed the image, and Flux is told to leave it": {
			hop: "workload", why: "tells Flux to leave it alone", fix: "take the annotation away",
			spoil: func(w *World) {
				w.Publish(backend, "by-hand")
				w.kubectl(prod, "annotate", "deploy/backend", "kustomize.toolkit.fluxcd.io/reconcile=disabled")
				w.kubectl(prod, "set", "image", "deploy/backend", "backend="+w.Fleet.Image(backend, "by-hand"))
			},
			mend: func(w *World, _ string) {
				w.kubectl(prod, "annotate", "deploy/backend", "kustomize.toolkit.fluxcd.io/reconcile-")
				w.do("flux -n " + w.Fleet.FluxNamespace() + " reconcile kustomization production")
				w.must(w.Registry.DeleteTag(backend, "by-hand"))
			},
		},
		"the rollout is paused": {
			hop: "workload", why: "paused", fix: "kubectl -n NS rollout resume deployment backend",
			spoil: func(w *World) {
				// Not as kubectl does it, whose fields Flux takes away at its next run.
				edit(w, &appsv1.Deployment{}, w.Fleet.Namespace(prod), backend, func(o *appsv1.Deployment) {
					o.Spec.Paused = true
					o.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "b"}}
				})
			},
		},
		"the image cannot be pulled": {
			hop: "pods", why: "waits with production-v1.2.0-1700000002", fix: "build ",
			spoil: func(w *World) { w.publishBad(backend, fleet.Tag(prod, 2)) },
			mend:  by(func(w *World) { w.Publish(backend, fleet.Tag(prod, 2)) }),
		},
	}
}

// Each mishap is made, must be said at its hop with the fix, and be gone once the fix was done.
func TestTraceNamesEveryMishapAndItsFix(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Fleet.Environments, s.Fleet.Apps = []string{"staging", prod}, []string{backend}
	})
	w.Settle()
	names := strings.NewReplacer("NSF", w.Fleet.FluxNamespace(), "NS2", w.Fleet.Namespace("staging"), "NS", w.Fleet.Namespace(prod))
	g := w.tracer()
	arrived := func() error {
		if tr := w.traced(g, ""); trace.Code([]trace.Trail{*tr}) != trace.CodeGood {
			return errors.New(told(tr))
		}
		return nil
	}
	w.Until("everything is where it should be", arrived)
	out, code := w.runBackstop(w.Env.Kubeconfig, "trace", "deploy/backend", "-n", w.Fleet.Namespace(prod))
	if code != 0 || strings.Count(out, "✓") != 10 || strings.Contains(out, "\x1b") {
		t.Errorf("code %d:\n%s", code, out)
	}
	all := mishaps()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			image := ""
			if m.ask != "" {
				image = w.Fleet.Image(backend, m.ask)
			}
			m.spoil(&w)
			var h trace.Hop
			w.Until("trace says so", func() error {
				tr := w.traced(g, image)
				if h = at(tr, m.hop); h.Mark != trace.Stopped || !strings.Contains(h.Why, names.Replace(m.why)) {
					return errors.New(told(tr))
				}
				for _, h := range tr.Hops {
					if h.Mark == trace.Stopped && (h.Fix == "" || h.Why == "") {
						t.Errorf("%s is stopped without a reason or a fix: %+v", h.Name, h)
					}
				}
				return nil
			})
			if !strings.Contains(h.Fix, names.Replace(m.fix)) {
				t.Errorf("the fix is %q, want %q", h.Fix, names.Replace(m.fix))
			}
			if m.mend == nil {
				w.do(h.Fix)
			} else {
				m.mend(&w, h.Fix)
			}
			w.Until("the fix helps", arrived)
		})
	}
}

// A user who may look into the namespaces, but not read Secrets, is told what was not read; that is no failure.
func TestTraceReadsWithTheUsersRights(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	w.Settle()
	stranger, err := w.Env.KubeconfigForUser(w.Name + ":stranger")
	w.must(err)
	ns := w.Fleet.Namespace(prod)
	if out, code := w.runBackstop(stranger, "trace", "deploy/backend", "-n", ns); code != 3 || out != "" {
		t.Errorf("somebody who may read nothing gets code %d: %s", code, out)
	}
	reader, err := w.Env.KubeconfigForUser(w.Name + ":reader")
	w.must(err)
	w.mayRead(w.Name + ":reader")
	var out string
	w.Until("the reader sees all but Git", func() error {
		var code int
		if out, code = w.runBackstop(reader, "trace", "deploy/backend", "-n", ns); code != 3 {
			return fmt.Errorf("code %d:\n%s", code, out)
		}
		return nil
	})
	for _, words := range []string{
		"✓ pods", "✓ policy", "? marker", "not read: you may not read Secret " + w.Fleet.FluxNamespace() + "/fleet",
		"all right as far as could be read; not read: marker, commit",
	} {
		if !strings.Contains(out, words) {
			t.Errorf("it does not say %q:\n%s", words, out)
		}
	}
	for _, args := range [][]string{{"trace"}, {"trace", "deploy/"}, {"trace", "deploy/x", "-o", "xml"}, {"trace", "deploy/x", "--interval=1ms"}} {
		if _, code := w.runBackstop(reader, args...); code != 2 {
			t.Errorf("%q ends with %d, want 2", args, code)
		}
	}
}

// mayRead lets a user get and list Flux's objects, workloads, pods and nodes.
func (w *World) mayRead(user string) {
	w.t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: w.Name + "-reader"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"apps", "batch", "source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io",
			"image.toolkit.fluxcd.io", "backstop.dev"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{""}, Resources: []string{"pods", "nodes", "namespaces"}, Verbs: []string{"get", "list"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	for _, o := range []client.Object{role, binding} {
		w.must(w.Client.Create(w.t.Context(), o))
		w.t.Cleanup(func() { _ = w.Client.Delete(context.WithoutCancel(w.t.Context()), o) })
	}
}

// trails is what `backstop trace -o json` prints.
type trails struct {
	Traces []struct {
		Image, Runs string
		Hops        []struct{ Hop, Mark, Why, Fix string }
		History     []struct{ Image, Commit, Author, Subject, Backstop string }
	}
}

// An image that was pushed to production is followed until it runs, with the staging tag that it was promoted from; the
// history names every image that ran, by commit, and who brought it in.
func TestTraceFollowsAPromotionAndTellsTheHistory(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	w.Settle()
	ns := w.Fleet.Namespace(prod)
	args := []string{"trace", "deploy/backend", "-n", ns}
	staging := fleet.Tag("staging", 1)
	digest := w.Publish(backend, staging)
	w.must(w.Registry.Retag(backend, staging, fleet.Tag(prod, 1)))
	first := w.wroteBack(prod, backend, fleet.Tag(prod, 1))
	w.runs(prod, backend, fleet.Tag(prod, 1))
	w.Until("it has arrived", func() error {
		if out, code := w.runBackstop(w.Env.Kubeconfig, args...); code != 0 || !strings.Contains(out, "also tagged "+staging) {
			return fmt.Errorf("code %d:\n%s", code, out)
		}
		return nil
	})
	out, code := w.runBackstop(w.Env.Kubeconfig, append(args, "--watch", "-o", "json", "--history")...)
	var got trails
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("%v, code %d: %s", err, code, out)
	}
	h := got.Traces[0].History
	if len(h) != 2 || h[0].Commit != first || h[0].Image != w.Fleet.Image(backend, fleet.Tag(prod, 1)) ||
		!strings.HasPrefix(h[0].Author, fleet.Author) || h[1].Image != w.Fleet.Image(backend, fleet.Tag(prod, 0)) ||
		!strings.HasPrefix(h[1].Author, "Alice ") || h[1].Subject != "Begin" {
		t.Errorf("the history is %+v", h)
	}
	if !strings.Contains(out, digest) && !strings.Contains(out, digest[:19]) {
		t.Errorf("the digest %s is not named: %s", digest, out)
	}
	// A tag that was never pushed is asked for, and one of staging, which production does not take.
	for tag, want := range map[string][2]string{
		fleet.Tag(prod, 7): {"tag", "push "}, staging: {"policy", "push the image under a tag that matches"},
	} {
		out, code := w.runBackstop(w.Env.Kubeconfig, "trace", w.Fleet.Image(backend, tag), "-n", ns, "-o", "json")
		var got trails
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 {
			t.Fatalf("%v, code %d: %s", err, code, out)
		}
		for _, hop := range got.Traces[0].Hops {
			if hop.Hop == want[0] && (hop.Mark != "stopped" || !strings.Contains(hop.Fix, want[1])) {
				t.Errorf("%s: at %s it says %+v", tag, want[0], hop)
			}
		}
	}
	if out, code := w.runBackstop(w.Env.Kubeconfig, "trace", "elsewhere.test/x:1", "-n", ns); code != 3 || out != "" {
		t.Errorf("an image that nothing runs: code %d, %s", code, out)
	}
}
