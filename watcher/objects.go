package watcher

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	kinds "github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// objects are a workload's object and its revisions.
type objects struct {
	trigger.Objects
	meta *metav1.ObjectMeta
	// argo and holder are there of a Rollout of Argo, which is looked at as a Deployment.
	argo   *trigger.CanaryStatus
	holder *holder
}

// revisions reads a workload and its revisions; nil where it does not exist, may not be read, or keeps none.
func (l *look) revisions(ctx context.Context, kind, name string) (*objects, labels.Selector, error) {
	apps, live := l.client.AppsV1(), metav1.GetOptions{}
	out := &objects{}
	var by *metav1.LabelSelector
	var err error
	switch kind {
	case kinds.Deployment:
		var d *appsv1.Deployment
		if d, err = apps.Deployments(l.namespace).Get(ctx, name, live); err == nil {
			out.Deployment, out.meta, by = d, &d.ObjectMeta, d.Spec.Selector
		}
	case kinds.StatefulSet:
		var s *appsv1.StatefulSet
		if s, err = apps.StatefulSets(l.namespace).Get(ctx, name, live); err == nil {
			out.StatefulSet, out.meta, by = s, &s.ObjectMeta, s.Spec.Selector
		}
	case kinds.DaemonSet:
		var d *appsv1.DaemonSet
		if d, err = apps.DaemonSets(l.namespace).Get(ctx, name, live); err == nil {
			out.DaemonSet, out.meta, by = d, &d.ObjectMeta, d.Spec.Selector
		}
	default:
		return nil, nil, nil
	}
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read %s %s/%s: %w", kind, l.namespace, name, err)
	}
	selector, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		return nil, nil, fmt.Errorf("read the selector of %s %s/%s: %w", kind, l.namespace, name, err)
	}
	of := metav1.ListOptions{LabelSelector: selector.String()}
	if out.Deployment != nil {
		var list *appsv1.ReplicaSetList
		if list, err = apps.ReplicaSets(l.namespace).List(ctx, of); err == nil {
			out.ReplicaSets = list.Items
		}
	} else {
		var list *appsv1.ControllerRevisionList
		if list, err = apps.ControllerRevisions(l.namespace).List(ctx, of); err == nil {
			out.Revisions = list.Items
		}
	}
	if apierrors.IsForbidden(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list the revisions of %s %s/%s: %w", kind, l.namespace, name, err)
	}
	return out, selector, nil
}

// judgements are the verdicts on each container that fails, and on each image that was refused.
type judgements []trigger.Judgement

// keys are the images that are at fault. What is not the image's fault is nobody's image.
func (all judgements) keys(namespace string) []reconcile.Key {
	var out []reconcile.Key
	for i := range all {
		if j := &all[i]; blames(j) {
			if key := reconcile.ImageKey(namespace, j.Image); !slices.Contains(out, key) {
				out = append(out, key)
			}
		}
	}
	return out
}

// other is the first one that does not blame the image, and why; nil where each does, or there is not enough to say so
// yet.
func (all judgements) other() (j *trigger.Judgement, why string) {
	i := slices.IndexFunc(all, func(j trigger.Judgement) bool { return j.Complete && !blames(&j) })
	if i < 0 {
		return nil, ""
	}
	j = &all[i]
	why = j.Cause.Words()
	doubts := j.Evidence.Doubts
	if j.Canary != nil {
		doubts = j.Canary.Doubts
	}
	if len(doubts) > 0 {
		why += "; " + doubts[0].Message
	}
	return j, why
}

// blames reports whether there is enough to say that a container's image is at fault.
func blames(j *trigger.Judgement) bool {
	return j.Complete && j.Fault == v1alpha1.FaultImage && j.Image != ""
}
