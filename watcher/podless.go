package watcher

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// Pods that nobody lets be made, as where an admission webhook refuses their image or a quota is used up: then there is
// nothing that fails, and nobody would be told. A ReplicaSet has it in its status, and so its Deployment; a
// StatefulSet, a DaemonSet and a Job say it by events alone.

const (
	// failedCreate is the reason of events about pods that could not be made, refusedFor how long one counts: a controller
	// tries again within 17 minutes at most.
	failedCreate = "FailedCreate"
	refusedFor   = 20 * time.Minute
)

// refusedPods says why no pod of a workload's newest revision is made; empty where nothing refuses them.
func (l *look) refusedPods(ctx context.Context, o *objects, f *trigger.Facts) (string, error) {
	var template *corev1.PodTemplateSpec
	why := ""
	var err error
	switch {
	case o.Deployment != nil:
		template, why = &o.Deployment.Spec.Template, refusedReplicas(o, f)
	case o.StatefulSet != nil:
		s := o.StatefulSet
		wanted := int32(1)
		if s.Spec.Replicas != nil {
			wanted = *s.Spec.Replicas
		}
		if template = &s.Spec.Template; s.Status.ObservedGeneration >= s.Generation && s.Status.Replicas < wanted {
			why, err = l.refusal(ctx, o.meta, f)
		}
	case o.DaemonSet != nil:
		d := o.DaemonSet
		missing := d.Status.CurrentNumberScheduled < d.Status.DesiredNumberScheduled
		if template = &d.Spec.Template; d.Status.ObservedGeneration >= d.Generation && missing {
			why, err = l.refusal(ctx, o.meta, f)
		}
	}
	if why == "" || err != nil {
		return "", err
	}
	return cannotBeMade(template, why), nil
}

// cannotBeMade is the sentence about pods that are refused.
func cannotBeMade(of *corev1.PodTemplateSpec, why string) string {
	var images []string
	for _, c := range slices.Concat(of.Spec.InitContainers, of.Spec.Containers) {
		images = append(images, text.Cut(text.OneLine(c.Image), 200))
	}
	return fmt.Sprintf("no pod with %s can be made, and no image is blamed for it: %s",
		strings.Join(images[:min(len(images), 3)], ", "), text.Cut(text.OneLine(why), 400))
}

// refusedReplicas is what the newest ReplicaSet says, or its Deployment for it. A Rollout of Argo does not say it.
func refusedReplicas(o *objects, f *trigger.Facts) string {
	d := o.Deployment
	i := slices.IndexFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue
	})
	if i >= 0 && d.Status.ObservedGeneration >= d.Generation {
		return d.Status.Conditions[i].Message
	}
	if o.argo == nil || f.New == nil {
		return ""
	}
	for _, rs := range o.ReplicaSets {
		for _, c := range rs.Status.Conditions {
			if rs.Name == f.New.Name && c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
				return c.Message
			}
		}
	}
	return ""
}

// refusal is the newest event by which an object says that it could not make a pod of its newest revision; empty where
// none does, or where events may not be read.
func (l *look) refusal(ctx context.Context, of *metav1.ObjectMeta, f *trigger.Facts) (string, error) {
	list, err := l.client.CoreV1().Events(l.namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.uid=" + string(of.UID) + ",reason=" + failedCreate, Limit: mostEvents,
	})
	switch {
	case apierrors.IsForbidden(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("list events of %s/%s: %w", of.Namespace, of.Name, err)
	}
	says, last := "", f.Now.Add(-refusedFor)
	if f.New != nil && f.New.Made.After(last) {
		last = f.New.Made
	}
	for i := range list.Items {
		if e := &list.Items[i]; e.Reason == failedCreate && e.InvolvedObject.UID == of.UID && !eventAt(e).Before(last) {
			says, last = e.Message, eventAt(e)
		}
	}
	return says, nil
}
