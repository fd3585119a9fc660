package fluxstub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// The field managers of the controllers that apply.
const (
	kustomizeManager = "kustomize-controller"
	helmManager      = "helm-controller"
)

// applyAll applies objects, those first that others need. kustomize-controller asks the API server about all of them
// before it applies any: one that is refused keeps the others as they are.
func (s *stand) applyAll(ctx context.Context, objects []*unstructured.Unstructured, manager string) error {
	var first, rest []*unstructured.Unstructured
	for _, o := range objects {
		if kind := o.GetKind(); kind == "Namespace" || kind == "CustomResourceDefinition" {
			first = append(first, o)
		} else {
			rest = append(rest, o)
		}
	}
	for _, o := range first {
		if err := s.applyOne(ctx, o, manager); err != nil {
			return err
		}
	}
	if manager == kustomizeManager {
		for _, o := range rest {
			normalize(o)
		}
		err := each(rest, func(o *unstructured.Unstructured) error { return s.refused(ctx, o.DeepCopy(), manager) })
		if err != nil {
			return err
		}
	}
	return each(rest, func(o *unstructured.Unstructured) error { return s.applyOne(ctx, o, manager) })
}

// normalize drops what a kind of Kubernetes does not have, as kustomize-controller does before the API server sees an
// object: a field that nobody knows is refused in a custom resource alone. What does not fit its type stays, and is
// refused.
func normalize(o *unstructured.Unstructured) {
	typed, err := scheme.Scheme.New(o.GroupVersionKind())
	if err != nil || runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed) != nil {
		return
	}
	plain, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return
	}
	o.Object = plain
	unstructured.RemoveNestedField(o.Object, "status")
}

// each does something with all objects, a few at a time.
func each(objects []*unstructured.Unstructured, do func(*unstructured.Unstructured) error) error {
	errs := make([]error, len(objects))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, o := range objects {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = do(o)
			<-slots
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// refused asks the API server whether it would take an object.
func (s *stand) refused(ctx context.Context, o *unstructured.Unstructured, manager string) error {
	name, err := s.settle(o)
	if err != nil || leftAlone(o) {
		return err
	}
	err = s.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(manager),
		client.ForceOwnership, client.DryRunAll)
	if err != nil {
		return fmt.Errorf("%s dry-run failed: %w", name, err)
	}
	return nil
}

// settle gives an object without a namespace the default one, where its kind has one, and describes what it is called.
func (s *stand) settle(o *unstructured.Unstructured) (name string, err error) {
	name = o.GetKind() + "/" + strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
	namespaced, err := s.client.IsObjectNamespaced(o)
	if err != nil {
		return name, fmt.Errorf("%s dry-run failed: %w", name, err)
	}
	if namespaced && o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault)
	}
	return name, nil
}

// applyOne is a server-side apply with force, after kubectl's ownership was taken over.
func (s *stand) applyOne(ctx context.Context, o *unstructured.Unstructured, manager string) error {
	name, err := s.settle(o)
	if err != nil {
		return err
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GroupVersionKind())
	err = s.client.Get(ctx, client.ObjectKeyFromObject(o), live)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("%s dry-run failed: %w", name, err)
	case leftAlone(o) || leftAlone(live) || ifNotPresent(o):
		return nil
	case manager == kustomizeManager:
		if err := s.takeOver(ctx, live); err != nil {
			return fmt.Errorf("%s: take over the fields of kubectl: %w", name, err)
		}
	}
	err = s.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(manager),
		client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("%s apply failed: %w", name, err)
	}
	return nil
}

// leftAlone reports whether an object asks not to be touched.
func leftAlone(o *unstructured.Unstructured) bool {
	for _, marks := range []map[string]string{o.GetLabels(), o.GetAnnotations()} {
		group := kustomizev1.GroupVersion.Group
		if strings.EqualFold(marks[group+"/reconcile"], "disabled") || strings.EqualFold(marks[group+"/ssa"], "ignore") {
			return true
		}
	}
	return false
}

// ifNotPresent reports whether an object that is there is to stay as it is. Only Git is asked.
func ifNotPresent(o *unstructured.Unstructured) bool {
	return strings.EqualFold(o.GetAnnotations()[kustomizev1.GroupVersion.Group+"/ssa"], "ifnotpresent")
}

