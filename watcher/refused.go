package watcher

import (
	"cmp"
	"context"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// canaries adds the updates to the key's image that canaries refuse. Where all canaries have promoted the image that
// should run, it names them.
func (s *observation) canaries(ctx context.Context) (out []v1alpha1.Failure, promoted string, err error) {
	if s.pods.Judging == nil || s.key.Image() == "" {
		return nil, "", nil
	}
	well := true
	for _, ref := range s.pods.Judging(s.key) {
		seen, err := s.pods.judgement(ctx, s.look, ref)
		if err != nil {
			return nil, "", err
		}
		mine := false
		for i := range seen.all {
			one := &seen.all[i]
			if !blames(one) || one.Image != s.key.Image() {
				continue
			}
			mine = true
			out = append(out, refusal(seen, one, s.pods))
			name := seen.status.Workload.String()
			s.labels[name], s.holders[name] = seen.holder.labels, seen.holder
		}
		switch {
		case mine, !seen.gone && !seen.well(s.key.Image()):
			well = false
		case promoted == "":
			promoted = ref.Kind + "/" + ref.Name
		default:
			promoted += ", " + ref.Kind + "/" + ref.Name
		}
	}
	if !well {
		promoted = ""
	}
	return out, promoted, nil
}

// refusal makes the record of a refused update. The same update that is refused again after it was reverted is
// another failure.
func refusal(seen *judged, one *trigger.Judgement, p *Pods) v1alpha1.Failure {
	revision := seen.status.Spec
	if at := one.Canary.At; at != nil {
		revision += " at " + at.UTC().Format("2006-01-02T15:04:05Z")
	}
	return v1alpha1.Failure{
		Trigger: v1alpha1.TriggerCanary, Workload: seen.facts.Status.Workload, Revision: revision, Container: one.Container,
		Cause: one.Cause, Message: one.Message, Since: micro(p.Now()), Canary: one.Canary,
	}
}

// judging lists the canaries that refuse an update to a key's image, as was seen last or as a Rollback recorded.
func (w *Watcher) judging(key reconcile.Key) []v1alpha1.ObjectRef {
	var out []v1alpha1.ObjectRef
	add := func(ref v1alpha1.ObjectRef) {
		if judges(ref.Kind) && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	for _, wl := range w.crashes.of(key) {
		add(v1alpha1.ObjectRef{Kind: wl.Kind, Namespace: key.Namespace, Name: wl.Name})
	}
	for _, r := range w.indexed(byKey, key.String()) {
		for _, f := range r.Status.Failures {
			if f.Canary != nil {
				add(v1alpha1.ObjectRef{Kind: f.Canary.By.Kind, Namespace: key.Namespace, Name: f.Canary.By.Name})
			}
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.ObjectRef) int { return cmp.Compare(a.String(), b.String()) })
	return out
}
