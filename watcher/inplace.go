package watcher

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// OpenKruise's workloads change the image of a pod that runs. The pod stays Running while its container waits for the
// new image, so that the watch of Pending pods does not see it. It carries a label for just as long.
const (
	inPlaceSelector = "lifecycle.apps.kruise.io/state=Updating"
	// annotationInPlace is what the pod ran before the change.
	annotationInPlace = "apps.kruise.io/inplace-update-state"
)

// inPlacePods asks for pods whose image is being changed in place.
func inPlacePods(c kubernetes.Interface) makeInformer {
	return func(namespace string, ix cache.Indexers) (cache.SharedIndexInformer, error) {
		return coreinformers.NewFilteredPodInformer(c, namespace, 0, ix, func(o *metav1.ListOptions) {
			o.LabelSelector = inPlaceSelector
		}), nil
	}
}

// replaced reports whether a container's image was changed in place: then its earlier runs were of another image.
func replaced(pod *corev1.Pod, c *corev1.ContainerStatus) bool {
	said, ok := pod.Annotations[annotationInPlace]
	if !ok {
		return false
	}
	var state struct {
		Last map[string]struct {
			ImageID string `json:"imageID"`
		} `json:"lastContainerStatuses"`
	}
	if json.Unmarshal([]byte(said), &state) != nil {
		return false
	}
	last, ok := state.Last[c.Name]
	return ok && (c.State.Waiting != nil || last.ImageID != c.ImageID)
}

// pending is the pod as the watch knows it: Pending, or updated in place. It is nil when it is neither any more.
func (w *Watcher) pending(ref types.NamespacedName) *corev1.Pod {
	for _, kind := range []string{kindPod, kindInPlacePod} {
		for _, inf := range w.informers[kind] {
			if obj, ok, _ := inf.GetStore().GetByKey(ref.String()); ok {
				if pod, ok := obj.(*corev1.Pod); ok {
					return pod
				}
			}
		}
	}
	return nil
}