// takeOver makes the fields that kubectl manages those of kustomize-controller,
// so that the next apply drops what Git does not say. Managers are matched by
// how their names begin.
func (s *stand) takeOver(ctx context.Context, live *unstructured.Unstructured) error {
	kept, taken := []metav1.ManagedFieldsEntry{}, &fieldpath.Set{}
	var own *metav1.ManagedFieldsEntry
	found := false
	for _, entry := range live.GetManagedFields() {
		theirs := strings.HasPrefix(entry.Manager, "kubectl") || strings.HasPrefix(entry.Manager, "before-first-apply") ||
			strings.HasPrefix(entry.Manager, kustomizeManager) && entry.Operation == metav1.ManagedFieldsOperationUpdate
		ours := entry.Manager == kustomizeManager && entry.Operation == metav1.ManagedFieldsOperationApply
		if entry.Subresource != "" || !theirs && !ours {
			kept = append(kept, entry)
			continue
		}
		fields := &fieldpath.Set{}
		if entry.FieldsV1 != nil {
			if err := fields.FromJSON(strings.NewReader(string(entry.FieldsV1.GetRawBytes()))); err != nil {
				return fmt.Errorf("read the fields of %s: %w", entry.Manager, err)
			}
		}
		taken = taken.Union(fields)
		found = found || theirs
		if ours || own == nil {
			own = &entry
		}
	}
	if !found {
		return nil
	}
	raw, err := taken.ToJSON()
	if err != nil {
		return fmt.Errorf("write the fields: %w", err)
	}
	own.Manager, own.Operation = kustomizeManager, metav1.ManagedFieldsOperationApply
	own.FieldsV1 = &metav1.FieldsV1{}
	own.FieldsV1.SetRawBytes(raw)
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": append(kept, *own)},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
	})
	if err != nil {
		return fmt.Errorf("write the patch: %w", err)
	}
	return s.client.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(kustomizeManager))
}

// inventoryOf lists what was applied, in the form of status.inventory.
func inventoryOf(objects []*unstructured.Unstructured) []kustomizev1.ResourceRef {
	entries := []kustomizev1.ResourceRef{}
	for _, o := range objects {
		gvk := o.GroupVersionKind()
		name := o.GetName()
		if gvk.Group == "rbac.authorization.k8s.io" {
			name = strings.ReplaceAll(name, ":", "__")
		}
		entries = append(entries, kustomizev1.ResourceRef{
			ID: strings.Join([]string{o.GetNamespace(), name, gvk.Group, gvk.Kind}, "_"), Version: gvk.Version,
		})
	}
	slices.SortFunc(entries, func(a, b kustomizev1.ResourceRef) int { return strings.Compare(a.ID, b.ID) })
	return entries
}

// objectOf reads an entry of an inventory.
func objectOf(entry kustomizev1.ResourceRef) (*unstructured.Unstructured, error) {
	namespace, rest, _ := strings.Cut(entry.ID, "_")
	rest, kind, ok := cutLast(rest)
	name, group, also := cutLast(rest)
	if !ok || !also {
		return nil, fmt.Errorf("read the inventory: %q is no entry", entry.ID)
	}
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: entry.Version, Kind: kind})
	o.SetNamespace(namespace)
	o.SetName(strings.ReplaceAll(name, "__", ":"))
	return o, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndex(s, "_")
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// prune deletes what an earlier inventory holds and the new one does not, if it is still this Kustomization's.
func (s *stand) prune(ctx context.Context, k *kustomizev1.Kustomization, before, after []kustomizev1.ResourceRef,
) error {
	for _, entry := range before {
		if slices.ContainsFunc(after, func(e kustomizev1.ResourceRef) bool { return e.ID == entry.ID }) {
			continue
		}
		o, err := objectOf(entry)
		if err != nil {
			return err
		}
		err = s.client.Get(ctx, client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("prune %s: %w", entry.ID, err)
		}
		group := kustomizev1.GroupVersion.Group
		mine := o.GetLabels()[group+"/name"] == k.Name && o.GetLabels()[group+"/namespace"] == k.Namespace
		if !mine || leftAlone(o) || strings.EqualFold(o.GetAnnotations()[group+"/prune"], "disabled") {
			continue
		}
		err = s.client.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("prune %s: %w", entry.ID, err)
		}
	}
	return nil
}
