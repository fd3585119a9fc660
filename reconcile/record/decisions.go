package record

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// SaveDecisions adds the decisions that were added to what was read. Those that are there stay as their writers wrote
// them: admission compares them as text, and a time that is printed otherwise would be another decision.
func (r *Records) SaveDecisions(ctx context.Context, rb *v1alpha1.Rollback) error {
	raw := &unstructured.Unstructured{}
	raw.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Rollback"))
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(rb), raw)
	if apierrors.IsNotFound(err) || err == nil && raw.GetResourceVersion() != rb.ResourceVersion {
		return reconcile.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("read Rollback %s/%s: %w", rb.Namespace, rb.Name, err)
	}
	decided, _, err := unstructured.NestedSlice(raw.Object, "spec", "decisions")
	if err != nil {
		return fmt.Errorf("read the decisions of Rollback %s/%s: %w", rb.Namespace, rb.Name, err)
	}
	for i := len(decided); i < len(rb.Spec.Decisions); i++ {
		added, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&rb.Spec.Decisions[i])
		if err != nil {
			return fmt.Errorf("encode a decision: %w", err)
		}
		decided = append(decided, added)
	}
	if err := unstructured.SetNestedSlice(raw.Object, decided, "spec", "decisions"); err != nil {
		return fmt.Errorf("encode the decisions: %w", err)
	}
	err = r.Client.Update(ctx, raw)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.ErrConflict
	}
	if err != nil {
		return err
	}
	rb.ResourceVersion, rb.Generation = raw.GetResourceVersion(), raw.GetGeneration()
	return nil
}
