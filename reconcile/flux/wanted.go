package flux

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	imageref "github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
)

// Wanted describes what Git says of a workload now, as reconcile.Forwarder asks.
//
//	Kustomization   rendered at the artifact's commit: it must differ from what was applied, and from what lives, in
//	                nothing but the images
//	HelmRelease     the revision of the workload that ran before, which must differ from the live one in nothing but
//	                the images: a chart's output is never made here
func (f *Flux) Wanted(ctx context.Context, rb *v1alpha1.Rollback, src reconcile.Source, o reconcile.AheadWorkload,
) (reconcile.AheadWorkload, error) {
	o.Containers = slices.Clone(o.Containers)
	kind, known := workload.Of(o.Workload.Kind)
	if !known {
		o.Differs = "what kind of object it is cannot be told"
		return o, nil
	}
	live, err := kind.Get(ctx, f.client, rb.Namespace, o.Workload.Name)
	if apierrors.IsNotFound(err) {
		return o, fmt.Errorf("read %s: %w", o.Workload, reconcile.ErrConflict)
	}
	if err != nil {
		return o, fmt.Errorf("read %s: %w", o.Workload, err)
	}
	p, err := f.placeOfReconciler(ctx, rb.Status.Suspect.Reconciler, time.Time{})
	if err != nil {
		return o, err
	}
	if p.release != nil {
		return o, f.wantedBefore(ctx, live, rb.Status.Target.Image, &o)
	}
	why, err := f.wantedByGit(ctx, p, src, live, &o)
	o.Differs = why
	return o, err
}

// wantedByGit fills in what is rendered, and describes what else differs.
func (f *Flux) wantedByGit(ctx context.Context, p place, src reconcile.Source, live *workload.Object,
	o *reconcile.AheadWorkload,
) (string, error) {
	if f.options.Render == nil {
		return "what Git says cannot be rendered here", nil
	}
	deployed, err := f.deployedSource(ctx, sourceRef(p.kustomization))
	if err != nil {
		return "", err
	}
	commits := []string{deployed.commit(), attemptedOf(p.kustomization, deployed.ref)}
	var rendered []*unstructured.Unstructured
	for _, commit := range commits {
		all, err := f.options.Render(ctx, src, commit, p.kustomization.Spec)
		if why, refused := reconcile.AsRefusal(err); refused {
			return "what Git says cannot be rendered: " + why, nil
		}
		if err != nil {
			return "", err
		}
		i := slices.IndexFunc(all, func(r *unstructured.Unstructured) bool {
			return r.GroupVersionKind().GroupKind() == live.Kind.GroupKind() && r.GetName() == live.Object.GetName() &&
				cmp.Or(r.GetNamespace(), live.Object.GetNamespace()) == live.Object.GetNamespace()
		})
		if i < 0 {
			return fmt.Sprintf("%.12s does not hold it: Git says more than another image", commit), nil
		}
		rendered = append(rendered, all[i].DeepCopy())
	}
	images := workload.Images(rendered[0])
	for i := range o.Containers {
		o.Containers[i].Want = images[o.Containers[i].Name]
	}
	living := live.Object.DeepCopy()
	for _, r := range append(rendered, living) {
		unimaged(r, o.Containers)
	}
	if at := differs(rendered[0].Object, rendered[1].Object, "", false); at != "" {
		return "what Git says now differs from what was applied in more than the image: " + at, nil
	}
	made, err := asStored(live.Kind.Kind, rendered[0])
	if err != nil {
		return "what Git says cannot be compared: " + tell(err.Error()), nil
	}
	spec, _, _ := unstructured.NestedFieldNoCopy(living.Object, "spec")
	if at := differs(made["spec"], spec, "spec", true); at != "" {
		return "it differs from what Git says in more than the image: " + at, nil
	}
	return "", nil
}

// unimaged takes the images of containers away, so that the rest can be compared.
func unimaged(o *unstructured.Unstructured, containers []reconcile.AheadContainer) {
	for _, name := range []string{"initContainers", "containers"} {
		list, _, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "template", "spec", name)
		items, _ := list.([]any)
		for _, item := range items {
			c, _ := item.(map[string]any)
			if slices.ContainsFunc(containers, func(f reconcile.AheadContainer) bool { return f.Name == c["name"] }) {
				delete(c, "image")
			}
		}
	}
}

