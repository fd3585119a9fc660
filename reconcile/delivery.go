package reconcile

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// PullRequests is what policies say of pull requests.
type PullRequests struct {
	// Provider who serves them; empty finds out.
	Provider v1alpha1.PullRequestProvider
	// AutoMerge has the provider merge by itself what is allowed.
	AutoMerge bool
	// CloseAutomations closes image automation's pull requests that bring again what was reverted.
	CloseAutomations bool
	// Secrets with a login for the provider's API, by name: which of them may be sent where, the source decides. None is
	// that of the GitRepository.
	Secrets []types.NamespacedName
}

func pullRequestsOf(p *v1alpha1.RollbackPolicy) PullRequests {
	pr := p.Spec.PullRequest
	if pr == nil {
		return PullRequests{}
	}
	out := PullRequests{Provider: pr.Provider, AutoMerge: pr.AutoMerge, CloseAutomations: pr.CloseAutomations}
	if ref := pr.SecretRef; ref != nil {
		out.Secrets = []types.NamespacedName{{Namespace: p.Namespace, Name: ref.Name}}
	}
	return out
}

// stricterPullRequests is what two policies say together: the provider merges nothing by itself, and nothing of others
// is closed, unless both want it.
func stricterPullRequests(a, b PullRequests) PullRequests {
	return PullRequests{
		Provider:  cmp.Or(a.Provider, b.Provider),
		AutoMerge: a.AutoMerge && b.AutoMerge,

		CloseAutomations: a.CloseAutomations && b.CloseAutomations,
		Secrets:          byName(a.Secrets, b.Secrets),
	}
}

// byName are the names of both, each once and in their order.
func byName(a, b []types.NamespacedName) []types.NamespacedName {
	out := slices.Concat(a, b)
	slices.SortFunc(out, func(x, y types.NamespacedName) int { return cmp.Compare(x.String(), y.String()) })
	return slices.Compact(out)
}

func firstByName(a, b *types.NamespacedName) *types.NamespacedName {
	if a == nil || b != nil && b.String() < a.String() {
		return b
	}
	return a
}
