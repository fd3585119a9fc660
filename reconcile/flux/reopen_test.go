package flux

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func suspectOf(o reconcile.Origin) v1alpha1.Suspect {
	return v1alpha1.Suspect{
		Source: ref("GitRepository", o.Source.Name.Namespace, o.Source.Name.Name), Branch: o.Source.Branch,
		Reconciler: o.Reconciler, Commit: sha,
	}
}

func TestReopenGivesTheSameOrigin(t *testing.T) {
	for _, name := range []string{"Kustomization", "HelmRelease"} {
		t.Run(name, func(t *testing.T) {
			s := captured(t)
			if name == "HelmRelease" {
				s.applied(t)
			}
			f := s.flux(t)
			first, err := f.Origin(t.Context(), "develop", backend, nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := f.Reopen(t.Context(), "develop", suspectOf(first), nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first, again); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReopenOfAHoldWithoutAnApplier(t *testing.T) {
	s := captured(t)
	su := v1alpha1.Suspect{Source: ref("GitRepository", "develop", "fleet"), Branch: "main"}
	got, err := s.flux(t).Reopen(t.Context(), "develop", su, nil, time.Time{})
	if err != nil || got.Root.By.Name != "apps-develop" || got.Source.Name.Namespace != "develop" {
		t.Errorf("got root %s of %s, %v", got.Root.By, got.Source.Name, err)
	}
	su.Branch = "dev"
	_, err = s.flux(t).Reopen(t.Context(), "develop", su, nil, time.Time{})
	if why := refusal(t, err); !strings.Contains(why, "follows branch main now, and no longer dev") {
		t.Error(why)
	}
	s.auto, s.k, su.Branch = nil, nil, "main"
	_, err = s.flux(t).Reopen(t.Context(), "develop", su, nil, time.Time{})
	if why := refusal(t, err); !strings.Contains(why, "no Kustomization or ImageUpdateAutomation") {
		t.Error(why)
	}
}

func TestReopenRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		scene func(s *scene)
		want  string
	}{
		{"when the applier is gone", func(s *scene) { s.k = nil }, "Kustomization/flux-system/apps-develop does not " +
			"exist any more"},
		{"when another branch is deployed now", func(s *scene) { s.repo.Spec.Reference.Branch = "next" },
			"deploys branch next now, and no longer main"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(s)
			_, err := s.flux(t).Reopen(t.Context(), "develop", v1alpha1.Suspect{
				Reconciler: ref("Kustomization", "flux-system", "apps-develop"), Branch: "main",
			}, nil, time.Time{})
			if why := refusal(t, err); !strings.Contains(why, c.want) {
				t.Errorf("got %s", why)
			}
		})
	}
}

func TestAutomatedListsEachSourceOnce(t *testing.T) {
	s := captured(t)
	second := s.auto.DeepCopy()
	second.Namespace, second.Spec.SourceRef.Namespace = "staging", "flux-system"
	aside := s.auto.DeepCopy()
	aside.Name, aside.Spec.GitSpec.Push.Branch = "aside", "image-updates"
	lost := s.auto.DeepCopy()
	lost.Name, lost.Spec.SourceRef.Name = "lost", "nowhere"
	s.more = append(s.more, second, aside, lost)
	got, err := s.flux(t).Automated(t.Context())
	if err != nil || len(got) != 2 || got[1].Source.Name.Namespace != "flux-system" {
		t.Fatalf("got %d sources, %v", len(got), err)
	}
	if got[0].Root.By.Name != "apps-develop" || got[0].Reconciler.Name != "apps-develop" || len(got[0].Policies) != 1 {
		t.Errorf("got root %s, applier %s, policies %v", got[0].Root.By, got[0].Reconciler, got[0].Policies)
	}

	s.k = nil
	got, err = s.flux(t).Automated(t.Context())
	if err != nil || len(got) != 2 || got[0].Root.Path != "apps/develop" || got[0].Reconciler.Kind != "" {
		t.Errorf("a source that other clusters deploy: got %+v, %v", got, err)
	}

	s.forbidden["Secret"] = true
	got, err = s.flux(t).Automated(t.Context())
	if err != nil || len(got) != 2 || !strings.Contains(got[0].Source.ReadOnly, "may not read Secret") {
		t.Errorf("without credentials: got %+v, %v", got, err)
	}
}

func TestAutomatedIsNotHiddenByAStranger(t *testing.T) {
	s := captured(t)
	repo, auto := s.writer.DeepCopy(), s.auto.DeepCopy()
	repo.Namespace, auto.Namespace, repo.Spec.SecretRef = "a-team", "a-team", nil
	s.more = append(s.more, repo, auto)
	got, err := s.flux(t).Automated(t.Context())
	if err != nil || len(got) != 2 {
		t.Fatalf("got %d sources, %v", len(got), err)
	}
	if mine := got[1]; mine.Source.Name.Namespace != "develop" || len(mine.Policies) != 1 || len(got[0].Policies) != 0 {
		t.Errorf("got %s with %v, after %s with %v", mine.Source.Name, mine.Policies, got[0].Source.Name, got[0].Policies)
	}
}
