package watcher

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	kinds "github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
	"github.com/backstop-dev/backstop/watcher/drift"
)

// bare keeps what a handler needs of an object that is only watched to be woken by it: which one it is.
func bare(obj any) (any, error) {
	o, err := meta.Accessor(obj)
	if err != nil {
		return nil, fmt.Errorf("strip %T: %w", obj, err)
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
	}}, nil
}

// labelled is bare with labels, which a policy's selectors select by, and the one annotation that describes what may be
// done.
func labelled(obj any) (any, error) {
	o, err := meta.Accessor(obj)
	if err != nil {
		return nil, fmt.Errorf("strip %T: %w", obj, err)
	}
	var says map[string]string
	if said, ok := o.GetAnnotations()[reconcile.RollbackAnnotation]; ok {
		says = map[string]string{reconcile.RollbackAnnotation: said}
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
		Labels: o.GetLabels(), Annotations: says,
	}}, nil
}

// slimWorkload reads the managedFields of a workload of a kind, and keeps what they say.
func slimWorkload(kind string) func(any) (any, error) {
	return func(obj any) (any, error) {
		if w, ok := obj.(*keptWorkload); ok {
			return w, nil
		}
		meta, ok := obj.(metav1.Object)
		template := kinds.TemplateOf(obj)
		if !ok || template == nil {
			return nil, fmt.Errorf("strip %T: not a workload", obj)
		}
		full, late := available(obj)
		out := keep(meta)
		out.template, out.full, out.late = trigger.TemplateHash(template), full, late
		out.suspects = drift.Suspects(kind, meta, imagesOf(template))
		return &out, nil
	}
}

// available reports whether all pods of a workload are of its template and available, and whether that took too long.
func available(obj any) (full, late bool) {
	wanted := func(n *int32) int32 {
		if n == nil {
			return 1
		}
		return *n
	}
	switch o := obj.(type) {
	case *appsv1.Deployment:
		n, s := wanted(o.Spec.Replicas), &o.Status
		full = n > 0 && s.ObservedGeneration >= o.Generation && s.Replicas == n && s.UpdatedReplicas == n &&
			s.AvailableReplicas == n
		for _, c := range s.Conditions {
			late = late || c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded"
		}
	case *appsv1.StatefulSet:
		n, s := wanted(o.Spec.Replicas), &o.Status
		full = n > 0 && s.ObservedGeneration >= o.Generation && s.Replicas == n && s.AvailableReplicas == n &&
			s.CurrentRevision == s.UpdateRevision
	case *appsv1.DaemonSet:
		n, s := o.Status.DesiredNumberScheduled, &o.Status
		full = n > 0 && s.ObservedGeneration >= o.Generation && s.UpdatedNumberScheduled == n && s.NumberAvailable == n
	}
	return full, late
}

// unmanaged drops managedFields, which are most of a small object.
func unmanaged(obj any) (any, error) {
	o, err := meta.Accessor(obj)
	if err != nil {
		return nil, fmt.Errorf("strip %T: %w", obj, err)
	}
	o.SetManagedFields(nil)
	return obj, nil
}

// whole is an object that is to be stripped.
func whole[T any](obj any, what string) (*T, error) {
	o, ok := obj.(*T)
	if !ok {
		return nil, fmt.Errorf("strip %T: not %s", obj, what)
	}
	return o, nil
}

// slimPod keeps of a pod its owner, its containers' names and images, and how they wait.
func slimPod(obj any) (any, error) {
	p, err := whole[corev1.Pod](obj, "a pod")
	if err != nil {
		return nil, err
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
			Labels: p.Labels, OwnerReferences: p.OwnerReferences, DeletionTimestamp: p.DeletionTimestamp,
		},
		Spec: corev1.PodSpec{
			InitContainers: slimContainers(p.Spec.InitContainers),
			Containers:     slimContainers(p.Spec.Containers),
			Volumes:        slimVolumes(p.Spec.Volumes),
		},
		Status: corev1.PodStatus{
			Phase:                 p.Status.Phase,
			InitContainerStatuses: slimStatuses(p.Status.InitContainerStatuses),
			ContainerStatuses:     slimStatuses(p.Status.ContainerStatuses),
		},
	}, nil
}

func slimContainers(all []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, len(all))
	for i := range all {
		out[i] = corev1.Container{Name: all[i].Name, Image: all[i].Image}
		for _, m := range all[i].VolumeMounts {
			out[i].VolumeMounts = append(out[i].VolumeMounts, corev1.VolumeMount{Name: m.Name})
		}
	}
	return out
}

// slimVolumes keeps the image volumes, of which few pods have any.
func slimVolumes(all []corev1.Volume) []corev1.Volume {
	var out []corev1.Volume
	for i := range all {
		if all[i].Image != nil {
			out = append(out, corev1.Volume{Name: all[i].Name, VolumeSource: corev1.VolumeSource{Image: all[i].Image}})
		}
	}
	return out
}

func slimStatuses(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	out := make([]corev1.ContainerStatus, len(all))
	for i := range all {
		out[i] = corev1.ContainerStatus{Name: all[i].Name, Image: all[i].Image, State: all[i].State}
	}
	return out
}

func refOfWorkload(kind string, w *keptWorkload) v1alpha1.ObjectRef {
	return v1alpha1.ObjectRef{Kind: kind, Namespace: w.GetNamespace(), Name: w.Name}
}
