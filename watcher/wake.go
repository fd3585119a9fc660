package watcher

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// The indexes of Rollbacks.
const (
	// byKey finds the Rollbacks of a reconcile.Key, by its string.
	byKey = "key"
	// byName finds the open Rollbacks that an object concerns, by the string of its v1alpha1.ObjectRef.
	byName = "name"
	// byOpen finds the open Rollbacks of a namespace.
	byOpen = "open"
	// byRefused finds the Rollbacks that wait for access to a source, by noAccess.
	byRefused = "refused"
	noAccess  = "yes"
)

func rollbackIndexers() cache.Indexers {
	return cache.Indexers{
		byKey:  ofRollback(func(r *v1alpha1.Rollback) []string { return []string{keyOf(r).String()} }),
		byName: ofRollback(concerns),
		byOpen: ofRollback(func(r *v1alpha1.Rollback) []string {
			if !open(r) {
				return nil
			}
			return []string{r.Namespace}
		}),
		byRefused: ofRollback(func(r *v1alpha1.Rollback) []string {
			if !open(r) || r.Status.Waiting == nil || r.Status.Waiting.Refused == "" {
				return nil
			}
			return []string{noAccess}
		}),
	}
}

func ofRollback(f func(*v1alpha1.Rollback) []string) cache.IndexFunc {
	return func(obj any) ([]string, error) {
		if r, ok := obj.(*v1alpha1.Rollback); ok {
			return f(r), nil
		}
		return nil, nil
	}
}

func keyOf(r *v1alpha1.Rollback) reconcile.Key {
	return reconcile.KeyOf(r)
}

// open reports that something is still to be done: it has not ended, or a hold of its stands.
func open(r *v1alpha1.Rollback) bool {
	return !r.Status.Ended() || r.Status.HoldStands()
}

// concerns names the objects whose change may take an open Rollback further: the workloads that fail, the Flux
// objects that brought the image in or were asked to apply the revert, and the policies that are held. One that only
// holds any more is lifted by its policies, or in the source: what applies it, for ever, would wake it.
func concerns(r *v1alpha1.Rollback) []string {
	if !open(r) {
		return heals(r)
	}
	var refs []string
	add := func(ref v1alpha1.ObjectRef) {
		if ref.Name != "" {
			refs = append(refs, ref.String())
		}
	}
	policy := func(marker string) {
		if ns, name, ok := strings.Cut(marker, ":"); ok {
			add(v1alpha1.ObjectRef{Kind: kindImagePolicy, Namespace: ns, Name: name})
		}
	}
	rests := r.Status.Ended()
	for _, f := range r.Status.Failures {
		if rests {
			break
		}
		add(v1alpha1.ObjectRef{Kind: f.Workload.Kind, Namespace: r.Namespace, Name: f.Workload.Name})
		if f.Canary != nil {
			add(f.Canary.By)
		}
	}
	if s := r.Status.Suspect; s != nil {
		add(s.Source)
		if !rests {
			add(s.Reconciler)
		}
		if s.Automation != nil {
			add(*s.Automation)
		}
		for _, n := range s.Places {
			policy(n.Marker)
		}
	}
	if c := r.Status.Change; c != nil {
		for _, p := range c.Policies {
			policy(p)
		}
	}
	if q := r.Status.Request; q != nil && !rests {
		for _, o := range q.Objects {
			add(o)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// heals names the workloads of a Rollback that ended although its image was in no Git: it may go as it came.
func heals(r *v1alpha1.Rollback) []string {
	var refs []string
	if r.Status.Outcome.Result != v1alpha1.ResultSourceNotFound {
		return nil
	}
	for _, w := range r.Status.Workloads() {
		refs = append(refs, v1alpha1.ObjectRef{Kind: w.Kind, Namespace: r.Namespace, Name: w.Name}.String())
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// wakeHandler calls wake for every object that was added, changed or deleted. changed reports whether an update
// matters; nil means every one that is not a mere repetition.
func wakeHandler(changed func(before, now metav1.Object) bool, wake func(metav1.Object)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if o, ok := obj.(metav1.Object); ok {
				wake(o)
			}
		},
		UpdateFunc: func(before, now any) {
			a, ok := before.(metav1.Object)
			b, ok2 := now.(metav1.Object)
			if !ok || !ok2 || a.GetResourceVersion() == b.GetResourceVersion() {
				return
			}
			if changed == nil || changed(a, b) {
				wake(b)
			}
		},
		DeleteFunc: func(obj any) {
			// Where the deletion itself was missed, the object comes wrapped, as it was last seen.
			if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = t.Obj
			}
			if o, ok := obj.(metav1.Object); ok {
				wake(o)
			}
		},
	}
}

// asked reports that a person changed something: a spec, annotations, or a deletion. The status is Backstop's own,
// and a walk that woke itself by saving it would do everything twice.
func asked(before, now metav1.Object) bool {
	return before.GetGeneration() != now.GetGeneration() || before.GetUID() != now.GetUID() ||
		!maps.Equal(before.GetAnnotations(), now.GetAnnotations()) ||
		(before.GetDeletionTimestamp() == nil) != (now.GetDeletionTimestamp() == nil)
}

func relabelled(before, now metav1.Object) bool {
	return !maps.Equal(before.GetLabels(), now.GetLabels()) || !maps.Equal(before.GetAnnotations(), now.GetAnnotations())
}
