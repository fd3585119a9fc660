package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/test/fleet"
)

// ready waits until the Ready condition of an object says this.
func (w *World) ready(o client.Object, conditions func() []metav1.Condition, status metav1.ConditionStatus, says string) {
	w.t.Helper()
	w.Until(o.GetName()+" is ready="+string(status)+" "+says, func() error {
		Object(w, o)
		c := apimeta.FindStatusCondition(conditions(), "Ready")
		if c == nil || c.Status != status || !strings.Contains(c.Message, says) {
			return fmt.Errorf("it says %+v", c)
		}
		return nil
	})
}

// change edits an object's spec, as a person with kubectl.
func change[T client.Object](w *World, o T, edit func(T)) {
	w.t.Helper()
	Object(w, o)
	was := o.DeepCopyObject().(T)
	edit(o)
	w.must(w.Client.Patch(w.t.Context(), o, client.MergeFrom(was)))
}

const overlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: NS
resources: [../../base]
images:
  - name: backend
    newName: IMAGE # {"$imagepolicy": "NS:backend:name"}
    newTag: TAG # {"$imagepolicy": "NS:backend:tag"}
`

func TestStandInApplyBuildsOverlaysPrunesAndWaitsForDependencies(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Vary = func(w *World) {
			f, ns := w.Fleet, w.Fleet.Namespace(prod)
			base, _, _ := strings.Cut(f.Deployment(prod, "backend"), "          image: ")
			f.Files["base/backend.yaml"] = strings.ReplaceAll(base, "  namespace: "+ns+"\n", "") + "          image: backend\n"
			f.Files["base/kustomization.yaml"] = "resources: [backend.yaml]\n"
			delete(f.Files, f.File(prod, "backend"))
			delete(f.Files, f.File(prod, "frontend"))
			f.Files["apps/production/kustomization.yaml"] = strings.NewReplacer("NS", ns, "IMAGE", f.Registry+"/backend", "TAG", fleet.Tag(prod, 0)).Replace(overlay)
			f.Files["late/frontend.yaml"] = f.Deployment(prod, "frontend")
			late := fleet.Get[*kustomizev1.Kustomization](f, f.FluxNamespace(), prod).DeepCopy()
			late.Name, late.Spec.Path = "late", "./late"
			late.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: prod}}
			late.Spec.Images = []kustomize.Image{{Name: f.Registry + "/frontend", NewTag: "overridden"}}
			f.Objects = append(f.Objects, late)
			k := fleet.Get[*kustomizev1.Kustomization](f, f.FluxNamespace(), prod)
			k.Spec.Wait, k.Spec.Suspend = true, true
		}
	})
	f := w.Fleet
	k := fleet.Get[*kustomizev1.Kustomization](f, f.FluxNamespace(), prod)
	late := fleet.Get[*kustomizev1.Kustomization](f, f.FluxNamespace(), "late")
	w.ready(late, func() []metav1.Condition { return late.Status.Conditions }, metav1.ConditionFalse, "dependency '"+f.FluxNamespace()+"/production' is not ready")
	if got := w.LiveImage(prod, "backend"); got != "" {
		t.Errorf("a suspended Kustomization applied %s", got)
	}
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = false })
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	w.Until("the dependent one is applied, with its own images", func() error {
		if got := w.LiveImage(prod, "frontend"); got != f.Image("frontend", "overridden") {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	d := w.deployment(prod, "backend")
	if l := d.Labels; l["kustomize.toolkit.fluxcd.io/name"] != prod || l["kustomize.toolkit.fluxcd.io/namespace"] != f.FluxNamespace() || l["tier"] != "web" {
		t.Errorf("labels %v", l)
	}

	// Write-back reaches the kustomization file's images.
	w.Publish("backend", fleet.Tag(prod, 1))
	w.runs(prod, "backend", fleet.Tag(prod, 1))

	// What is no longer in Git is pruned.
	w.must(w.Alice.Pull(t.Context()))
	w.must(w.Alice.Write(map[string]string{"late/frontend.yaml": "", "late/kustomization.yaml": "resources: []\nconfigMapGenerator: [{name: left}]\nnamespace: " + f.Namespace(prod) + "\n"}))
	_, err := w.Alice.Push(t.Context(), "Retire the frontend")
	w.must(err)
	w.Until("the retired Deployment is gone", func() error {
		if got := w.LiveImage(prod, "frontend"); got != "" {
			return fmt.Errorf("it has %s", got)
		}
		return nil
	})

	// What does not build says so and keeps what is applied.
	_, err = w.Alice.Change(t.Context(), "apps/production/kustomization.yaml", "Break it", func(s string) string { return s + "resources: [nowhere]\n" })
	w.must(err)
	w.ready(k, func() []metav1.Condition { return k.Status.Conditions }, metav1.ConditionFalse, "failed")
	if err := w.Runs(prod, "backend", fleet.Tag(prod, 1)); err != nil {
		t.Error(err)
	}
}

func TestStandInSourceFollowsItsReference(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	w.Settle()
	repo := fleet.Get[*sourcev1.GitRepository](w.Fleet, w.Fleet.FluxNamespace(), fleet.SourceName)
	first := w.Tip()
	_, err := w.Alice.Git(t.Context(), "push", "--quiet", "origin", "HEAD:refs/tags/v1")
	w.must(err)
	_, err = w.Alice.Change(t.Context(), "README.md", "Say more", func(s string) string { return s + "more\n" })
	w.must(err)
	for _, tc := range []struct {
		ref  sourcev1.GitRepositoryRef
		want string
	}{
		{sourcev1.GitRepositoryRef{Branch: "main"}, "main@sha1:" + w.Tip()},
		{sourcev1.GitRepositoryRef{Tag: "v1"}, "v1@sha1:" + first},
		{sourcev1.GitRepositoryRef{Name: "refs/heads/main"}, "refs/heads/main@sha1:" + w.Tip()},
		{sourcev1.GitRepositoryRef{Commit: first}, "sha1:" + first},
		{sourcev1.GitRepositoryRef{Branch: "main", Commit: first}, "main@sha1:" + first},
	} {
		change(w, repo, func(r *sourcev1.GitRepository) { r.Spec.Reference = &tc.ref })
		w.Until("the artifact is "+tc.want, func() error {
			if a := Object(w, repo).Status.Artifact; a == nil || a.Revision != tc.want {
				return fmt.Errorf("it is %+v", a)
			}
			return nil
		})
	}
	says := func() []metav1.Condition { return repo.Status.Conditions }
	change(w, repo, func(r *sourcev1.GitRepository) { r.Spec.Reference = &sourcev1.GitRepositoryRef{Branch: "nowhere"} })
	w.ready(repo, says, metav1.ConditionFalse, "unable to clone '"+repo.Spec.URL+"'")
	if got := Object(w, repo).Status.Artifact.Revision; got != "main@sha1:"+first {
		t.Errorf("a failed fetch replaced the artifact by %s", got)
	}
	change(w, repo, func(r *sourcev1.GitRepository) {
		r.Spec.Reference = &sourcev1.GitRepositoryRef{Branch: "main"}
		r.Spec.Verification = &sourcev1.GitRepositoryVerification{Mode: sourcev1.ModeGitHEAD}
		r.Spec.Verification.SecretRef.Name = "keys"
	})
	w.ready(repo, says, metav1.ConditionFalse, "the commit has no signature")
}

func TestStandInAutomationStopsForItsOwnSuspendAlone(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	w.Settle()
	ns, bad := w.Fleet.Namespace(prod), fleet.Tag(prod, 1)
	policy := fleet.Get[*reflectorv1.ImagePolicy](w.Fleet, ns, "backend")
	repo := fleet.Get[*reflectorv1.ImageRepository](w.Fleet, ns, "backend")
	automation := fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, ns, prod)
	w.Publish("backend", bad)
	written := w.wroteBack(prod, "backend", bad)
	if p := Object(w, policy).Status.ObservedPreviousRef; p == nil || p.Tag != fleet.Tag(prod, 0) {
		t.Errorf("previously %v", p)
	}
	change(w, policy, func(p *reflectorv1.ImagePolicy) { p.Spec.Suspend = true })
	change(w, repo, func(r *reflectorv1.ImageRepository) { r.Spec.Suspend = true })
	_, err := w.Alice.Revert(t.Context(), written)
	w.must(err)
	w.wroteBack(prod, "backend", bad)

	change(w, automation, func(a *automationv1.ImageUpdateAutomation) { a.Spec.Suspend = true })
	reverted, err := w.Alice.Revert(t.Context(), w.Tip())
	w.must(err)
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if tip := w.Tip(); tip != reverted {
		t.Errorf("a suspended automation wrote %s", tip)
	}
	change(w, automation, func(a *automationv1.ImageUpdateAutomation) { a.Spec.Suspend = false })
	w.wroteBack(prod, "backend", bad)
}

func TestStandInAutomationPushesElsewhereByForce(t *testing.T) {
	t.Parallel()
	const template = `Bump {{ .AutomationObject.Name }} for {{ .Values.cluster }}

