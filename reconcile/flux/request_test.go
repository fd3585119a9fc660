package flux

import (
	"encoding/json"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const token = "2026-11-21T09:20:22.123456789Z"

func TestRequestChangesOneAnnotation(t *testing.T) {
	s := captured(t)
	s.k.Spec.Suspend = true
	f, c := s.client(t)
	before := &kustomizev1.Kustomization{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(s.k), before); err != nil {
		t.Fatal(err)
	}
	err := f.Request(t.Context(), []v1alpha1.ObjectRef{
		ref("GitRepository", "flux-system", "fleet"), ref("Kustomization", "flux-system", "apps-develop"),
		ref("ImageUpdateAutomation", "develop", "develop"), ref("HelmRelease", "develop", "gone"),
	}, token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"backstop", "backstop", "backstop", "backstop"}, s.managers); diff != "" {
		t.Error(diff)
	}
	after := &kustomizev1.Kustomization{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(s.k), after); err != nil {
		t.Fatal(err)
	}
	before.Annotations["reconcile.fluxcd.io/requestedAt"] = token
	before.ResourceVersion = after.ResourceVersion
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	repo := &sourcev1.GitRepository{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(s.repo), repo); err != nil {
		t.Fatal(err)
	}
	if repo.Annotations["reconcile.fluxcd.io/requestedAt"] != token {
		t.Error("the source was not asked")
	}
}

func TestRequestPatchHoldsTheTokenAndNothingElse(t *testing.T) {
	p, err := requestPatch(`"},"spec":{"suspend":true}`, "7")
	if err != nil {
		t.Fatal(err)
	}
	body, err := p.Data(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	want := any(map[string]any{"metadata": map[string]any{
		"annotations":     map[string]any{"reconcile.fluxcd.io/requestedAt": `"},"spec":{"suspend":true}`},
		"resourceVersion": "7",
	}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRequestFails(t *testing.T) {
	k := ref("Kustomization", "flux-system", "apps-develop")
	for _, c := range []struct {
		name    string
		scene   func(s *scene)
		objects []v1alpha1.ObjectRef
		want    string
		refused bool
	}{
		{"when it may not", func(s *scene) { s.forbidden["Kustomization"] = true }, []v1alpha1.ObjectRef{k},
			"needs patch on it in namespace flux-system", false},
		{"when the kind is not installed", func(s *scene) { s.missing["Kustomization"] = true },
			[]v1alpha1.ObjectRef{k},
			"not installed", false},
		{"when all are gone", func(s *scene) { s.k = nil }, []v1alpha1.ObjectRef{k, k}, "does not exist any more",
			false},
		{"for a kind that cannot be asked", func(*scene) {}, []v1alpha1.ObjectRef{ref("Secret", "a", "b")},
			"does not know how to ask a Secret", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(s)
			err := s.flux(t).Request(t.Context(), c.objects, token)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if _, refused := reconcile.AsRefusal(err); refused != c.refused {
				t.Errorf("refused %v: %v", refused, err)
			}
		})
	}
}
