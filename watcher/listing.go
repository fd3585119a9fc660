package watcher

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// One commit may break hundreds of images of a namespace at once. Each look of each of them would read the ReplicaSet
// and the Deployment of its pod one by one, and the ReplicaSets before it. So where many pods of a namespace wait for
// their images, these are listed together, and a look goes by the list in which its own pods fail already.
//
//	pods ──► Deployments ──► ReplicaSets        what came before a pod failed is in the list that has it failing
//
// A look whose pods do not fail in the list has another one made; what is in none is read by itself. Where a namespace
// has not too many pods, all of them are in the list, and a look reads nothing else.

const (
	// listAt is how many pods of a namespace wait for their images when they are listed together.
	listAt = 16
	// listPage and listPages bound what one answer takes in memory, and how much of a kind is listed.
	listPage, listPages = 250, 4
)

// pendingSelector picks the pods that have not begun to run.
const pendingSelector = "status.phase=Pending"

// listings make the lists of namespaces; they are shared by all looks.
type listings struct {
	lists kube.Shared[*listing]
	// waiting counts the pods of a namespace that wait for an image, as far as the watch knows.
	waiting func(namespace string) int
}

// listing is what a namespace had in one moment. It is never written again.
type listing struct {
	// pods by name. Where full, they are all of the namespace; else those that have not begun to run.
	pods map[string]*corev1.Pod
	full bool
	// owned are the pods by the UID of their controller, that of a Deployment for those of its ReplicaSets.
	owned map[types.UID][]*corev1.Pod
	// deployments by name. What a look needs of one is read when it asks: most look at one alone.
	deployments map[string]*appsv1.Deployment
	// replicaSets by name, and those of a Deployment by its UID. all says that there were not too many to list.
	replicaSets map[string]*appsv1.ReplicaSet
	of          map[types.UID][]appsv1.ReplicaSet
	all         bool
}

// has reports whether all of these pods fail in it.
func (c *listing) has(names []string) bool {
	for _, name := range names {
		if pod := c.pods[name]; pod == nil || !waits(pod) {
			return false
		}
	}
	return true
}

// history are the ReplicaSets of a Deployment, where it and all of them are listed.
func (c *listing) history(kind, name string, uid types.UID) ([]appsv1.ReplicaSet, bool) {
	if c == nil || !c.all || kind != "Deployment" || c.deployments[name] == nil || c.deployments[name].UID != uid {
		return nil, false
	}
	return c.of[uid], true
}

func list(ctx context.Context, client kubernetes.Interface, namespace string) (*listing, error) {
	out := &listing{pods: map[string]*corev1.Pod{}, deployments: map[string]*appsv1.Deployment{},
		replicaSets: map[string]*appsv1.ReplicaSet{}, of: map[types.UID][]appsv1.ReplicaSet{}}
	var err error
	if out.full, err = out.take(ctx, client, namespace, metav1.ListOptions{}); err == nil && !out.full {
		_, err = out.take(ctx, client, namespace, metav1.ListOptions{FieldSelector: pendingSelector})
	}
	if err != nil {
		return nil, err
	}
	_, err = pages(metav1.ListOptions{}, func(sel metav1.ListOptions) (string, error) {
		list, err := client.AppsV1().Deployments(namespace).List(ctx, sel)
		if err != nil {
			return "", fmt.Errorf("list Deployments in %s: %w", namespace, err)
		}
		for i := range list.Items {
			out.deployments[list.Items[i].Name] = &list.Items[i]
		}
		return list.Continue, nil
	})
	if err != nil {
		return nil, err
	}
	out.all, err = pages(metav1.ListOptions{}, func(sel metav1.ListOptions) (string, error) {
		list, err := client.AppsV1().ReplicaSets(namespace).List(ctx, sel)
		if err != nil {
			return "", fmt.Errorf("list ReplicaSets in %s: %w", namespace, err)
		}
		for i := range list.Items {
			rs := &list.Items[i]
			out.replicaSets[rs.Name] = rs
			if by := metav1.GetControllerOf(rs); by != nil {
				out.of[by.UID] = append(out.of[by.UID], *rs)
			}
		}
		return list.Continue, nil
	})
	out.sort()
	return out, err
}

// take lists the pods of a selection, and reports whether that was all.
func (c *listing) take(ctx context.Context, client kubernetes.Interface, namespace string, sel metav1.ListOptions,
) (bool, error) {
	return pages(sel, func(sel metav1.ListOptions) (string, error) {
		list, err := client.CoreV1().Pods(namespace).List(ctx, sel)
		if err != nil {
			return "", fmt.Errorf("list pods in %s: %w", namespace, err)
		}
		for i := range list.Items {
			c.pods[list.Items[i].Name] = &list.Items[i]
		}
		return list.Continue, nil
	})
}

// sort puts the pods to their owners.
func (c *listing) sort() {
	c.owned = map[types.UID][]*corev1.Pod{}
	for _, pod := range c.pods {
		by := metav1.GetControllerOf(pod)
		if by == nil {
			continue
		}
		of := by.UID
		if rs := c.replicaSets[by.Name]; rs != nil && rs.UID == of {
			if above := metav1.GetControllerOf(rs); above != nil {
				of = above.UID
			}
		}
		c.owned[of] = append(c.owned[of], pod)
	}
}

// podsOf are the pods of a Deployment, where all pods and what stands between are listed.
func (c *listing) podsOf(w v1alpha1.Workload, uid types.UID) ([]*corev1.Pod, bool) {
	if c == nil || !c.full || !c.all || w.Kind != "Deployment" || c.deployments[w.Name] == nil ||
		c.deployments[w.Name].UID != uid {
		return nil, false
	}
	return c.owned[uid], true
}

// pages reads page after page, and reports whether that was all. What may not be read is nothing.
func pages(sel metav1.ListOptions, read func(metav1.ListOptions) (next string, err error)) (all bool, err error) {
	sel.Limit = listPage
	for range listPages {
		next, err := read(sel)
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if next == "" {
			return true, nil
		}
		sel.Continue = next
	}
	return false, nil
}

// waits reports whether a container of a pod waits.
func waits(pod *corev1.Pod) bool {
	for _, statuses := range statusesOf(pod) {
		for i := range statuses {
			if statuses[i].State.Waiting != nil {
				return true
			}
		}
	}
	return false
}