{{ range .Changed.Changes }}{{ print .OldValue }} -> {{ println .NewValue }}{{ end }}`
	w := world(t, quick, func(s *setup) {
		s.Vary = func(w *World) {
			a := fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(prod), prod)
			a.Spec.GitSpec.Push.Branch = "flux/bumps"
			a.Spec.GitSpec.Commit.MessageTemplate = template
			a.Spec.GitSpec.Commit.MessageTemplateValues = map[string]string{"cluster": "test"}
		}
	})
	w.Settle()
	begin := w.Tip()
	pushed := func(tag string) string {
		t.Helper()
		w.Until(tag+" is pushed to the other branch", func() error {
			refs := w.git("for-each-ref", "--format=%(objectname)", "refs/heads/flux/bumps")
			if refs == "" {
				return fmt.Errorf("no such branch")
			}
			if text := w.git("show", "flux/bumps:"+w.Fleet.File(prod, "backend")); !strings.Contains(text, tag) {
				return fmt.Errorf("it says\n%s", text)
			}
			return nil
		})
		return w.git("rev-parse", "flux/bumps")
	}
	w.Publish("backend", fleet.Tag(prod, 1))
	first := pushed(fleet.Tag(prod, 1))
	want := fmt.Sprintf("Bump production for test\n\n%s -> %s", w.Fleet.Image("backend", fleet.Tag(prod, 0)), w.Fleet.Image("backend", fleet.Tag(prod, 1)))
	if got := w.git("show", "-s", "--format=%B", first); got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	w.Publish("backend", fleet.Tag(prod, 2))
	second := pushed(fleet.Tag(prod, 2))
	if parent := w.git("rev-parse", second+"^"); parent != begin || w.Tip() != begin {
		t.Errorf("the second push is on %s and the deployed branch at %s, want both %s", parent, w.Tip(), begin)
	}
}

// A push that lost a race is refused and tried again, unless the automation takes the branch for another one than it
// read: a source that names a ref, as a FluxInstance writes it, has it push by force, and what came between is lost.
func TestStandInAutomationLosesARaceOrWinsItByForce(t *testing.T) {
	for _, forced := range []bool{false, true} {
		t.Run(fmt.Sprintf("forced %v", forced), func(t *testing.T) {
			t.Parallel()
			w := world(t, quick, func(s *setup) {
				s.Vary = func(w *World) {
					if forced {
						fleet.Get[*sourcev1.GitRepository](w.Fleet, w.Fleet.FluxNamespace(), fleet.SourceName).Spec.Reference =
							&sourcev1.GitRepositoryRef{Name: "refs/heads/main"}
						fleet.Get[*automationv1.ImageUpdateAutomation](w.Fleet, w.Fleet.Namespace(prod), prod).Spec.GitSpec.Checkout = nil
					}
				}
			})
			w.Settle()
			var once sync.Once
			w.Git.SetFault(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("service") == "git-receive-pack" { // a push begins: the clone is made
					once.Do(func() {
						if _, err := w.Alice.Change(r.Context(), "README.md", "Came between", func(s string) string { return s + "mine\n" }); err != nil {
							t.Error(err)
						}
					})
				}
				return false
			})
			w.Publish("backend", fleet.Tag(prod, 1))
			w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
			if kept := strings.Contains(w.File("README.md"), "mine"); kept == forced {
				t.Errorf("what came between is kept: %v\n%s", kept, w.git("log", "--oneline", fleet.Branch))
			}
		})
	}
}

const release = `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: shop
  namespace: NS
