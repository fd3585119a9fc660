package watcher

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// readable takes an object of Backstop's own out of its Item. What cannot be decoded is kept as bare metadata, which
// every reader of the store passes over, and is remembered.
func readable[T any, P interface {
	kube.Object[T]
	metav1.Object
}](found *kube.Unreadables, kind string) cache.TransformFunc {
	return func(obj any) (any, error) {
		switch o := obj.(type) {
		case P:
			return unmanaged(o)
		case *metav1.PartialObjectMetadata:
			return o, nil
		case *kube.Item[T, P]:
			ref := v1alpha1.ObjectRef{Kind: kind, Namespace: o.Namespace, Name: o.Name}
			if o.Err != nil {
				found.Add(&kube.Unreadable{Ref: ref, ResourceVersion: o.ResourceVersion, Err: o.Err})
				return bare(o)
			}
			found.Readable(ref)
			return unmanaged(o.Object)
		}
		return nil, fmt.Errorf("strip %T: not a %s", obj, kind)
	}
}

// moved keeps bare metadata of an object of Flux's. One that could not be decoded may be readable now.
func moved(found *kube.Unreadables, kind string) cache.TransformFunc {
	return func(obj any) (any, error) {
		if o, err := meta.Accessor(obj); err == nil {
			found.Moved(v1alpha1.ObjectRef{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}, o.GetResourceVersion())
		}
		return bare(obj)
	}
}

// gone forgets objects that were deleted.
func (w *Watcher) gone(kind string) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{DeleteFunc: func(obj any) {
		if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = t.Obj
		}
		if o, err := meta.Accessor(obj); err == nil {
			w.opts.Unreadable.Readable(v1alpha1.ObjectRef{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()})
		}
	}}
}

// Unreadable is an error where a kind of Backstop's own cannot be read at all: every one of several objects cannot be
// decoded, as with a CRD of another version.
func (w *Watcher) Unreadable() error {
	for _, kind := range []string{kindRollback, kindRollbackPolicy} {
		all, bad := 0, 0
		for _, inf := range w.informers[kind] {
			for _, obj := range inf.GetStore().List() {
				all++
				if _, ok := obj.(*metav1.PartialObjectMetadata); ok {
					bad++
				}
			}
		}
		if all > 1 && all == bad {
			return fmt.Errorf("no %s can be read: do the CRDs fit this version of Backstop?", kind)
		}
	}
	return nil
}
