package watcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
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

// getCanary reads an object that judges updates; nil where it, or its kind, is gone or may not be read.
func (p *Pods) getCanary(ctx context.Context, ref v1alpha1.ObjectRef) (
	o *unstructured.Unstructured, gone bool, err error,
) {
	gvk := trigger.CanaryKind(ref.Kind)
	if p.Custom == nil {
		return nil, false, nil
	}
	client, err := p.Custom(gvk.GroupVersion())
	if err != nil {
		return nil, false, err
	}
	ask := client.Get().Namespace(ref.Namespace).Resource(trigger.CanaryResources[gvk]).Name(ref.Name)
	obj, err := ask.Do(ctx).Get()
	switch {
	case apierrors.IsNotFound(err):
		return nil, true, nil
	case apierrors.IsForbidden(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read %s: %w", ref, err)
	}
	item, ok := obj.(*kube.Item[unstructured.Unstructured, *unstructured.Unstructured])
	if !ok || item.Err != nil {
		return nil, false, nil //nolint:nilerr // the watch has told that it cannot be read
	}
	item.Object.SetGroupVersionKind(gvk)
	return item.Object, false, nil
}

// judgement looks at a canary, live: at itself, and only where it refuses an update at what is around it.
func (p *Pods) judgement(ctx context.Context, l *look, ref v1alpha1.ObjectRef) (*judged, error) {
	o, gone, err := p.getCanary(ctx, ref)
	if err != nil || o == nil {
		return &judged{gone: gone}, err
	}
	out := &judged{}
	if out.status, err = readCanary(o); err != nil {
		return &judged{}, nil //nolint:nilerr // the watch has told that it cannot be read
	}
	c := &candidate{look: l, pods: p, object: o, facts: &out.facts}
	out.facts = trigger.CanaryFacts{Now: p.Now(), Status: out.status}
	if ref.Kind == trigger.Argo.Kind {
		err = c.argo(ctx)
	} else {
		err = c.flagger(ctx)
	}
	if err != nil {
		return nil, err
	}
	out.holder, out.status = c.holder, out.facts.Status
	if out.status.State != trigger.CanaryFailed || out.facts.Target == nil {
		return out, nil
	}
	if err := c.around(ctx); err != nil {
		return nil, err
	}
	out.all = trigger.JudgeCanary(&out.facts)
	return out, nil
}

// flagger reads the target of a Canary, and what Flagger made of it.
func (c *candidate) flagger(ctx context.Context) error {
	target := &c.facts.Status.Workload
	c.facts.Promoted, c.facts.Remembered = map[string]string{}, false
	if c.pods.Promoted != nil {
		c.facts.Promoted, c.facts.Remembered = c.pods.Promoted(c.object.GetUID())
	}
	t, err := c.templated(ctx, target.Kind, target.Name)
	if err != nil || t == nil {
		return err
	}
	target.UID, c.holder = t.meta.GetUID(), t.holder
	c.facts.Target = &t.side
	if c.facts.Status.State != trigger.CanaryFailed {
		return nil
	}
	if err := c.settled(ctx, t); err != nil {
		return err
	}
	former, err := c.templated(ctx, target.Kind, target.Name+primary)
	if err != nil || former == nil || !madeBy(former.meta, c.object) {
		return err
	}
	c.facts.Former = &former.side
	c.made, c.former = selects(t.selector), selects(former.selector)
	return nil
}

// madeBy reports whether an object is controlled by another.
func madeBy(o, by metav1.Object) bool {
	owner := metav1.GetControllerOf(o)
	return owner != nil && owner.UID == by.GetUID()
}

// selects reports whether a pod is selected.
func selects(by *metav1.LabelSelector) func(*corev1.Pod) bool {
	selector, err := metav1.LabelSelectorAsSelector(by)
	if err != nil || by == nil {
		return func(*corev1.Pod) bool { return false }
	}
	return func(pod *corev1.Pod) bool { return selector.Matches(labels.Set(pod.Labels)) }
}

// templated is a workload with its template.
type templated struct {
	meta     metav1.Object
	side     trigger.Side
	selector *metav1.LabelSelector
	holder   *holder
}

// templated reads a Deployment or a DaemonSet; nil where it does not exist, may not be read or is of another kind.
func (c *candidate) templated(ctx context.Context, kind, name string) (*templated, error) {
	var out *templated
	var err error
	switch kind {
	case kinds.Deployment:
		var o *appsv1.Deployment
		if o, err = c.client.AppsV1().Deployments(c.namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
			wanted := int32(1)
			if o.Spec.Replicas != nil {
				wanted = *o.Spec.Replicas
			}
			out = &templated{meta: o, selector: o.Spec.Selector,
				holder: held(kind, &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector),
				side:   trigger.Side{Template: o.Spec.Template, Ready: o.Status.ReadyReplicas, Wanted: wanted}}
		}
	case kinds.DaemonSet:
		var o *appsv1.DaemonSet
		if o, err = c.client.AppsV1().DaemonSets(c.namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
			out = &templated{meta: o, selector: o.Spec.Selector,
				holder: held(kind, &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector),
				side: trigger.Side{Template: o.Spec.Template, Ready: o.Status.NumberReady,
					Wanted: o.Status.DesiredNumberScheduled}}
		}
	default:
		return nil, nil
	}
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s %s/%s: %w", kind, c.namespace, name, err)
	}
	out.side.Name = kind + "/" + name
	return out, nil
}

