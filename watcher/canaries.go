package watcher

import (
	"context"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// The kinds that judge updates: Flagger's Canaries and Argo's Rollouts. Their CRDs may come later and go again, and any
// field of theirs may be something else than expected.

// canary is what is kept of an object that judges updates. What it writes into its status at each look is not.
type canary struct {
	metav1.PartialObjectMetadata
	status trigger.CanaryStatus
}

func (w *Watcher) canary(c Clients, gvk schema.GroupVersionKind) kind {
	return kind{
		name: gvk.Kind, optional: true, strip: slimCanary(w.opts.Unreadable, gvk), handler: w.canaryHandler(gvk.Kind),
		inform: c.custom(gvk.GroupVersion(), trigger.CanaryResources[gvk],
			&kube.Item[unstructured.Unstructured, *unstructured.Unstructured]{}),
	}
}

// slimCanary reads an object once. One that has strange fields is kept as bare metadata, and remembered.
func slimCanary(found *kube.Unreadables, gvk schema.GroupVersionKind) cache.TransformFunc {
	return func(obj any) (any, error) {
		item, ok := obj.(*kube.Item[unstructured.Unstructured, *unstructured.Unstructured])
		if !ok {
			return obj, nil
		}
		ref := v1alpha1.ObjectRef{Kind: gvk.Kind, Namespace: item.Namespace, Name: item.Name}
		err := item.Err
		out := &canary{PartialObjectMetadata: metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: item.Namespace, Name: item.Name, UID: item.UID, ResourceVersion: item.ResourceVersion,
		}}}
		if err == nil {
			item.Object.SetGroupVersionKind(gvk)
			out.status, err = readCanary(item.Object)
		}
		if err != nil {
			found.Add(&kube.Unreadable{Ref: ref, ResourceVersion: item.ResourceVersion, Err: err})
			return bare(item)
		}
		found.Readable(ref)
		out.status.Message = ""
		return out, nil
	}
}

// canaryHandler enqueues an object that refuses an update or did, and the Rollbacks that it concerns. While it refuses
// one, Flagger writes its status at each look: what says the same is no news.
func (w *Watcher) canaryHandler(kind string) cache.ResourceEventHandler {
	wake := w.wakeConcerned(kind)
	see := func(o *canary) {
		ref := v1alpha1.ObjectRef{Kind: kind, Namespace: o.Namespace, Name: o.Name}
		w.promoted.note(o.UID, &o.status)
		if o.status.State == trigger.CanaryFailed || len(w.crashes.get(ref)) > 0 || w.crashes.knows(ref) {
			w.crashes.queue.Add(ref)
		}
		wake(o)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if o, ok := obj.(*canary); ok {
				see(o)
			}
		},
		UpdateFunc: func(before, now any) {
			a, _ := before.(*canary)
			b, ok := now.(*canary)
			if ok && (a == nil || a.UID != b.UID || !sameStatus(&a.status, &b.status)) {
				see(b)
			}
		},
		DeleteFunc: func(obj any) {
			if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = t.Obj
			}
			if o, ok := obj.(*canary); ok {
				o = &canary{PartialObjectMetadata: o.PartialObjectMetadata}
				see(o)
				w.promoted.forget(o.UID)
			}
		},
	}
}

// sameStatus reports whether two looks at one object tell the same.
func sameStatus(a, b *trigger.CanaryStatus) bool {
	return a.State == b.State && a.At.Equal(b.At) && a.Spec == b.Spec && a.PromotedSpec == b.PromotedSpec &&
		a.Reason == b.Reason && a.Promoting == b.Promoting && a.Workload == b.Workload && maps.Equal(a.Tracked, b.Tracked)
}

// resolveCanary enqueues the keys of one canary: those of the update that it refuses now, and of the one that it did.
func (w *Watcher) resolveCanary(ctx context.Context, l *look, ref v1alpha1.ObjectRef) (again time.Duration, err error) {
	seen, err := w.Pods().judgement(ctx, l, ref)
	if err != nil {
		return 0, err
	}
	now, says := seen.all.keys(ref.Namespace), seen.elsewhere()
	if slices.ContainsFunc(seen.all, func(j trigger.Judgement) bool { return !j.Complete }) {
		again = unsettledFor
	}
	if ref.Kind == trigger.Argo.Kind && len(seen.all) == 0 {
		// Nothing is refused: without an analysis its pods are all that tells.
		crashed, err := w.Pods().observe(ctx, l, ref.Kind, ref.Name)
		if err != nil {
			return 0, err
		}
		now, says = crashed.keys(ref.Namespace), crashed.elsewhere()
		switch {
		case len(now) > 0:
			again = w.failsOn(crashed)
		case w.mayBeOver(ref):
			again = failingFor
		case len(crashed.judged) > 0:
			again = w.settles(crashed)
		}
	}
	w.takeIn(ref, now, says)
	return again, nil
}
