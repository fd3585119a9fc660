package watcher

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	kinds "github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// observed is one live look at a workload's newest revision.
type observed struct {
	facts  trigger.Facts
	judged judgements
	labels map[string]string
	// holder of the template, where it is another object than one that is read by its kind; else nil.
	holder *holder
	// refused says why no pod of the newest revision is made; empty where nothing refuses them.
	refused string
}

// keys are the images that are at fault, and the workload itself where its configuration is.
func (o *observed) keys(namespace string) []reconcile.Key {
	out := o.judged.keys(namespace)
	if slices.ContainsFunc(o.judged, func(j trigger.Judgement) bool { return j.Config }) {
		out = append(out, workloadKey(namespace, o.facts.Workload.Kind, o.facts.Workload.Name))
	}
	return out
}

// workloadKey is the key of a workload's configuration.
func workloadKey(namespace, kind, name string) reconcile.Key {
	return reconcile.Key{Namespace: namespace, Subject: v1alpha1.Subject{
		APIVersion: kinds.APIVersion(kind), Kind: kind, Name: name,
	}}
}

// elsewhere explains why a new revision fails where that is neither the image's fault nor that of what changed in the
// template; empty where it is, or where there is not enough to say so yet.
func (o *observed) elsewhere() string {
	if slices.ContainsFunc(o.judged, func(j trigger.Judgement) bool { return j.Config }) {
		return ""
	}
	j, why := o.judged.other()
	if j == nil {
		return o.refused
	}
	return fmt.Sprintf("container %s of revision %s fails, and nothing is reverted, since it does not look like its "+
		"image's fault: %s", j.Container, o.facts.New.Name, why)
}

// observe looks at a workload, live: its own pods first, and those around it only where one fails.
func (p *Pods) observe(ctx context.Context, l *look, kind, name string) (*observed, error) {
	o, selector, err := p.rolled(ctx, l, kind, name)
	if err != nil || o == nil {
		return &observed{}, err
	}
	o.Now = p.Now()
	out := &observed{labels: o.meta.Labels}
	if p.Remembers != nil {
		o.Remembered = p.Remembers(o.meta.UID)
	}
	o.OptedIn = o.meta.Annotations[reconcile.RollbackAnnotation] == reconcile.RollbackAuto
	mine := metav1.ListOptions{LabelSelector: selector.String()}
	err = l.each(ctx, mine, func(_ context.Context, pod *corev1.Pod) error {
		o.Pods = append(o.Pods, *pod)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.holder = o.holder
	out.judge(o, kind+"/"+name)
	if len(out.judged) == 0 {
		if out.refused, err = l.refusedPods(ctx, o, &out.facts); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(out.judged, func(j trigger.Judgement) bool { return blames(&j) || j.Config }) {
		return out, nil
	}
	if err := p.around(ctx, l, &o.Objects, selector); err != nil {
		return nil, err
	}
	out.judge(o, kind+"/"+name)
	return out, nil
}

// judge judges what was read of an object. The configuration of one whose template is another object's is told only.
func (o *observed) judge(read *objects, name string) {
	o.facts = read.observe()
	o.judged = trigger.Judge(&o.facts)
	for i := range o.judged {
		o.judged[i].Config = o.judged[i].Config && o.facts.Workload.String() == name
	}
}

// around reads the nodes of the workload's pods, and of the namespace's other pods those that crash or run one of the
// images.
func (p *Pods) around(ctx context.Context, l *look, o *trigger.Objects, own labels.Selector) error {
	images := map[string]bool{}
	seen := map[string]bool{}
	for i := range o.Pods {
		pod := &o.Pods[i]
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			images[c.Image] = true
		}
		if name := pod.Spec.NodeName; name != "" && !seen[name] && len(seen) < mostNodesRead {
			seen[name] = true
			n, err := l.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
				// A node that is gone took its pods along.
				o.Nodes = append(o.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
			case apierrors.IsForbidden(err):
			case err != nil:
				return fmt.Errorf("read node %s: %w", name, err)
			default:
				o.Nodes = append(o.Nodes, *n)
			}
		}
	}
	return l.each(ctx, metav1.ListOptions{}, func(_ context.Context, pod *corev1.Pod) error {
		if !own.Matches(labels.Set(pod.Labels)) && (hasRestarted(pod) || runsAny(pod, images)) {
			o.Pods = append(o.Pods, *pod)
		}
		return nil
	})
}

// mostNodesRead is how many nodes of one workload are looked at.
const mostNodesRead = 16

func hasRestarted(pod *corev1.Pod) bool {
	for _, statuses := range statusesOf(pod) {
		for i := range statuses {
			if statuses[i].RestartCount > 0 || statuses[i].State.Waiting != nil {
				return true
			}
		}
	}
	return false
}

func runsAny(pod *corev1.Pod, images map[string]bool) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return images[c.Image] })
}

