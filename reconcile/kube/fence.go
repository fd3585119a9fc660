package kube

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Fences are the admission policies that take away what RBAC cannot grant less of: what Backstop may change of a Flux
// object, which pods it may delete, and who may write what of a Rollback.
var Fences = []string{"backstop-flux-objects", "backstop-pods", "backstop-rollbacks"}

// Fence is how one of them stands.
type Fence struct {
	Name string
	// Stands means that the policy is there, and a binding that denies by it.
	Stands bool
	// Unread explains why that is not known; empty where it is.
	Unread string
	// Why describes what is missing; empty where nothing is.
	Why string
}

// ReadFences looks whether the admission policies are there. Without them everything works as before, and nobody would
// notice.
func ReadFences(ctx context.Context, c client.Client) ([]Fence, error) {
	var out []Fence
	for _, name := range Fences {
		f := Fence{Name: name}
		policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
		err := c.Get(ctx, types.NamespacedName{Name: name}, policy)
		if err == nil {
			err = c.Get(ctx, types.NamespacedName{Name: name}, binding)
		}
		switch {
		case meta.IsNoMatchError(err):
			f.Why = "the API server knows no ValidatingAdmissionPolicy: it takes Kubernetes 1.30"
		case apierrors.IsNotFound(err) && policy.Name == "":
			f.Why = fmt.Sprintf("there is no ValidatingAdmissionPolicy %s", name)
		case apierrors.IsNotFound(err):
			f.Why = fmt.Sprintf("there is no ValidatingAdmissionPolicyBinding %s", name)
		case apierrors.IsForbidden(err):
			f.Unread = "may not get ValidatingAdmissionPolicies and their bindings"
		case err != nil:
			return nil, fmt.Errorf("read the admission policy %s: %w", name, err)
		default:
			f.Why = gap(policy, binding)
			f.Stands = f.Why == ""
		}
		out = append(out, f)
	}
	return out, nil
}

// gap tells what a policy and its binding let through; empty where that is nothing.
func gap(p *admissionv1.ValidatingAdmissionPolicy, b *admissionv1.ValidatingAdmissionPolicyBinding) string {
	ignores := p.Spec.FailurePolicy != nil && *p.Spec.FailurePolicy == admissionv1.Ignore
	switch {
	case b.Spec.PolicyName != p.Name || !slices.Contains(b.Spec.ValidationActions, admissionv1.Deny):
		return fmt.Sprintf("ValidatingAdmissionPolicyBinding %s does not deny by the policy of that name", b.Name)
	case narrows(b.Spec.MatchResources):
		return fmt.Sprintf("ValidatingAdmissionPolicyBinding %s has matchResources, and denies for some requests alone",
			b.Name)
	case len(p.Spec.Validations) == 0:
		return fmt.Sprintf("ValidatingAdmissionPolicy %s validates nothing", p.Name)
	case ignores:
		return fmt.Sprintf("ValidatingAdmissionPolicy %s has failurePolicy Ignore, and allows what it cannot judge", p.Name)
	}
	return ""
}

// narrows reports whether a binding leaves out some of what its policy matches. One that says what holds by default
// leaves out nothing.
func narrows(m *admissionv1.MatchResources) bool {
	picks := func(s *metav1.LabelSelector) bool { return s != nil && len(s.MatchLabels)+len(s.MatchExpressions) > 0 }
	return m != nil && (len(m.ResourceRules)+len(m.ExcludeResourceRules) > 0 || picks(m.NamespaceSelector) ||
		picks(m.ObjectSelector))
}
