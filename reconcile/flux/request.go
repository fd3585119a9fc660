package flux

import (
	"context"
	"encoding/json"
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Request asks objects for a reconcile, in order, by the annotation reconcile.fluxcd.io/requestedAt. A new token is a
// new request; the same one asks for nothing more. An object that is gone is left out, unless all are. A suspended one
// is annotated too: it reconciles when it is resumed, and Rollout says that it is suspended.
func (f *Flux) Request(ctx context.Context, objects []v1alpha1.ObjectRef, token string) error {
	patch, err := requestPatch(token, "")
	if err != nil {
		return err
	}
	gone := 0
	for _, o := range objects {
		gvk, ok := requestKind(o.Kind)
		if !ok {
			return reconcile.Refuse("%s cannot be asked to reconcile: Backstop does not know how to ask a %s", o,
				o.Kind)
		}
		switch err := f.annotate(ctx, gvk, o, patch); {
		case err == nil:
		case notInstalled(err):
			return fmt.Errorf("ask %s to reconcile: %w", o, errNotInstalled)
		case apierrors.IsNotFound(err):
			gone++
		default:
			return err
		}
	}
	if gone > 0 && gone == len(objects) {
		return fmt.Errorf("ask %s to reconcile: it does not exist any more", objects[0])
	}
	return nil
}

// Ask asks one object for a reconcile, if it is still as it was read. One that carries the token was asked before.
func (f *Flux) Ask(ctx context.Context, stop reconcile.Stop, token string) error {
	if stop.Token == token {
		return nil
	}
	gvk, ok := requestKind(stop.Object.Kind)
	if !ok {
		return reconcile.Refuse("%s cannot be asked to reconcile: Backstop does not know how to ask a %s", stop.Object,
			stop.Object.Kind)
	}
	patch, err := requestPatch(token, stop.Version)
	if err != nil {
		return err
	}
	err = f.annotate(ctx, gvk, stop.Object, patch)
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s: %w", stop.Object, reconcile.ErrConflict)
	case notInstalled(err):
		return fmt.Errorf("ask %s to reconcile: %w", stop.Object, errNotInstalled)
	}
	return err
}

func (f *Flux) annotate(ctx context.Context, gvk schema.GroupVersionKind, o v1alpha1.ObjectRef,
	patch client.Patch) error {
	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(gvk)
	obj.SetNamespace(o.Namespace)
	obj.SetName(o.Name)
	err := f.client.Patch(ctx, obj, patch, client.FieldOwner(FieldOwner))
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		return fmt.Errorf("ask %s to reconcile: Backstop's ServiceAccount needs patch on it in namespace %s: %w", o,
			o.Namespace, err)
	}
	return fmt.Errorf("ask %s to reconcile: %w", o, err)
}

// requestPatch changes one annotation and nothing else, which is all that the admission policy lets Backstop change.
// The API server refuses it where the object is of another version by then; an empty version is any.
func requestPatch(token, version string) (client.Patch, error) {
	metadata := map[string]any{"annotations": map[string]string{meta.ReconcileRequestAnnotation: token}}
	if version != "" {
		metadata["resourceVersion"] = version
	}
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return client.RawPatch(types.MergePatchType, body), nil
}

// requestKind reports which kind a name stands for, of those that can be asked.
func requestKind(kind string) (schema.GroupVersionKind, bool) {
	switch kind {
	case kindGitRepository:
		return sourcev1.GroupVersion.WithKind(kind), true
	case kindKustomization:
		return kustomizev1.GroupVersion.WithKind(kind), true
	case kindHelmRelease:
		return helmv2.GroupVersion.WithKind(kind), true
	case kindAutomation:
		return automationv1.GroupVersion.WithKind(kind), true
	}
	return schema.GroupVersionKind{}, false
}