// rollouts takes in the workloads whose newest revision has the key's image and does not become ready, and names one
// that runs it well.
func (s *observation) rollouts(ctx context.Context) (out []v1alpha1.Failure, steady string, err error) {
	if s.pods.Rolling == nil || s.key.Image() == "" {
		return nil, "", nil
	}
	looked := map[string]bool{}
	for _, w := range s.pods.Rolling(s.key) {
		if looked[w.String()] || !rolls(w.Kind) && w.Kind != kinds.Rollout {
			continue
		}
		looked[w.String()] = true
		seen, err := s.pods.observe(ctx, s.look, w.Kind, w.Name)
		if err != nil {
			return nil, "", err
		}
		for i := range seen.judged {
			if j := &seen.judged[i]; blames(j) && j.Image == s.key.Image() {
				out = append(out, failureOf(seen, j, s.pods))
				s.labels[seen.facts.Workload.String()] = seen.labels
				if seen.holder != nil {
					s.holders[seen.facts.Workload.String()] = seen.holder
					continue
				}
				if _, err := s.get(ctx, w.Kind, w.Name); err != nil {
					return nil, "", err
				}
			}
		}
		if pod := trigger.Steady(&seen.facts, s.key.Image()); pod != "" && len(seen.judged) == 0 {
			steady = fmt.Sprintf("pod %s of %s", pod, seen.facts.Workload)
		}
	}
	return out, steady, nil
}

// podsOf counts the pods of workloads whose new revision fails.
func podsOf(all []v1alpha1.Failure) *v1alpha1.PodCount {
	out := &v1alpha1.PodCount{}
	seen := map[string]bool{}
	for _, f := range all {
		if f.Rollout == nil || seen[f.Workload.String()] {
			continue
		}
		seen[f.Workload.String()] = true
		out.Failing += f.Rollout.Pods.Failing
		out.Total += f.Rollout.Pods.New + f.Rollout.Pods.FormerReady
		out.Ready += f.Rollout.Pods.FormerReady
	}
	if out.Failing == 0 {
		return nil
	}
	return out
}

// failureOf makes the record of a container of a new revision that fails.
func failureOf(seen *observed, j *trigger.Judgement, p *Pods) v1alpha1.Failure {
	f := &seen.facts
	evidence := j.Evidence
	return v1alpha1.Failure{
		Trigger: v1alpha1.TriggerRollout, Workload: f.Workload, Revision: revisionOf(f), Container: j.Container,
		Cause: j.Cause, Message: j.Message, Since: micro(p.Now()), Rollout: &evidence,
	}
}

// revisionOf names the newest revision of a workload, as a Rollback does; empty if absent.
func revisionOf(f *trigger.Facts) string {
	switch {
	case f.New == nil:
		return ""
	case f.Workload.Kind == kinds.Deployment:
		return strings.TrimPrefix(fmt.Sprintf("%d/%s", f.New.Number, f.New.ID), "0/")
	}
	return f.New.ID
}

// configured looks at the workload that a key is about: whether its newest revision fails by its configuration, or runs
// well.
func (s *observation) configured(ctx context.Context) (out reconcile.PodsSeen, err error) {
	subject := s.key.Subject
	seen, err := s.pods.observe(ctx, s.look, subject.Kind, subject.Name)
	if err != nil {
		return out, err
	}
	h := seen.holder
	if h == nil {
		if h, err = s.get(ctx, subject.Kind, subject.Name); err != nil {
			return out, err
		}
	}
	name := subject.String()
	if h.gone {
		out.Unnamed = name
		return out, nil
	}
	for i := range seen.judged {
		if j := &seen.judged[i]; j.Config {
			out.Failures = append(out.Failures, failureOf(seen, j, s.pods))
		}
	}
	if seen.facts.Workload.Name != "" {
		s.labels[name], s.holders[name] = seen.labels, h
	}
	if pod := trigger.Steady(&seen.facts, ""); pod != "" && len(seen.judged) == 0 {
		out.Steady = fmt.Sprintf("pod %s of %s", pod, name)
	}
	out.Labels, out.Preferences = s.labels, s.preferences()
	out.Revision, out.Pods = revisionOf(&seen.facts), podsOf(out.Failures)
	return out, nil
}

// rolling lists the workloads whose newest revision fails about a key, as it was seen last or as a Rollback recorded.
func (w *Watcher) rolling(key reconcile.Key) []v1alpha1.Workload {
	out := w.crashes.of(key)
	for _, r := range w.indexed(byKey, key.String()) {
		for _, f := range r.Status.Failures {
			if f.Trigger == v1alpha1.TriggerRollout {
				out = append(out, v1alpha1.Workload{Kind: f.Workload.Kind, Name: f.Workload.Name})
			}
		}
	}
	return out
}

// rolls reports whether a kind of workload replaces its pods by those of a new template.
func rolls(kind string) bool {
	return slices.Contains([]string{kinds.Deployment, kinds.StatefulSet, kinds.DaemonSet}, kind)
}
