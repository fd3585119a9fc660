package render

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
)

// saysOfPods is what objects say of the pods of one of them: its template, and what the ConfigMaps and Secrets say that
// the pods read. How many there are is not about them.
func saysOfPods(all []*unstructured.Unstructured, of v1alpha1.ObjectRef) string {
	template := podsOf(all, of)
	if template == nil {
		return ""
	}
	data, err := json.Marshal(template)
	if err != nil {
		return ""
	}
	return string(data) + "\n" + says(all, readBy(all, of)...)
}

// podsOf is the pod template of a workload among objects; nil if absent.
func podsOf(all []*unstructured.Unstructured, of v1alpha1.ObjectRef) map[string]any {
	kind, known := workload.Of(of.Kind)
	i := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool {
		return names(of, refOf(o)) && o.GroupVersionKind().Group == kind.Group
	})
	if !known || i < 0 {
		return nil
	}
	template, _, _ := unstructured.NestedMap(all[i].Object, kind.Template...)
	return template
}

// readBy are the ConfigMaps and Secrets that a workload's pods read.
func readBy(all []*unstructured.Unstructured, of v1alpha1.ObjectRef) []v1alpha1.ObjectRef {
	var template corev1.PodTemplateSpec
	if runtime.DefaultUnstructuredConverter.FromUnstructured(podsOf(all, of), &template) != nil {
		return nil
	}
	var out []v1alpha1.ObjectRef
	for _, name := range workload.Configs(&template.Spec) {
		kind, name, _ := strings.Cut(name, "/")
		out = append(out, v1alpha1.ObjectRef{Kind: kind, Namespace: of.Namespace, Name: name})
	}
	return out
}
