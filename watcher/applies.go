package watcher

import (
	"cmp"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// applier is what is kept of it: which one it is, and why it is not ready.
type applier struct {
	metav1.PartialObjectMetadata
	// failed is the reason for which it is not ready; empty where it is, or is at work.
	failed string
}

// applyingGroups are the API versions of the kinds that apply.
var applyingGroups = map[string]schema.GroupVersion{
	kustomizev1.KustomizationKind: kustomizev1.GroupVersion, helmv2.HelmReleaseKind: helmv2.GroupVersion,
}

func applyKey(gv schema.GroupVersion, ref v1alpha1.ObjectRef) reconcile.Key {
	return reconcile.Key{Namespace: ref.Namespace, Subject: v1alpha1.Subject{
		APIVersion: gv.String(), Kind: ref.Kind, Name: ref.Name,
	}}
}

// applying is a kind of Flux's that applies what Git says. It wakes the keys that it concerns, as the others do. It
// wakes its own key if its status says that it cannot apply, or if a Rollback says so.
func (w *Watcher) applying(c Clients, name string, gv schema.GroupVersion, resource string) kind {
	k := w.flux(c, name, gv, resource)
	bare := k.strip
	k.strip = func(obj any) (any, error) {
		if a, ok := obj.(*applier); ok {
			return a, nil
		}
		out := &applier{}
		if item, ok := obj.(*kube.Item[applies, *applies]); ok && item.Object != nil {
			for _, c := range item.Object.Status.Conditions {
				if c.Type == meta.ReadyCondition && c.Status == metav1.ConditionFalse {
					out.failed = cmp.Or(c.Reason, "Failed")
				}
			}
		}
		stripped, err := bare(obj)
		if m, ok := stripped.(*metav1.PartialObjectMetadata); ok {
			out.PartialObjectMetadata = *m
		}
		return out, err
	}
	k.handler = w.applyHandler(name, gv)
	k.inform = c.custom(gv, resource, item[applies]())
	return k
}

// applyHandler wakes keys about what cannot be applied.
func (w *Watcher) applyHandler(kind string, gv schema.GroupVersion) cache.ResourceEventHandler {
	concerned := w.wakeConcerned(kind)
	return wakeHandler(nil, func(o metav1.Object) {
		concerned(o)
		key := applyKey(gv, v1alpha1.ObjectRef{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()})
		a, ok := o.(*applier)
		if ok && a.failed != "" || w.tells(key) {
			w.queue.Add(key)
		}
	})
}

// tells reports whether the newest Rollback of a key is not over yet, or tells of something that may heal.
func (w *Watcher) tells(key reconcile.Key) bool {
	for _, r := range w.indexed(byKey, key.String()) {
		if o := r.Status.Outcome; o == nil || o.Result == v1alpha1.ResultReportedOnly {
			return true
		}
	}
	return false
}

func (w *Watcher) flux(c Clients, name string, gv schema.GroupVersion, resource string) kind {
	return kind{
		name: name, optional: true, strip: moved(w.opts.Unreadable, name),
		inform: c.custom(gv, resource, &metav1.PartialObjectMetadata{}),
	}
}
