package watcher

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// mostPages is how many pages of a kind are read to find many of it at once; the others are read one by one.
const mostPages = 4

// together reads workloads of a kind at once where there are many of them, as for one push that reverts hundreds.
func (l *look) together(ctx context.Context, of []v1alpha1.Workload) error {
	wanted := map[string]map[string]bool{}
	for _, w := range of {
		if wanted[w.Kind] == nil {
			wanted[w.Kind] = map[string]bool{}
		}
		if _, read := l.holders[w.String()]; !read {
			wanted[w.Kind][w.Name] = true
		}
	}
	for kind, names := range wanted {
		if len(names) <= mostGets {
			continue
		}
		sel := metav1.ListOptions{Limit: page}
		for range mostPages {
			more, err := l.page(ctx, kind, sel, func(h *holder) {
				if names[h.workload.Name] {
					delete(names, h.workload.Name)
					l.holders[h.workload.String()] = h
				}
			})
			if apierrors.IsForbidden(err) {
				break
			}
			if err != nil {
				return fmt.Errorf("list %ss in %s: %w", kind, l.namespace, err)
			}
			if sel.Continue = more; more == "" || len(names) == 0 {
				break
			}
		}
	}
	return nil
}

// page reads one page of a kind, and gives where the next one begins; kinds of which few fail at once have none.
func (l *look) page(ctx context.Context, kind string, sel metav1.ListOptions, visit func(*holder)) (string, error) {
	apps := l.client.AppsV1()
	switch kind {
	case "Deployment":
		list, err := apps.Deployments(l.namespace).List(ctx, sel)
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			visit(heldDeployment(&list.Items[i]))
		}
		return list.Continue, nil
	case "StatefulSet":
		list, err := apps.StatefulSets(l.namespace).List(ctx, sel)
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			visit(heldStatefulSet(&list.Items[i]))
		}
		return list.Continue, nil
	case "DaemonSet":
		list, err := apps.DaemonSets(l.namespace).List(ctx, sel)
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			visit(heldDaemonSet(&list.Items[i]))
		}
		return list.Continue, nil
	}
	return "", nil
}
