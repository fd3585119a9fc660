package watcher

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// What is given out here is as old as the watch, and a copy where nothing else is said.

// Rollbacks lists all Rollbacks.
func (w *Watcher) Rollbacks() []v1alpha1.Rollback { return copies(w.rollbacks()) }

// Open lists the Rollbacks that have not ended. They are read and not written: what they hold is the cache's own, since
// hundreds that are open would copy hundreds at each step.
func (w *Watcher) Open(context.Context) ([]v1alpha1.Rollback, error) {
	if err := w.Synced(); err != nil {
		return nil, err
	}
	var out []v1alpha1.Rollback
	for _, r := range w.rollbacks() {
		if !r.Status.Ended() {
			out = append(out, *r)
		}
	}
	return out, nil
}

// Count reports how many Rollbacks a namespace has.
func (w *Watcher) Count(namespace string) int {
	n := 0
	for _, r := range w.rollbacks() {
		if r.Namespace == namespace {
			n++
		}
	}
	return n
}

// OfKey lists the Rollbacks of a key.
func (w *Watcher) OfKey(key reconcile.Key) []v1alpha1.Rollback {
	return copies(w.indexed(byKey, key.String()))
}

// Policies lists all RollbackPolicies, and gives the labels of a namespace. A Backstop that watches named namespaces
// only does not read their labels: it has no fleet default that would select by them.
func (w *Watcher) Policies(_ context.Context, namespace string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	if err := w.Synced(); err != nil {
		return nil, nil, err
	}
	var out []v1alpha1.RollbackPolicy
	for _, inf := range w.informers[kindRollbackPolicy] {
		for _, obj := range inf.GetStore().List() {
			if p, ok := obj.(*v1alpha1.RollbackPolicy); ok {
				out = append(out, *p.DeepCopy())
			}
		}
	}
	m, err := w.namespace(namespace)
	switch {
	case err != nil:
		return nil, nil, err
	case m == nil && w.everywhere():
		// Without its labels no fleet's policy would pick it, and its own would count alone.
		return nil, nil, fmt.Errorf("namespace %s is not known yet", namespace)
	case m == nil:
		return out, nil, nil
	}
	return out, m.Labels, nil
}

// Subjects lists the watched workloads as policies select them.
func (w *Watcher) Subjects() ([]reconcile.Subject, error) {
	if err := w.Synced(); err != nil {
		return nil, err
	}
	var out []reconcile.Subject
	namespaces := map[string]map[string]string{}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		for _, inf := range w.informers[kind] {
			for _, obj := range inf.GetStore().List() {
				m, ok := obj.(*keptWorkload)
				if !ok {
					continue
				}
				in := m.GetNamespace()
				if _, known := namespaces[in]; !known {
					labels, err := w.namespaceLabels(in)
					if err != nil {
						return nil, err
					}
					namespaces[in] = labels
				}
				out = append(out, reconcile.Subject{
					Name: kind + "/" + m.Name, Namespace: in, NamespaceLabels: namespaces[in], Labels: m.GetLabels(),
				})
			}
		}
	}
	return out, nil
}

func (w *Watcher) namespaceLabels(namespace string) (map[string]string, error) {
	m, err := w.namespace(namespace)
	if err != nil || m == nil {
		return nil, err
	}
	return m.Labels, nil
}

// namespaceAnnotations are those that are kept of a namespace.
func (w *Watcher) namespaceAnnotations(namespace string) map[string]string {
	m, err := w.namespace(namespace)
	if err != nil || m == nil {
		return nil
	}
	return m.Annotations
}

// namespace is what is kept of a namespace, as a copy; nil where it is not known.
func (w *Watcher) namespace(name string) (*metav1.PartialObjectMetadata, error) {
	for _, inf := range w.informers[kindNamespace] {
		obj, ok, err := inf.GetStore().GetByKey(name)
		if err != nil {
			return nil, fmt.Errorf("read namespace %s: %w", name, err)
		}
		if m, isMeta := obj.(*metav1.PartialObjectMetadata); ok && isMeta {
			return m.DeepCopy(), nil
		}
	}
	return nil, nil
}

// failingSince reports when the newest Rollback of a key first recorded a workload as failing.
func (w *Watcher) failingSince(key reconcile.Key, workload v1alpha1.Workload) (time.Time, bool) {
	var newest *v1alpha1.Rollback
	for _, r := range w.indexed(byKey, key.String()) {
		if newest == nil || reconcile.Ordinal(newest) < reconcile.Ordinal(r) {
			newest = r
		}
	}
	var since time.Time
	if newest == nil {
		return since, false
	}
	for _, f := range newest.Status.Failures {
		if f.Workload.Kind == workload.Kind && f.Workload.Name == workload.Name &&
			(since.IsZero() || f.Since.Time.Before(since)) {
			since = f.Since.Time
		}
	}
	return since, !since.IsZero()
}

// rollbackName names the open Rollback of a key for the log; empty if absent.
func (w *Watcher) rollbackName(key reconcile.Key) string {
	for _, r := range w.indexed(byKey, key.String()) {
		if open(r) {
			return r.Name
		}
	}
	return ""
}

func copies(in []*v1alpha1.Rollback) []v1alpha1.Rollback {
	out := make([]v1alpha1.Rollback, 0, len(in))
	for _, r := range in {
		out = append(out, *r.DeepCopy())
	}
	return out
}
