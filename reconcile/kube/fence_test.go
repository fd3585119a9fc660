package kube

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func fenced(but ...string) []client.Object {
	var out []client.Object
	for _, name := range Fences {
		policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{Validations: []admissionv1.Validation{{Expression: "false"}}}}
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}}
		for _, b := range but {
			switch b {
			case "policy " + name:
				policy = nil
			case "binding " + name:
				binding = nil
			case "audit " + name:
				binding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
			case "empty " + name:
				policy.Spec.Validations = nil
			case "lenient " + name:
				policy.Spec.FailurePolicy = new(admissionv1.Ignore)
			case "some " + name:
				binding.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}
			case "default " + name:
				binding.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
					MatchPolicy: new(admissionv1.Equivalent)}
			case "other " + name:
				binding.Spec.PolicyName = "another"
			}
		}
		if policy != nil {
			out = append(out, policy)
		}
		if binding != nil {
			out = append(out, binding)
		}
	}
	return out
}

func TestWhetherTheAdmissionPoliciesStand(t *testing.T) {
	group := schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"}
	for name, tt := range map[string]struct {
		but []string
		err error
		// stands describes how one of them, backstop-rollbacks, stands.
		stands             bool
		why, unread, fails string
	}{
		"all are there":                    {stands: true},
		"the policy is missing":            {but: []string{"policy backstop-rollbacks"}, why: "no ValidatingAdmissionPolicy backstop-rollbacks"},
		"its binding is missing":           {but: []string{"binding backstop-rollbacks"}, why: "no ValidatingAdmissionPolicyBinding"},
		"its binding only writes it down":  {but: []string{"audit backstop-rollbacks"}, why: "does not deny"},
		"its binding is of another policy": {but: []string{"other backstop-rollbacks"}, why: "does not deny"},
		"it validates nothing any more":    {but: []string{"empty backstop-rollbacks"}, why: "validates nothing"},
		"it allows what it cannot judge":   {but: []string{"lenient backstop-rollbacks"}, why: "failurePolicy Ignore"},
		"its binding is for some alone":    {but: []string{"some backstop-rollbacks"}, why: "for some requests alone"},
		"its binding spells the defaults":  {but: []string{"default backstop-rollbacks"}, stands: true},
		"another one is missing":           {but: []string{"policy backstop-flux-objects"}, stands: true},
		"nobody may look":                  {err: apierrors.NewForbidden(group, "x", nil), unread: "may not get"},
		"the API server is too old":        {err: &meta.NoKindMatchError{}, why: "1.30"},
		"the API server does not answer":   {err: errors.New("connection refused"), fails: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := Scheme()
			if err != nil {
				t.Fatal(err)
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(fenced(tt.but...)...).WithInterceptorFuncs(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if tt.err != nil {
						return tt.err
					}
					return c.Get(ctx, key, o, opts...)
				},
			}).Build()
			got, err := ReadFences(t.Context(), c)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("got %v, want %s", err, tt.fails)
				}
				return
			}
			i := slices.IndexFunc(got, func(f Fence) bool { return f.Name == "backstop-rollbacks" })
			if err != nil || len(got) != len(Fences) || i < 0 {
				t.Fatalf("%+v, %v", got, err)
			}
			f := got[i]
			if f.Stands != tt.stands || !strings.Contains(f.Why, tt.why) || !strings.Contains(f.Unread, tt.unread) ||
				f.Stands != (f.Why == "" && f.Unread == "") {
				t.Errorf("%+v", f)
			}
		})
	}
}
