package reconcile

import (
	"context"
	"maps"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// observe has every trigger look.
func (e *Engine) observe(ctx context.Context, key Key, record *v1alpha1.Rollback) (map[v1alpha1.TriggerType]Observation,
	error,
) {
	l := &Look{Key: key, Record: record}
	l.pods = func(ctx context.Context) (PodsSeen, error) { return e.Pods.Failing(ctx, key, l.Known()) }
	if e.Applies != nil {
		l.reconciler = func(ctx context.Context) (*Reconciler, error) { return e.reconciler(ctx, key) }
	}
	out := map[v1alpha1.TriggerType]Observation{}
	for _, t := range e.Triggers {
		o, err := t.Observe(ctx, l)
		if err != nil {
			return nil, err
		}
		o.Failures = fitting(o.Failures)
		out[t.Type] = o
	}
	return out, nil
}

// reconciler reads a Flux object that applies, with what it and its namespace say about going back.
func (e *Engine) reconciler(ctx context.Context, key Key) (*Reconciler, error) {
	a, err := e.Applies.Reconciler(ctx, key)
	if err != nil || a == nil {
		return a, err
	}
	of, err := e.Pods.Owners(ctx, key.Namespace, nil)
	if err != nil {
		return nil, err
	}
	a.Preferences = map[string]Preference{key.Subject.String(): {Annotation: a.Says}}
	maps.Copy(a.Preferences, of.Preferences)
	return a, nil
}
