package watcher

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/watcher/drift"
)

// history reads the templates that a workload had; sel describes how new they must be.
func (l *look) history(ctx context.Context, h *holder, sel metav1.ListOptions) (drift.History, error) {
	if past, listed := l.listing.history(h.workload.Kind, h.workload.Name, h.workload.UID); listed {
		return drift.ReplicaSets(h.workload.UID, past), nil
	}
	if h.selector == nil {
		return drift.NoHistory("a " + h.workload.Kind + " keeps no history of its templates"), nil
	}
	selector, err := metav1.LabelSelectorAsSelector(h.selector)
	if err != nil {
		return drift.History{}, fmt.Errorf("read the selector of %s in %s: %w", h.workload, l.namespace, err)
	}
	sel.LabelSelector = selector.String()
	var out drift.History
	switch h.workload.Kind {
	case "Deployment":
		var list *appsv1.ReplicaSetList
		if list, err = l.client.AppsV1().ReplicaSets(l.namespace).List(ctx, sel); err == nil {
			out = drift.ReplicaSets(h.workload.UID, list.Items)
		}
	case "StatefulSet", "DaemonSet":
		var list *appsv1.ControllerRevisionList
		if list, err = l.client.AppsV1().ControllerRevisions(l.namespace).List(ctx, sel); err == nil {
			out = drift.ControllerRevisions(h.workload.UID, list.Items)
		}
	}
	if apierrors.IsForbidden(err) {
		return drift.NoHistory("Backstop may not list the revisions of a " + h.workload.Kind + ": a Role is missing"), nil
	}
	if err != nil {
		return out, fmt.Errorf("list the revisions of %s in %s: %w", h.workload, l.namespace, err)
	}
	return out, nil
}
