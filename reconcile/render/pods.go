package render

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
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

// hashed is how kustomize names what a generator makes: with a hash of its content.
var hashed = regexp.MustCompile(`^(.+)-[a-z0-9]{10}$`)

// generated reports whether a ConfigMap was made by a generator for the pods that fail, and the one that it made before
// takes its place: nothing names it any more.
func (p *proof) generated(a reconcile.AppliedObject, left []*unstructured.Unstructured) bool {
	ref := v1alpha1.ObjectRef{Kind: a.Kind, Namespace: a.Namespace, Name: a.Name}
	is := hashed.FindStringSubmatch(a.Name)
	if !p.Pods || a.Kind != "ConfigMap" || is == nil || !slices.ContainsFunc(readBy(p.bad, *p.Object), isRef(ref)) {
		return false
	}
	return slices.ContainsFunc(readBy(left, *p.Object), func(o v1alpha1.ObjectRef) bool {
		was := hashed.FindStringSubmatch(o.Name)
		return o.Kind == a.Kind && was != nil && was[1] == is[1] &&
			slices.ContainsFunc(left, func(l *unstructured.Unstructured) bool { return names(o, refOf(l)) })
	})
}

func isRef(a v1alpha1.ObjectRef) func(v1alpha1.ObjectRef) bool {
	return func(b v1alpha1.ObjectRef) bool { return names(a, b) }
}
