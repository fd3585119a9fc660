package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/workload"
)

// What runs in the cluster, by workload and by image.

// liveImage reads the image that a workload's template names now.
func liveImage(ctx context.Context, cl client.Client, ns string, wl v1alpha1.Workload, container string,
) (string, error) {
	t, err := template(ctx, cl, ns, wl)
	if err != nil {
		return "", err
	}
	var images []string
	for _, c := range slices.Concat(t.InitContainers, t.Containers) {
		if (container == "" || c.Name == container) && !slices.Contains(images, c.Image) {
			images = append(images, c.Image)
		}
	}
	if len(images) > 1 {
		return "", badUsage("%s has %d images: give -c CONTAINER, or one of them: %s", wl, len(images),
			strings.Join(images, ", "))
	}
	if len(images) == 0 {
		var names []string
		for _, c := range slices.Concat(t.InitContainers, t.Containers) {
			names = append(names, c.Name)
		}
		return "", badUsage("%s has no container %q: it has %s", wl, container, strings.Join(names, ", "))
	}
	return images[0], nil
}

func template(ctx context.Context, cl client.Client, ns string, wl v1alpha1.Workload) (*corev1.PodSpec, error) {
	kind, ok := workload.Of(wl.Kind)
	if !ok {
		return nil, fmt.Errorf("read %s in %s: its kind is not known", wl, ns)
	}
	found, err := kind.Get(ctx, cl, ns, wl.Name)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("no %s in namespace %s", wl, ns)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", wl, ns, err)
	}
	return &found.Template.Spec, nil
}

// runs finds a workload of the namespace whose template names an image, or else those that name another image of its
// repository: they may have named this one.
func runs(ctx context.Context, cl client.Client, ns, ref string) (found []v1alpha1.Workload, named bool, err error) {
	found, err = runsLike(ctx, cl, ns, func(have string) bool { return have == ref })
	if err != nil || len(found) > 0 {
		return found[:min(1, len(found))], true, err
	}
	found, err = runsLike(ctx, cl, ns, func(have string) bool { return image.SameRepository(have, ref) })
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no workload in namespace %s names %s, or another image of its repository: give another "+
			"namespace (-n), a workload as KIND/NAME, or --repo DIR to look in Git alone", ns, ref)
	}
	return found[:min(maxLeads, len(found))], false, err
}

// maxLeads is behind how many workloads an image is looked for that nothing runs any more.
const maxLeads = 8

// runsLike finds the workloads of the namespace whose template names an image that is meant.
func runsLike(ctx context.Context, cl client.Client, ns string, meant func(string) bool) ([]v1alpha1.Workload, error) {
	return workloads(ctx, cl, ns, func(_ v1alpha1.Workload, spec *corev1.PodSpec) bool {
		return slices.ContainsFunc(slices.Concat(spec.InitContainers, spec.Containers),
			func(c corev1.Container) bool { return meant(c.Image) })
	})
}

// workloads finds the workloads of the namespace that are meant, by name or by template.
func workloads(ctx context.Context, cl client.Client, ns string, meant func(v1alpha1.Workload, *corev1.PodSpec) bool,
) ([]v1alpha1.Workload, error) {
	all, err := workload.ListOwn(ctx, cl, ns)
	if err != nil {
		return nil, fmt.Errorf("list workloads in %s: %w", ns, readable(err))
	}
	var found []v1alpha1.Workload
	for i := range all {
		w := v1alpha1.Workload{Kind: all[i].Kind.Kind, Name: all[i].Object.GetName()}
		if meant(w, &all[i].Template.Spec) {
			found = append(found, w)
		}
	}
	return found, nil
}

// maxFormer is how many earlier values --to chooses from.
const maxFormer = 20
