package watcher

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// podHandler remembers first errors, which later states of the pod hide, and enqueues the pod.
func (w *Watcher) podHandler() cache.ResourceEventHandler {
	see := func(pod *corev1.Pod) {
		all := waitingFor(pod)
		w.first.note(pod.UID, all)
		w.pods.see(refOf(pod), pod.UID, len(all) > 0)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if pod, ok := obj.(*corev1.Pod); ok {
				see(pod)
			}
		},
		UpdateFunc: func(before, now any) {
			a, ok := before.(*corev1.Pod)
			b, ok2 := now.(*corev1.Pod)
			if !ok || !ok2 || a.ResourceVersion == b.ResourceVersion {
				return
			}
			if a.UID != b.UID {
				w.first.forget(a.UID)
			}
			see(b)
		},
		DeleteFunc: func(obj any) {
			if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = t.Obj
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				if left := w.pending(refOf(pod)); left == nil || left.UID != pod.UID {
					w.first.forget(pod.UID)
				}
				w.pods.see(refOf(pod), pod.UID, false)
			}
		},
	}
}

func refOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// sight resolves pods into keys until ctx ends.
func (w *Watcher) sight(ctx context.Context) {
	for {
		ref, stop := w.pods.queue.Get()
		if stop {
			return
		}
		switch err := w.resolve(ctx, ref); {
		case ctx.Err() != nil:
		case err != nil:
			w.log.Error("cannot tell what image a pod's owner asks for, trying again",
				"namespace", ref.Namespace, "pod", ref.Name, "error", err)
			w.pods.queue.AddRateLimited(ref)
		default:
			w.pods.queue.Forget(ref)
		}
		w.pods.queue.Done(ref)
	}
}

// resolve enqueues the keys of one pod: those that it has now, and those that it had.
func (w *Watcher) resolve(ctx context.Context, ref types.NamespacedName) error {
	pod, before := w.pending(ref), w.pods.get(ref)
	defer func() {
		for _, image := range slices.Compact(slices.Sorted(maps.Values(before.images))) {
			w.queue.Add(reconcile.ImageKey(ref.Namespace, image))
		}
	}()
	if pod == nil {
		w.pods.forget(ref)
		return nil
	}
	now := seenPod{uid: pod.UID, images: map[string]string{}}
	if before.uid == pod.UID && !before.unsure {
		maps.Copy(now.images, before.images)
		now.workload = before.workload
	}
	var owner *owner
	for _, c := range waitingFor(pod) {
		if _, ok := now.images[c.name]; ok {
			continue
		}
		if owner == nil {
			l := newLook(w.clients.Core, ref.Namespace)
			l.listing = w.listings.having(ctx, l, w.opts.Now(), pod.Name)
			o, err := l.owner(ctx, pod)
			if err != nil {
				return err
			}
			owner = &o
			now.unsure, now.workload = o.unsure(), o.workload.String()
		}
		image := owner.asked(c.name, c.image)
		now.images[c.name] = image
		w.queue.Add(reconcile.ImageKey(ref.Namespace, image))
	}
	w.pods.set(ref, now)
	return nil
}

// asking names the pods that may wait for the image of a key. It goes by the image that a pod's owner asks for, or,
// before that is known, by the pod's own. A pod that a webhook rewrote enqueues the key once its owner was read.
func (w *Watcher) asking(key reconcile.Key) []string {
	var out []string
	for ref, known := range w.pods.in(key.Namespace) {
		pod := w.pending(ref)
		if pod == nil {
			continue
		}
		if len(waitingWhere(pod, func(name, asked string) bool {
			image, ok := known.images[name]
			if !ok || known.unsure || known.uid != pod.UID {
				return asked == key.Image() || image == key.Image()
			}
			return image == key.Image()
		})) > 0 {
			out = append(out, ref.Name)
		}
	}
	slices.Sort(out)
	return out
}

// pulls reports whether a pod of a workload waits for an image right now.
func (w *Watcher) pulls(of v1alpha1.ObjectRef) bool {
	for ref, known := range w.pods.in(of.Namespace) {
		if known.workload != of.Kind+"/"+of.Name {
			continue
		}
		if pod := w.pending(ref); pod != nil && len(waitingFor(pod)) > 0 {
			return true
		}
	}
	return false
}

// seen is the resource version up to which the pods of a namespace were watched.
func (w *Watcher) seen(namespace string) string {
	for i, inf := range w.informers[kindPod] {
		if w.everywhere() || w.opts.Namespaces[i] == namespace {
			return inf.LastSyncResourceVersion()
		}
	}
	return ""
}
