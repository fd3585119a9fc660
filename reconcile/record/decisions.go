package record

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// SaveDecisions writes the decisions that were added to what was read.
func (r *Records) SaveDecisions(ctx context.Context, rb *v1alpha1.Rollback) error {
	err := r.Client.Update(ctx, rb)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.ErrConflict
	}
	return err
}
