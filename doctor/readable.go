package doctor

import (
	"context"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// unreadable lists what cannot be decoded of a namespace, and the policies of Backstop's own. What may not be listed,
// or is not installed, is not known here: other checks say so where it matters.
func (g *Gatherer) unreadable(ctx context.Context, namespace string) []Unreadable {
	lists := []client.ObjectList{
		&v1alpha1.RollbackList{}, &v1alpha1.RollbackPolicyList{}, &imagev1.ImagePolicyList{}, &imagev1.ImageRepositoryList{},
		&automationv1.ImageUpdateAutomationList{}, &sourcev1.GitRepositoryList{}, &kustomizev1.KustomizationList{},
		&helmv2.HelmReleaseList{},
	}
	var out []Unreadable
	look := func(from string, list client.ObjectList) {
		bad, _ := kube.Partial(ctx, g.Client, list, client.InNamespace(from))
		for _, u := range bad {
			out = append(out, Unreadable{Ref: u.Ref, Why: strings.Join(strings.Fields(u.Err.Error()), " ")})
		}
	}
	for _, list := range lists {
		look(namespace, list)
	}
	if g.Home != namespace {
		look(g.Home, &v1alpha1.RollbackPolicyList{})
	}
	slices.SortFunc(out, func(a, b Unreadable) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	return out
}