// asStored writes a rendered workload as the API server would: quantities, for one.
func asStored(kind string, o *unstructured.Unstructured) (map[string]any, error) {
	typed := map[string]runtime.Object{
		workload.Deployment: &appsv1.Deployment{}, workload.StatefulSet: &appsv1.StatefulSet{},
		workload.DaemonSet: &appsv1.DaemonSet{},
	}[kind]
	if typed == nil {
		return nil, fmt.Errorf("a %s is not known", kind)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed); err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return nil, fmt.Errorf("write it: %w", err)
	}
	return out, nil
}

// differs is the path of the first difference; empty for none. defaulted says that the second is from the API server,
// which adds fields: what is empty in the first, or not there, is not compared.
func differs(a, b any, at string, defaulted bool) string {
	if defaulted && empty(a) {
		return ""
	}
	switch a := a.(type) {
	case map[string]any:
		b, _ := b.(map[string]any)
		keys := slices.Sorted(maps.Keys(a))
		if !defaulted {
			keys = append(keys, slices.Sorted(maps.Keys(b))...)
		}
		for _, k := range keys {
			if d := differs(a[k], b[k], at+"."+tell(k), defaulted); d != "" {
				return d
			}
		}
		return ""
	case []any:
		b, _ := b.([]any)
		if len(a) != len(b) {
			return at
		}
		for i := range a {
			if d := differs(a[i], b[i], at+"["+strconv.Itoa(i)+"]", defaulted); d != "" {
				return d
			}
		}
		return ""
	}
	if !reflect.DeepEqual(a, b) {
		return at
	}
	return ""
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		for _, of := range v {
			if !empty(of) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return false
}

// wantedBefore finds the revision of a workload that differs from the live one in nothing but the images, and has the
// target's.
func (f *Flux) wantedBefore(ctx context.Context, live *workload.Object, target string,
	o *reconcile.AheadWorkload,
) error {
	before, err := f.templatesOf(ctx, live)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		template := before[name]
		wants := imagesIn(&template.Spec, o.Containers)
		fits := len(wants) == len(o.Containers)
		for _, want := range wants {
			fits = fits && imageref.Equal(want, target)
		}
		if !fits || !sameBesideImages(template, live.Template, o.Containers) {
			continue
		}
		for j := range o.Containers {
			o.Containers[j].Want = wants[o.Containers[j].Name]
		}
		return nil
	}
	o.Differs = "no revision of it that ran " + target + " was the same in all but the image"
	for j := range o.Containers {
		o.Containers[j].Want = target
	}
	return nil
}

// imagesIn are the images of containers in a template, by name.
func imagesIn(pod *corev1.PodSpec, containers []reconcile.AheadContainer) map[string]string {
	out := map[string]string{}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if slices.ContainsFunc(containers, func(f reconcile.AheadContainer) bool { return f.Name == c.Name }) {
			out[c.Name] = c.Image
		}
	}
	return out
}

func sameBesideImages(a, b corev1.PodTemplateSpec, containers []reconcile.AheadContainer) bool {
	same := func(t corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
		out := t.DeepCopy()
		delete(out.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		for _, list := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
			for i := range list {
				if slices.ContainsFunc(containers, func(f reconcile.AheadContainer) bool { return f.Name == list[i].Name }) {
					list[i].Image = ""
				}
			}
		}
		return out
	}
	return equality.Semantic.DeepEqual(same(a), same(b))
}

// templatesOf are the templates that a workload had, by the names of the ReplicaSets or ControllerRevisions that keep
// them.
func (f *Flux) templatesOf(ctx context.Context, live *workload.Object) (map[string]corev1.PodTemplateSpec, error) {
	namespace, uid := live.Object.GetNamespace(), live.Object.GetUID()
	owned := func(o metav1.Object) bool {
		owner := metav1.GetControllerOf(o)
		return owner != nil && owner.UID == uid
	}
	out := map[string]corev1.PodTemplateSpec{}
	if live.Kind.Kind == workload.Deployment || live.Kind.Kind == workload.Rollout {
		var all appsv1.ReplicaSetList
		if err := f.client.List(ctx, &all, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("list the ReplicaSets of %s: %w", live.Object.GetName(), err)
		}
		for i := range all.Items {
			if owned(&all.Items[i]) {
				out[all.Items[i].Name] = all.Items[i].Spec.Template
			}
		}
		return out, nil
	}
	var all appsv1.ControllerRevisionList
	if err := f.client.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list the ControllerRevisions of %s: %w", live.Object.GetName(), err)
	}
	for i := range all.Items {
		if !owned(&all.Items[i]) {
			continue
		}
		var kept struct {
			Spec struct {
				Template corev1.PodTemplateSpec `json:"template"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(all.Items[i].Data.Raw, &kept); err == nil {
			out[all.Items[i].Name] = kept.Spec.Template
		}
	}
	return out, nil
}
