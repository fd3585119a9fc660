package trace

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// told reads what Backstop tells of the Kustomization and the HelmRelease that apply the workload. That it may not be
// read, or is not installed, is no news: the objects say themselves that they fail.
func (s *shared) told(ctx context.Context) []v1alpha1.Rollback {
	if s.line.Chain == nil {
		return nil
	}
	namespaces := []string{s.line.Chain.Kustomization.Namespace}
	if r := s.line.Chain.Release; r != nil && r.Namespace != namespaces[0] {
		namespaces = append(namespaces, r.Namespace)
	}
	var out []v1alpha1.Rollback
	for _, ns := range namespaces {
		var list v1alpha1.RollbackList
		if s.g.Client.List(ctx, &list, client.InNamespace(ns)) == nil {
			out = append(out, slices.DeleteFunc(list.Items, func(r v1alpha1.Rollback) bool {
				return r.Spec.OpenedFor != v1alpha1.TriggerApply
			})...)
		}
	}
	return out
}

// since reports which commit broke a Flux object, as Backstop found; empty where it did not.
func (v *view) since(ref v1alpha1.ObjectRef) string {
	for i := range v.Told {
		r := &v.Told[i]
		o, s := r.Status.Outcome, r.Status.Suspect
		if r.Namespace != ref.Namespace || r.Spec.Subject.Kind != ref.Kind || r.Spec.Subject.Name != ref.Name ||
			s == nil || o == nil || o.Result != v1alpha1.ResultReportedOnly {
			continue
		}
		return fmt.Sprintf("; Backstop blames %.12s on %s (rollback/%s)", s.Commit, s.Branch, r.Name)
	}
	return ""
}
