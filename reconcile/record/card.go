package record

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Get reads a Rollback, live; nil if absent.
func (r *Records) Get(ctx context.Context, namespace, name string) (*v1alpha1.Rollback, error) {
	var out v1alpha1.Rollback
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &out)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Rollback %s/%s: %w", namespace, name, err)
	}
	return &out, nil
}

// SaveCard writes where a Rollback's card stands. It patches that one field: no step can be lost by it, and whoever
// saves the whole status at that moment is told to start over. A Rollback that is gone needs no card.
func (r *Records) SaveCard(ctx context.Context, rb *v1alpha1.Rollback, c *v1alpha1.Card) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": rb.UID},
		// What is empty is named too: a merge patch leaves alone what it does not name.
		"status": map[string]any{"card": map[string]any{
			"provider": c.Provider, "channel": c.Channel, "ts": c.TS, "thread": orNull(c.Thread), "hash": orNull(c.Hash),
			"told": c.Told,
		}},
	})
	if err != nil {
		return fmt.Errorf("encode the card: %w", err)
	}
	at := &v1alpha1.Rollback{}
	at.Namespace, at.Name = rb.Namespace, rb.Name
	err = r.Client.Status().Patch(ctx, at, client.RawPatch(types.MergePatchType, patch))
	// A conflict is another Rollback of that name: the one that was meant is gone.
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the card of Rollback %s/%s: %w", rb.Namespace, rb.Name, err)
	}
	return nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
