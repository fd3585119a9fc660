package reconcile

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// mayMatch is true for no selector, for one that matches, and for one that cannot be read.
func mayMatch(ls *metav1.LabelSelector, set map[string]string) bool {
	if ls == nil {
		return true
	}
	sel, err := metav1.LabelSelectorAsSelector(ls)
	return err != nil || sel.Matches(labels.Set(set))
}

// doubtful reports whether one of a policy's selectors cannot be read.
func doubtful(p *v1alpha1.RollbackPolicy) bool {
	_, err := metav1.LabelSelectorAsSelector(&p.Spec.Selector)
	_, nsErr := metav1.LabelSelectorAsSelector(p.Spec.NamespaceSelector)
	return err != nil || nsErr != nil
}