spec:
  interval: 10m
  timeout: TIMEOUT
  chart: {spec: {chart: fixed, sourceRef: {kind: GitRepository, name: fleet, namespace: NSF}}}
  values:
    image:
      repository: IMAGE # {"$imagepolicy": "NS:backend:name"}
      tag: TAG # {"$imagepolicy": "NS:backend:tag"}
`

func TestStandInHelmUpgradesAndFailsAsHelmControllerDoes(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Vary = func(w *World) {
			w.releases(release, "TIMEOUT", "15s")
			delete(w.Fleet.Files, w.Fleet.File(prod, "backend"))
		}
	})
	hr := &helmv2.HelmRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: "shop"}}
	w.Until("the release is there", func() error { return w.Client.Get(t.Context(), client.ObjectKeyFromObject(hr), hr) })
	says := func() []metav1.Condition { return hr.Status.Conditions }
	w.ready(hr, says, metav1.ConditionTrue, "Helm install succeeded for release "+w.Fleet.Namespace(prod)+"/shop.v1")
	if hr.Labels["kustomize.toolkit.fluxcd.io/name"] != prod {
		t.Errorf("the release has labels %v", hr.Labels)
	}
	d := &appsv1.Deployment{ObjectMeta: hr.ObjectMeta}
	if l := Object(w, d).Labels; l["helm.toolkit.fluxcd.io/name"] != "shop" || l["kustomize.toolkit.fluxcd.io/name"] != "" {
		t.Errorf("its Deployment has labels %v", l)
	}
	if e := hr.Status.Inventory.Entries; len(e) != 1 || e[0].ID != w.Fleet.Namespace(prod)+"_shop_apps_Deployment" {
		t.Errorf("inventory %v", e)
	}
	w.Publish("backend", fleet.Tag(prod, 1), "linux/arm64")
	w.ready(hr, says, metav1.ConditionFalse, "Helm upgrade failed for release "+w.Fleet.Namespace(prod)+"/shop.v2 with chart fixed@1.0.0: timeout waiting for: [Deployment/")
	w.fails(prod, "no match for platform")
	w.Publish("backend", fleet.Tag(prod, 2))
	w.ready(hr, says, metav1.ConditionTrue, "Helm upgrade succeeded for release "+w.Fleet.Namespace(prod)+"/shop.v3")
	if h := hr.Status.History; len(h) != 3 || h[0].Status+h[1].Status+h[2].Status != "deployedfailedsuperseded" {
		t.Errorf("history %+v", h)
	}
}

func TestStandInPolicySelectsADigest(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) {
		s.Vary = func(w *World) {
			p := fleet.Get[*reflectorv1.ImagePolicy](w.Fleet, w.Fleet.Namespace(prod), "backend")
			p.Spec.DigestReflectionPolicy = reflectorv1.ReflectIfNotPresent
		}
	})
	digest := w.Publish("backend", fleet.Tag(prod, 1))
	w.Until("the digest is written and runs", func() error {
		if got, want := w.LiveImage(prod, "backend"), w.Fleet.Image("backend", fleet.Tag(prod, 1))+"@"+digest; got != want {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
	policy := fleet.Get[*reflectorv1.ImagePolicy](w.Fleet, w.Fleet.Namespace(prod), "backend")
	// What cannot be selected leaves what was.
	change(w, policy, func(p *reflectorv1.ImagePolicy) { p.Spec.FilterTags.Pattern = "^none$" })
	w.ready(policy, func() []metav1.Condition { return policy.Status.Conditions }, metav1.ConditionFalse, "version list argument cannot be empty")
	if l := policy.Status.LatestRef; l == nil || l.Digest != digest {
		t.Errorf("selected %v", l)
	}
}
