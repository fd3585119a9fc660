package watcher

import (
	"context"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Pods gives the live reader that knows the first errors that the Watcher saw.
func (w *Watcher) Pods() *Pods {
	return &Pods{
		Client: w.clients.Core, Now: w.opts.Now, First: w.first, Since: w.failingSince, Asking: w.asking, Seen: w.seen,
		Wants: w.opts.Wants, Adrift: w.drifts.of, Namespace: w.namespaceAnnotations,
		Rolling: w.rolling, Remembers: w.templates.of, Judging: w.judging, Custom: w.clients.Custom, Promoted: w.promoted.of,
		listings: w.listings,
	}
}

// Failing lists the containers in the key's namespace that wait for its image, and describes what is known of pods that
// have it. known are workloads that a Rollback already names: their pods are looked at too. Pods that are being
// deleted and pods of a revision whose image the workload does not ask for any more do not count as failing. Where the
// key is about a workload it looks at that alone.
func (p *Pods) Failing(ctx context.Context, key reconcile.Key, known []v1alpha1.Workload) (reconcile.PodsSeen, error) {
	s := &observation{
		look: newLook(p.Client, key.Namespace), pods: p, key: key,
		found: map[failureID]v1alpha1.Failure{}, labels: map[string]map[string]string{}, made: map[string]time.Time{},
	}
	if key.Image() == "" {
		return s.configured(ctx)
	}
	narrow, err := s.pending(ctx)
	if err != nil {
		return reconcile.PodsSeen{}, err
	}
	out := reconcile.PodsSeen{Failures: s.failures(), Labels: s.labels}
	all := slices.Clone(known)
	for _, f := range out.Failures {
		all = append(all, f.Workload)
	}
	seen := map[string]bool{}
	for _, workload := range all {
		if seen[workload.String()] {
			continue
		}
		seen[workload.String()] = true
		if err := s.running(ctx, workload); err != nil {
			return reconcile.PodsSeen{}, err
		}
	}
	if narrow && s.started != "" && len(out.Failures) == 0 {
		// Nothing is taken for recovered by what the watch has not seen yet.
		if err := s.all(ctx); err != nil {
			return reconcile.PodsSeen{}, err
		}
		out.Failures = s.failures()
	}
	out.Started, out.RanHere, out.Pods = s.started, s.ranHere, s.count()
	drifted, restored, err := s.adrift(ctx, known)
	if err != nil {
		return reconcile.PodsSeen{}, err
	}
	out.Failures, out.Restored = append(out.Failures, drifted...), restored
	rolled, steady, err := s.rollouts(ctx)
	if err != nil {
		return reconcile.PodsSeen{}, err
	}
	out.Failures, out.Steady = append(out.Failures, rolled...), steady
	refused, promoted, err := s.canaries(ctx)
	if err != nil {
		return reconcile.PodsSeen{}, err
	}
	out.Failures, out.Promoted = append(out.Failures, refused...), promoted
	if out.Pods == nil {
		out.Pods = podsOf(rolled)
	}
	out.Preferences = s.preferences()
	if len(out.Failures) == 0 {
		out.Unnamed, err = s.unnamed(ctx, known)
	}
	return out, err
}

// unnamed names the workloads, if none of them asks for the image any more. One that is gone asks for nothing; one that
// may not be read, or has no template, may still do.
func (s *observation) unnamed(ctx context.Context, known []v1alpha1.Workload) (string, error) {
	var out []string
	for _, w := range known {
		h, err := s.get(ctx, w.Kind, w.Name)
		switch {
		case err != nil:
			return "", err
		case h.closed, w.Kind == kindPod, h.has(s.key.Image()):
			return "", nil
		case !slices.Contains(out, w.String()):
			out = append(out, w.String())
		}
	}
	return strings.Join(out, ", "), nil
}

// count adds up the pods of the failing workloads. What an owner says of its pods may lag behind the pods.
func (s *observation) count() *v1alpha1.PodCount {
	if s.waiting == 0 {
		return nil
	}
	out := &v1alpha1.PodCount{Failing: s.waiting}
	counted := map[string]bool{}
	for id := range s.found {
		// The look has read them already.
		if h := s.holders[id.kind+"/"+id.name]; h != nil && !counted[id.kind+"/"+id.name] {
			counted[id.kind+"/"+id.name] = true
			out.Total += h.pods
			out.Ready += h.ready
		}
	}
	if out.Total > 0 {
		out.Total = max(out.Total, out.Failing+out.Ready)
	}
	return out
}

// Delete deletes a pod, that very one. One that is gone is no error, nor is another one of its name.
func (p *Pods) Delete(ctx context.Context, namespace string, pod reconcile.StuckPod) error {
	uid := types.UID(pod.UID)
	err := p.Client.CoreV1().Pods(namespace).Delete(ctx, pod.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
