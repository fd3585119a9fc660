package workload

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Object is a workload as the API server has it.
type Object struct {
	Kind     Kind
	Object   *unstructured.Unstructured
	Template corev1.PodTemplateSpec
}

// Text is the text at a path of the object; empty if absent.
func (o *Object) Text(path ...string) string {
	text, _, _ := unstructured.NestedString(o.Object.Object, path...)
	return text
}

// Ordered reports whether the object waits for each of its pods before it goes on to the next.
func (o *Object) Ordered() bool {
	return o.Kind.Kind == StatefulSet && o.Text("spec", "podManagementPolicy") != string(appsv1.ParallelPodManagement)
}

// ByHand reports whether the object replaces a pod only when somebody deletes it.
func (o *Object) ByHand() bool {
	return o.Text("spec", "updateStrategy", "type") == string(appsv1.OnDeleteStatefulSetStrategyType)
}

// Get reads a workload.
func (k Kind) Get(ctx context.Context, r client.Reader, namespace, name string) (*Object, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(k.GroupVersionKind)
	if err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
		return nil, err
	}
	return k.object(o)
}

// List reads the workloads of a kind in a namespace, or in all. An optional kind that the cluster lacks, or that the
// reader may not read, gives none. An object whose template cannot be read is left out.
func (k Kind) List(ctx context.Context, r client.Reader, namespace string) ([]Object, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	err := r.List(ctx, list, client.InNamespace(namespace))
	switch {
	case err == nil:
	case !k.Builtin() && (apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err)):
		return nil, nil
	default:
		return nil, err
	}
	out := make([]Object, 0, len(list.Items))
	for i := range list.Items {
		if o, err := k.object(&list.Items[i]); err == nil {
			out = append(out, *o)
		}
	}
	return out, nil
}

// ListOwn reads the workloads of all kinds that people name.
func ListOwn(ctx context.Context, r client.Reader, namespace string) ([]Object, error) {
	var out []Object
	for _, k := range Own() {
		some, err := k.List(ctx, r, namespace)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

func (k Kind) object(o *unstructured.Unstructured) (*Object, error) {
	out := &Object{Kind: k, Object: o}
	fields, found, err := unstructured.NestedMap(o.Object, k.Template...)
	if err == nil && found {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &out.Template)
	}
	if err != nil {
		return nil, fmt.Errorf("read the pod template of %s %s: %w", k.Kind, o.GetName(), err)
	}
	return out, nil
}

// Images are the images of an object's pod template by container, and those of its volumes by ImageVolume; nil where
// the object has none. Kinds without a row are taken to have it where Deployments do.
func Images(o *unstructured.Unstructured) map[string]string {
	path := podTemplate
	if k, ok := Of(o.GetKind()); ok {
		path = k.Template
	}
	var out map[string]string
	for _, list := range []string{"initContainers", "containers"} {
		items, _, _ := unstructured.NestedSlice(o.Object, slices.Concat(path, []string{"spec", list})...)
		for _, item := range items {
			c, _ := item.(map[string]any)
			name, _ := c["name"].(string)
			image, _ := c["image"].(string)
			if name == "" {
				continue
			}
			if out == nil {
				out = map[string]string{}
			}
			out[name] = image
		}
	}
	volumes, _, _ := unstructured.NestedSlice(o.Object, slices.Concat(path, []string{"spec", "volumes"})...)
	for _, item := range volumes {
		v, _ := item.(map[string]any)
		name, _ := v["name"].(string)
		if image, ok, _ := unstructured.NestedString(v, "image", "reference"); ok && out != nil {
			out[v1alpha1.ImageVolume(name)] = image
		}
	}
	return out
}

// TemplateOf is the pod template of an object of Kubernetes' own types; nil for another.
func TemplateOf(o any) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.ReplicaSet:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	}
	return nil
}
