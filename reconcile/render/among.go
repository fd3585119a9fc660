package render

import (
	"cmp"
	"context"
	"encoding/json"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// isOf reports whether a manifest is of an object. What it leaves out of its namespace is filled in by Flux.
func isOf(a reconcile.AppliedObject) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool {
		ns := o.GetNamespace()
		return o.GetName() == a.Name && o.GetKind() == a.Kind && o.GroupVersionKind().Group == a.Group &&
			(ns == a.Namespace || ns == "")
	}
}

func appliedOf(o *unstructured.Unstructured) reconcile.AppliedObject {
	return reconcile.AppliedObject{
		Group: o.GroupVersionKind().Group, Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
	}
}

func refOf(o *unstructured.Unstructured) v1alpha1.ObjectRef {
	return v1alpha1.ObjectRef{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
}

// says is what objects say, in the order in which they are asked for.
func says(all []*unstructured.Unstructured, of ...v1alpha1.ObjectRef) string {
	var b strings.Builder
	for _, ref := range of {
		for _, o := range all {
			if !names(ref, refOf(o)) {
				continue
			}
			data, err := json.Marshal(o.Object)
			if err != nil {
				continue
			}
			b.Write(data)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// names reports whether two references mean one object. One may leave its namespace out.
func names(a, b v1alpha1.ObjectRef) bool {
	return a.Kind == b.Kind && a.Name == b.Name && (a.Namespace == "" || b.Namespace == "" || a.Namespace == b.Namespace)
}

// takenBy are the objects that a HelmRelease or a Kustomization makes a part of what it applies of.
func takenBy(all []*unstructured.Unstructured, by v1alpha1.ObjectRef) []v1alpha1.ObjectRef {
	var out []v1alpha1.ObjectRef
	for _, o := range all {
		if !names(by, refOf(o)) {
			continue
		}
		values, _, _ := unstructured.NestedSlice(o.Object, "spec", "valuesFrom")
		variables, _, _ := unstructured.NestedSlice(o.Object, "spec", "postBuild", "substituteFrom")
		for _, f := range slices.Concat(values, variables) {
			v, _ := f.(map[string]any)
			kind, _ := v["kind"].(string)
			name, _ := v["name"].(string)
			out = append(out, v1alpha1.ObjectRef{Kind: kind, Namespace: o.GetNamespace(), Name: name})
		}
		if chart, ok, _ := unstructured.NestedStringMap(o.Object, "spec", "chartRef"); ok {
			out = append(out, v1alpha1.ObjectRef{
				Kind: chart["kind"], Namespace: cmp.Or(chart["namespace"], o.GetNamespace()), Name: chart["name"],
			})
		}
	}
	return out
}

// documents reads the objects of a file, as far as it can be read.
func documents(tree fs.FS, file string) []*unstructured.Unstructured {
	data, err := manifest.ReadFile(tree, file)
	if err != nil {
		return nil
	}
	var out []*unstructured.Unstructured
	for part := range strings.SplitSeq("\n"+string(data), "\n---") {
		// One that cannot be read does not hide the others.
		more, err := decode([]byte(part), &Job{})
		if err == nil {
			out = append(out, more...)
		}
	}
	return out
}

// find is the object of the same name among others; nil where there is none.
func find(all []*unstructured.Unstructured, like *unstructured.Unstructured) *unstructured.Unstructured {
	key := appliedOf(like)
	for _, o := range all {
		if appliedOf(o) == key {
			return o
		}
	}
	return nil
}

func same(a, b *unstructured.Unstructured) bool {
	return a == nil && b == nil || a != nil && b != nil && equality.Semantic.DeepEqual(a.Object, b.Object)
}

// refusedAs gives a refusal its name; another error stays what it is.
func refusedAs(why v1alpha1.DoubtType, what string, err error) error {
	said, refused := reconcile.AsRefusal(err)
	if !refused {
		return err
	}
	return reconcile.NotUndone(why, "%s: %s", what, said)
}

// text renders a tree into the documents that kustomize-controller makes the digest of.
func text(ctx context.Context, tree fs.FS, job *Job) ([]byte, *Folder, error) {
	f := NewTree(tree).Folder(manifest.Folder(job.Spec.Path))
	data, err := f.text(ctx, job)
	return data, f, err
}
