package watcher

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/watcher/drift"
)

// adrift takes in the workloads that run something else than the key's image although Git says it, and reports whether
// all of those that did have it again.
func (s *observation) adrift(ctx context.Context, known []v1alpha1.Workload) (out []v1alpha1.Failure, restored string,
	err error,
) {
	if s.pods.Wants == nil {
		return nil, "", nil
	}
	all := slices.Clone(known)
	if s.pods.Adrift != nil {
		all = append(all, s.pods.Adrift(s.key)...)
	}
	wants := s.pods.Wants()
	var again []string
	looked, astray := map[string]bool{}, false
	for _, w := range all {
		if looked[w.String()] {
			continue
		}
		looked[w.String()] = true
		h, err := s.get(ctx, w.Kind, w.Name)
		if err != nil {
			return nil, "", err
		}
		if h.gone || h.closed {
			continue
		}
		if _, ok := s.labels[w.String()]; !ok {
			s.labels[w.String()] = h.labels
		}
		failures, err := s.driftsOf(ctx, h, wants)
		switch {
		case err != nil:
			return nil, "", err
		case len(failures) > 0:
			out = append(out, failures...)
		case h.has(s.key.Image()):
			again = append(again, w.String())
		default:
			if err := s.settled(ctx, h, wants); err != nil {
				return nil, "", err
			}
			astray = true
		}
	}
	if len(out) == 0 && !astray {
		restored = strings.Join(again, ", ")
	}
	return out, restored, nil
}

// settled waits for Flux with a workload that is neither changed by hand nor runs what Git says: Flux takes the fields
// of kubectl over first, and puts its own image in a moment later.
func (s *observation) settled(ctx context.Context, h *holder, wants Wanter) error {
	want, err := wants.Want(ctx, s.namespace, h.workload, time.Time{}, nil)
	if err != nil {
		return err
	}
	now, err := newLook(s.client, s.namespace).get(ctx, h.workload.Kind, h.workload.Name)
	switch {
	case err != nil:
		return err
	case want.Busy != "":
		return &reconcile.RetryAfter{After: applyingFor, Err: fmt.Errorf("%w: %s", errApplying, want.Busy)}
	case !maps.Equal(now.images, h.images) || !drift.Equal(now.suspects, h.suspects):
		return &reconcile.RetryAfter{After: applyingFor, Err: fmt.Errorf("%w: %s changes", errApplying, h.workload)}
	}
	return nil
}

// has reports whether a template names an image.
func (h *holder) has(image string) bool {
	for _, i := range h.images {
		if i == image {
			return true
		}
	}
	return false
}

// driftsOf are the containers of a workload for which Git says the key's image.
func (s *observation) driftsOf(ctx context.Context, h *holder, wants Wanter) ([]v1alpha1.Failure, error) {
	if len(h.suspects) == 0 {
		return nil, nil
	}
	all, err := s.drifts(ctx, h, wants)
	if err != nil {
		return nil, &reconcile.RetryAfter{After: applyingFor, Err: err}
	}
	var out []v1alpha1.Failure
	for _, f := range all {
		if f.Git == s.key.Image() {
			out = append(out, f.failure(h, s.pods.Now()))
		}
	}
	return out, nil
}

// failure makes the record of a drift. The same change is the same failure, however often it is looked at, and one
// that is made again after Flux undid it is another one.
func (f *found) failure(h *holder, now time.Time) v1alpha1.Failure {
	when := "at an unknown time"
	if f.Drift.At != nil {
		when = "at " + f.Drift.At.UTC().Format(time.RFC3339)
	}
	d := f.Drift
	return v1alpha1.Failure{
		Trigger: v1alpha1.TriggerDrift, Workload: h.workload, Revision: text.Cut(f.container.Image, 200) + " " + when,
		Container: f.container.Name, Cause: v1alpha1.CauseDrift, Message: f.sentence(), Since: micro(now), Drift: &d,
	}
}

// sentence tells a drift.
func (f *found) sentence() string {
	var b strings.Builder
	by := f.Drift.By
	if by == "" {
		by = "somebody"
	}
	fmt.Fprintf(&b, "%s changed container %s by hand to %s", by, f.container.Name, f.Drift.Live)
	if f.Drift.To != "" {
		fmt.Fprintf(&b, ", back from revision %s to %s", f.Drift.From, f.Drift.To)
	}
	fmt.Fprintf(&b, ", while Git says %s; Flux undoes it %s", f.Git, f.Drift.Undone)
	return b.String()
}

// drifts judges the suspects of a workload.
func (l *look) drifts(ctx context.Context, h *holder, wants Wanter) ([]found, error) {
	history, err := l.history(ctx, h, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	containers, since := map[string][]string{}, time.Time{}
	for _, c := range h.suspects {
		containers[c.Name] = history.Candidates(c)
		if c.At.After(since) {
			since = c.At
		}
	}
	want, err := wants.Want(ctx, l.namespace, h.workload, since, containers)
	switch {
	case err != nil:
		return nil, err
	case want.NotFlux != "":
		return nil, nil
	case want.Busy != "":
		return nil, fmt.Errorf("%w: %s", errApplying, want.Busy)
	}
	var out []found
	for _, c := range h.suspects {
		f := drift.Judge(drift.Facts{
			Container: c, History: history, Git: want.Images[c.Name], Commit: want.Commit, Unsaid: want.Why[c.Name],
		})
		if f.Not != "" {
			continue
		}
		again := want.Again
		if c.By == drift.ByHelm && want.Released != nil {
			again = *want.Released
		}
		f.Drift.UndoneBy, f.Drift.Undone = &want.Reconciler, again.Says()
		f.Drift.UndoneWhy, f.Drift.NeverUndone = again.Why, again.Never
		if !again.Next.IsZero() {
			at := micro(again.Next)
			f.Drift.UndoneAt = &at
		}
		out = append(out, found{c, f})
	}
	return out, nil
}