// settled finds out since when the target is what it is: when the first of the newest revisions with its images was
// made. Flagger itself makes a revision of a DaemonSet where it takes its pods away.
func (c *candidate) settled(ctx context.Context, t *templated) error {
	l, _, err := c.revisions(ctx, t.holder.workload.Kind, t.meta.GetName())
	if err != nil || l == nil {
		return err
	}
	all := trigger.Revisions(&l.Objects)
	for i := len(all) - 1; i >= 0 && sameImages(&all[i].Template, &t.side.Template); i-- {
		if all[i].Reused {
			// It was made long before it was taken up again, and nothing tells when that was.
			t.side.Made = time.Time{}
			break
		}
		t.side.Made = all[i].Made
	}
	return nil
}

func sameImages(a, b *corev1.PodTemplateSpec) bool { return slices.Equal(imagesOf(a), imagesOf(b)) }

// argo reads the object that has the template of a Rollout, what its analyses measured, and the two ReplicaSets between
// which it shifts.
func (c *candidate) argo(ctx context.Context) error {
	s := &c.facts.Status
	template := c.object
	if s.Workload.Kind != trigger.Argo.Kind {
		t, err := c.templated(ctx, s.Workload.Kind, s.Workload.Name)
		if err != nil || t == nil {
			return err
		}
		s.Workload.UID, c.holder = t.meta.GetUID(), t.holder
		c.facts.Target = &t.side
	} else {
		spec := corev1.PodTemplateSpec{}
		fields, _, _ := unstructured.NestedMap(template.Object, "spec", "template")
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &spec); err != nil {
			return nil //nolint:nilerr // nothing can be said of what has no template
		}
		meta := metav1.ObjectMeta{Name: template.GetName(), UID: template.GetUID(), Labels: template.GetLabels(),
			Annotations: template.GetAnnotations()}
		c.holder = held(trigger.Argo.Kind, &meta, &spec, nil)
		c.facts.Target = &trigger.Side{Name: s.Workload.String(), Template: spec}
	}
	if s.State != trigger.CanaryFailed {
		return nil
	}
	if err := c.analyses(ctx); err != nil {
		return err
	}
	return c.argoSides(ctx)
}

// argoSides reads the two ReplicaSets of a Rollout that refuses an update.
func (c *candidate) argoSides(ctx context.Context) error {
	s := &c.facts.Status
	list, err := c.client.AppsV1().ReplicaSets(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: argoHash})
	switch {
	case apierrors.IsForbidden(err):
		c.facts.Target = nil
		return nil
	case err != nil:
		return fmt.Errorf("list the ReplicaSets of %s: %w", s.By, err)
	}
	var now *appsv1.ReplicaSet
	for i := range list.Items {
		rs := &list.Items[i]
		if !madeBy(rs, c.object) {
			continue
		}
		switch rs.Labels[argoHash] {
		case s.Spec:
			now = rs
		case s.PromotedSpec:
			wanted := int32(1)
			if rs.Spec.Replicas != nil {
				wanted = *rs.Spec.Replicas
			}
			c.facts.Former = &trigger.Side{Name: kinds.ReplicaSet + "/" + rs.Name, Template: rs.Spec.Template,
				Ready: rs.Status.ReadyReplicas, Wanted: wanted}
		}
	}
	if now == nil || !sameImages(&now.Spec.Template, &c.facts.Target.Template) {
		// What was refused is not what is to run any more.
		c.facts.Target = nil
		return nil
	}
	c.facts.Target.Template, c.facts.Target.Made = now.Spec.Template, now.CreationTimestamp.Time
	if !s.At.IsZero() && c.facts.Target.Made.After(s.At) {
		c.facts.Target.Made = s.At
	}
	c.made = func(pod *corev1.Pod) bool { return pod.Labels[argoHash] == s.Spec }
	c.former = func(pod *corev1.Pod) bool { return pod.Labels[argoHash] == s.PromotedSpec }
	return nil
}

