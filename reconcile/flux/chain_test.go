package flux

import (
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestChain(t *testing.T) {
	s := captured(t)
	s.more = append(s.more, imageRepository("develop", "backend", "localhost:5000/backend"))
	line, err := s.flux(t).Line(t.Context(), "develop", backend, nil)
	if err != nil || line.Chain == nil || line.Origin == nil || line.Origin.Source.Branch != "main" {
		t.Fatalf("%v, %+v", err, line)
	}
	c := *line.Chain
	if c.Reconciler != ref("Kustomization", "flux-system", "apps-develop") || c.Release != nil || c.Path == "" ||
		c.Source.Ref.Kind != "GitRepository" || c.Source.Branch != "main" || c.Source.Commit == "" || c.Source.Pinned != "" ||
		len(c.Writers) != 1 || len(c.Selections) != 1 || len(c.Scans) != 1 || c.Unread != "" || c.Attempted == "" || c.Says == "" {
		t.Errorf("%+v", c)
	}
	w := c.Writers[0]
	if !w.Selects(&c.Selections[0]) || w.Elsewhere != "" || w.Forces || !w.Updates("apps/develop/backend.yaml") || w.Updates("apps/developers/x.yaml") {
		t.Errorf("%+v", w)
	}
}

func TestChainSaysWhatIsNotAsItShouldBe(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *scene)
		want   func(c Chain) bool
	}{
		"the source is pinned to a tag": {
			func(s *scene) { s.repo.Spec.Reference = &sourcev1.GitRepositoryRef{Tag: "v1"} },
			func(c Chain) bool {
				return strings.Contains(c.Source.Pinned, "pinned to tag v1") && c.Source.Branch == ""
			},
		},
		"the source is missing": {
			func(s *scene) { s.repo = nil }, func(c Chain) bool { return c.Source.Missing && c.Source.Git == nil },
		},
		"the source is suspended": {
			func(s *scene) { s.repo.Spec.Suspend = true }, func(c Chain) bool { return c.Source.Suspended },
		},
		"the Kustomization is suspended": {
			func(s *scene) { s.k.Spec.Suspend = true },
			func(c Chain) bool { return strings.Contains(c.Waits, "flux -n flux-system resume kustomization") },
		},
		"the automation pushes elsewhere, by force": {
			func(s *scene) { s.auto.Spec.GitSpec.Push = &automationv1.PushSpec{Branch: "updates"} },
			func(c Chain) bool { return c.Writers[0].Forces && c.Writers[0].Elsewhere != "" },
		},
		"the automation's source names a reference, so that every push is forced": {
			func(s *scene) {
				s.auto.Spec.GitSpec.Checkout = nil
				for _, r := range []*sourcev1.GitRepository{s.repo, s.writer} {
					r.Spec.Reference = &sourcev1.GitRepositoryRef{Name: "refs/heads/main"}
				}
			},
			func(c Chain) bool { return c.Writers[0].Forces && c.Writers[0].Elsewhere == "" },
		},
		"a policy refers to a repository of another namespace": {
			func(s *scene) {
				s.policy.Spec.ImageRepositoryRef.Namespace = "images"
				s.more = append(s.more, imageRepository("images", "backend", "localhost:5000/backend"))
			},
			func(c Chain) bool { return len(c.Scans) == 1 && c.Scans[0].Namespace == "images" },
		},
		"automations may not be listed": {
			func(s *scene) { s.forbidden["ImageUpdateAutomation"], s.options.Person = true, true },
			func(c Chain) bool { return strings.HasPrefix(c.Unread, "you may not list ImageUpdateAutomation") },
		},
		"policies may not be listed": {
			func(s *scene) { s.forbidden["ImagePolicy"] = true },
			func(c Chain) bool { return strings.HasPrefix(c.Unread, "Backstop may not list ImagePolicy") },
		},
		"image automation is not installed": {
			func(s *scene) {
				s.missing["ImageUpdateAutomation"], s.missing["ImagePolicy"], s.missing["ImageRepository"] = true, true, true
			},
			func(c Chain) bool { return len(c.Writers)+len(c.Selections) == 0 && c.Unread == "" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			tt.change(s)
			line, err := s.flux(t).Line(t.Context(), "develop", backend, nil)
			if err != nil || line.Chain == nil || !tt.want(*line.Chain) {
				t.Errorf("%v, %+v", err, line)
			}
		})
	}
}

func TestChainOfWhatIsNotFluxs(t *testing.T) {
	s := captured(t)
	s.deployment.Labels = nil
	line, err := s.flux(t).Line(t.Context(), "develop", backend, nil)
	if err != nil || line.Chain != nil || line.Origin != nil || !strings.Contains(line.NotFlux, "is not applied by Flux") ||
		line.NoOrigin != line.NotFlux {
		t.Errorf("%v, %+v", err, line)
	}
}

func TestAPersonIsToldWhatThePersonMayNot(t *testing.T) {
	s := captured(t)
	s.options.Person, s.forbidden["Secret"] = true, true
	s.deployment.Spec.Template.Spec = corev1.PodSpec{}
	_, err := s.flux(t).Origin(t.Context(), "develop", backend, nil, time.Time{})
	if why := refusal(t, err); !strings.HasPrefix(why, "you may not read Secret ") || strings.Contains(why, "ServiceAccount") {
		t.Error(why)
	}
}

func TestStandingSaysTheRollout(t *testing.T) {
	s := captured(t)
	st, err := s.flux(t).Standing(t.Context(), "develop", backend)
	if err != nil || !st.Complete || st.Images["backend"] == "" {
		t.Errorf("%+v, %v", st, err)
	}
	s.deployment.Spec.Paused, s.deployment.Generation = true, 99
	if st, err = s.flux(t).Standing(t.Context(), "develop", backend); err != nil || st.Complete || !strings.Contains(st.Says, "rollout resume") {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestWordsForPeople(t *testing.T) {
	for got, want := range map[string]string{
		Resume(ref("ImagePolicy", "a", "b")):              "flux -n a resume image policy b",
		Reconcile(ref("ImageUpdateAutomation", "a", "b")): "flux -n a reconcile image update b",
		Short("main@sha1:" + strings.Repeat("ab", 20)):    "main@abababababab",
		Short("sha1:" + strings.Repeat("ab", 20)):         "abababababab",
		Short("latest@sha512:x\x1b"):                      "latest@sha512:x",
	} {
		if strings.TrimSpace(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	k := &kustomizev1.Kustomization{}
	k.Spec.Interval.Duration = 10 * time.Minute
	if d, _ := HealthWait(k); d != 0 {
		t.Error(d)
	}
	k.Spec.Wait = true
	if d, by := HealthWait(k); d != 10*time.Minute-30*time.Second || by != "spec.wait" {
		t.Error(d, by)
	}
	k.Spec.Wait, k.Spec.HealthChecks, k.Spec.Timeout = false, nil, &metav1.Duration{Duration: time.Minute}
	if reason, _, ok := Not(nil); ok || reason != "" {
		t.Error(reason)
	}
	var _ reconcile.Flux = &Flux{}
}
