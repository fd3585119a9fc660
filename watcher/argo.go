package watcher

import (
	"context"
	"fmt"
	"maps"
	"math"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	kinds "github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// A Rollout of Argo without an analysis replaces its pods as a Deployment does, by ReplicaSets with other names for the
// same marks: it is looked at as one. One with an analysis is judged by that alone.

// argoRevision counts the revisions of a Rollout, on it and on its ReplicaSets.
const argoRevision = "rollout.argoproj.io/revision"

// rolled reads a workload that replaces its pods, and its revisions; nil as revisions.
func (p *Pods) rolled(ctx context.Context, l *look, kind, name string) (*objects, labels.Selector, error) {
	if kind != kinds.Rollout {
		return l.revisions(ctx, kind, name)
	}
	o, _, err := p.getCanary(ctx, v1alpha1.ObjectRef{Kind: kind, Namespace: l.namespace, Name: name})
	if err != nil || o == nil || trigger.Analyses(o) {
		return nil, nil, err
	}
	status, err := trigger.ReadArgo(o)
	if err != nil {
		return nil, nil, nil //nolint:nilerr // the watch has told that it cannot be read
	}
	c := &candidate{look: l, pods: p, object: o, facts: &trigger.CanaryFacts{Status: status}}
	c.facts.Status.State = trigger.CanaryBusy
	if err := c.argo(ctx); err != nil || c.holder == nil {
		return nil, nil, err
	}
	by, selector := selectorOf(o)
	if by == nil && c.holder.selector != nil {
		by = c.holder.selector
		selector, err = metav1.LabelSelectorAsSelector(by)
	}
	if err != nil || by == nil || selector.Empty() {
		return nil, nil, nil //nolint:nilerr // what selects nothing has no pods
	}
	out := &objects{argo: &c.facts.Status, holder: c.holder}
	out.Deployment = &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), Labels: o.GetLabels(),
			Annotations: asDeployments(o.GetAnnotations(), argoRevision, annotationRevision)},
		Spec: appsv1.DeploymentSpec{Selector: by, Template: c.facts.Target.Template},
	}
	if n, found, err := unstructured.NestedInt64(o.Object, "spec", "replicas"); found && err == nil {
		out.Deployment.Spec.Replicas = new(int32(min(n, math.MaxInt32)))
	}
	out.meta = &out.Deployment.ObjectMeta
	list, err := l.client.AppsV1().ReplicaSets(l.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	switch {
	case apierrors.IsForbidden(err):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("list the ReplicaSets of Rollout %s/%s: %w", l.namespace, name, err)
	}
	for i := range list.Items {
		out.ReplicaSets = append(out.ReplicaSets, out.ofDeployment(&list.Items[i]))
	}
	return out, selector, nil
}

// analyses reads for which metrics the analyses of the update failed. Where they may not be read, or are gone, nothing
// shows what was measured.
func (c *candidate) analyses(ctx context.Context) error {
	s := &c.facts.Status
	if s.Reason != v1alpha1.CanaryAnalysis || c.pods.Custom == nil {
		return nil
	}
	client, err := c.pods.Custom(trigger.ArgoAnalysis.GroupVersion())
	if err != nil {
		return err
	}
	obj, err := client.Get().Namespace(c.namespace).Resource(trigger.ArgoAnalyses).
		VersionedParams(&metav1.ListOptions{LabelSelector: argoHash + "=" + s.Spec}, metav1.ParameterCodec).Do(ctx).Get()
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("list the AnalysisRuns of %s: %w", s.By, err)
	}
	list, ok := obj.(*kube.Items[unstructured.Unstructured, *unstructured.Unstructured])
	if !ok {
		return nil
	}
	for i := range list.Items {
		run := &list.Items[i]
		if run.Err != nil || !madeBy(run, c.object) {
			continue
		}
		if failed, err := trigger.ReadAnalysis(run.Object); err == nil {
			c.facts.FailedMetrics = append(c.facts.FailedMetrics, failed...)
		}
	}
	return nil
}

// selectorOf is what a Rollout selects its pods by; nil where it does not say.
func selectorOf(o *unstructured.Unstructured) (*metav1.LabelSelector, labels.Selector) {
	fields, found, err := unstructured.NestedMap(o.Object, "spec", "selector")
	if err != nil || !found {
		return nil, nil
	}
	by := &metav1.LabelSelector{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, by); err != nil {
		return nil, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		return nil, nil
	}
	return by, selector
}

// asDeployments are marks with one of Argo's under the name that a Deployment has for it.
func asDeployments(marks map[string]string, argos, deployments string) map[string]string {
	out := maps.Clone(marks)
	if value, ok := out[argos]; ok {
		out[deployments] = value
	}
	return out
}

// ofDeployment is a ReplicaSet of a Rollout as one of a Deployment, without what Argo puts on the pods of one side.
func (o *objects) ofDeployment(rs *appsv1.ReplicaSet) appsv1.ReplicaSet {
	out := *rs.DeepCopy()
	out.Labels = asDeployments(out.Labels, argoHash, appsv1.DefaultDeploymentUniqueLabelKey)
	out.Annotations = asDeployments(out.Annotations, argoRevision, annotationRevision)
	for _, key := range append([]string{argoHash}, o.argo.Ephemeral...) {
		delete(out.Spec.Template.Labels, key)
		delete(out.Spec.Template.Annotations, key)
	}
	return out
}

// observe turns what was read into facts. What Git says is in the template of what a Rollout refers to.
func (o *objects) observe() trigger.Facts {
	out := trigger.Observe(&o.Objects)
	if o.argo != nil {
		out.Workload = o.argo.Workload
	}
	return out
}
