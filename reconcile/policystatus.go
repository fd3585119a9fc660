package reconcile

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// PolicyConditions says of every policy whether it can do what it says: its Ready condition and whether it is Stalled,
// in the order of the policies. subjects are all workloads that may be selected.
func PolicyConditions(all []v1alpha1.RollbackPolicy, subjects []Subject, home string) [][]metav1.Condition {
	selected := make([][]string, len(all))
	with := make([]map[string]string, len(all))
	for i := range all {
		with[i] = map[string]string{}
	}
	for _, s := range subjects {
		chosen := choose(s, all, home)
		for _, p := range chosen {
			i := slices.IndexFunc(all, func(o v1alpha1.RollbackPolicy) bool {
				return o.Namespace == p.Namespace && o.Name == p.Name
			})
			selected[i] = append(selected[i], s.Namespace+"/"+s.Name)
			for _, o := range chosen {
				if o.Name != p.Name || o.Namespace != p.Namespace {
					with[i][o.Namespace+"/"+o.Name] = s.Namespace + "/" + s.Name
				}
			}
		}
	}
	out := make([][]metav1.Condition, len(all))
	for i := range all {
		out[i] = conditionsOf(&all[i], selected[i], with[i], home)
	}
	return out
}

func conditionsOf(p *v1alpha1.RollbackPolicy, selected []string, with map[string]string, home string,
) []metav1.Condition {
	say := func(status metav1.ConditionStatus, reason, format string, args ...any) []metav1.Condition {
		c := metav1.Condition{Type: "Ready", Status: status, Reason: reason, ObservedGeneration: p.Generation,
			Message: sentence(fmt.Sprintf(format, args...))}
		if status == metav1.ConditionTrue {
			return []metav1.Condition{c}
		}
		stalled := c
		stalled.Type, stalled.Status = "Stalled", metav1.ConditionTrue
		return []metav1.Condition{c, stalled}
	}
	_, err := metav1.LabelSelectorAsSelector(&p.Spec.Selector)
	_, nsErr := metav1.LabelSelectorAsSelector(p.Spec.NamespaceSelector)
	switch {
	case err != nil:
		return say(metav1.ConditionFalse, "InvalidSelector",
			"spec.selector: %v; until it is mended all that the policy might select is only told", err)
	case nsErr != nil:
		return say(metav1.ConditionFalse, "InvalidSelector",
			"spec.namespaceSelector: %v; until it is mended all that the policy might select is only told", nsErr)
	case p.Spec.NamespaceSelector != nil && p.Namespace != home:
		return say(metav1.ConditionFalse, "NotInHome",
			"spec.namespaceSelector makes a fleet's default, which is only read in Backstop's own namespace %s: move "+
				"the policy there "+
				"or remove the field", home)
	case p.Spec.Suspend:
		return say(metav1.ConditionTrue, "Suspended", "suspended: failures of %s are only told", workloadCount(len(selected)))
	case len(with) > 0:
		var others []string
		for name, subject := range with {
			others = append(others, fmt.Sprintf("%s (%s)", name, subject))
		}
		slices.Sort(others)
		return say(metav1.ConditionTrue, "Shared",
			"selects %s; some are also selected by %s: the stricter value of each field counts",
			workloadCount(len(selected)), strings.Join(others, ", "))
	}
	return say(metav1.ConditionTrue, "Ready", "selects %s", workloadCount(len(selected)))
}

func workloadCount(n int) string {
	if n == 1 {
		return "1 workload"
	}
	return fmt.Sprintf("%d workloads", n)
}