// argoHash is the label by which a Rollout knows its ReplicaSets and their pods.
const argoHash = "rollouts-pod-template-hash"

// around reads the canary's own events, the events about a cluster without room, and the pods that fail beside it.
func (c *candidate) around(ctx context.Context) error {
	ref := c.facts.Status.By
	words, err := c.events(ctx, fmt.Sprintf("involvedObject.kind=%s,involvedObject.name=%s", ref.Kind, ref.Name))
	if err != nil {
		return err
	}
	// The newest first. Of one second the names tell: a recorder ends them with the time in nanoseconds.
	slices.SortFunc(words, func(a, b corev1.Event) int {
		return cmp.Or(eventAt(&b).Compare(eventAt(&a)), strings.Compare(b.Name, a.Name))
	})
	for i := range words {
		e := &words[i]
		if e.InvolvedObject.UID == "" || e.InvolvedObject.UID == c.object.GetUID() {
			c.facts.Words = append(c.facts.Words, trigger.Word{At: eventAt(e), Text: e.Message, Count: int(e.Count)})
		}
	}
	crowded, err := c.events(ctx, "type=Warning")
	if err != nil {
		return err
	}
	c.facts.NoRoom = c.noRoom(crowded)
	crashes, brought := map[string]bool{}, c.facts.Brought()
	return c.each(ctx, metav1.ListOptions{}, func(_ context.Context, pod *corev1.Pod) error {
		name, old := trigger.Ails(pod, c.facts.Now, c.facts.Status.At)
		switch {
		case name == "":
			c.runsWell(pod, brought)
		case c.former != nil && c.former(pod):
			if c.facts.Former != nil {
				c.facts.Former.Ails = pod.Name
			}
		case old, c.made != nil && c.made(pod), crashes[name]:
		default:
			crashes[name] = true
			c.facts.Others = append(c.facts.Others, name)
		}
		return nil
	})
}

// runsWell takes in a pod of another workload that runs well with an image that the update brought.
func (c *candidate) runsWell(pod *corev1.Pod, brought []string) {
	runs := slices.ContainsFunc(pod.Spec.Containers, func(of corev1.Container) bool {
		return slices.Contains(brought, of.Image)
	})
	if !runs || c.former != nil && c.former(pod) || c.made != nil && c.made(pod) {
		return
	}
	if name := trigger.RunsWell(pod, c.facts.Now); name != "" && !slices.Contains(c.facts.Siblings, name) {
		c.facts.Siblings = append(c.facts.Siblings, name)
	}
}

// judged is one live look at a canary.
type judged struct {
	status trigger.CanaryStatus
	gone   bool
	facts  trigger.CanaryFacts
	all    judgements
	// holder is the workload that has the template.
	holder *holder
}

// elsewhere explains why an update was refused where that is not the image's fault; empty where it is, or where there
// is not enough to say so yet.
func (j *judged) elsewhere() string {
	one, why := j.all.other()
	if one == nil {
		return ""
	}
	return fmt.Sprintf("an update of %s is refused, and nothing is reverted, since it does not look like its image's "+
		"fault: it %s", j.status.Workload, why)
}

// well reports that what is to run is promoted. Until Flagger looks again its status tells of what was there before.
func (j *judged) well(image string) bool {
	if j.status.State != trigger.CanaryWell {
		return false
	}
	return j.status.Promoted || j.holder == nil || !j.holder.has(image)
}

// readCanary reads an object of one of these kinds.
func readCanary(o *unstructured.Unstructured) (trigger.CanaryStatus, error) {
	if o.GetKind() == trigger.Argo.Kind {
		return trigger.ReadArgo(o)
	}
	return trigger.ReadFlagger(o)
}

// judges reports whether objects of a kind judge updates.
func judges(kind string) bool { return kind == trigger.Flagger.Kind || kind == trigger.Argo.Kind }
