package watcher

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	kinds "github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// eventsOf asks for events of one selection.
func eventsOf(c kubernetes.Interface, selector string) makeInformer {
	return func(namespace string, ix cache.Indexers) (cache.SharedIndexInformer, error) {
		return coreinformers.NewFilteredEventInformer(c, namespace, 0, ix, func(o *metav1.ListOptions) {
			o.FieldSelector = selector
		}), nil
	}
}

// slimEvent keeps of an event which object it is about.
func slimEvent(obj any) (any, error) {
	e, err := whole[corev1.Event](obj, "an event")
	if err != nil {
		return nil, err
	}
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: e.Namespace, Name: e.Name, UID: e.UID, ResourceVersion: e.ResourceVersion,
		},
		InvolvedObject: corev1.ObjectReference{Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name},
	}, nil
}

// eventHandler enqueues the pod or Job that an event is about. Events that go are no news.
func (w *Watcher) eventHandler(kind string) cache.ResourceEventHandler {
	see := func(obj any) {
		if e, ok := obj.(*corev1.Event); ok && e.InvolvedObject.Name != "" {
			w.crashes.queue.Add(v1alpha1.ObjectRef{Kind: kind, Namespace: e.Namespace, Name: e.InvolvedObject.Name})
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: see, UpdateFunc: func(before, now any) {
		a, ok := before.(*corev1.Event)
		b, ok2 := now.(*corev1.Event)
		if ok && ok2 && a.ResourceVersion != b.ResourceVersion {
			see(now)
		}
	}}
}

// looksAt is how long after its template changed a workload is looked at: events may be lost, and a pod that does not
// become ready has none.
var looksAt = []time.Duration{20 * time.Second, time.Minute, 10*time.Minute + 5*time.Second}

// nextLook is after how long a workload is looked at again whose template is of that age; zero for not at all.
func nextLook(age time.Duration) time.Duration {
	for _, at := range looksAt {
		if age < at {
			return at - age
		}
	}
	return 0
}

// seeTemplate takes in what a workload's object says of its template.
func (w *Watcher) seeTemplate(ref v1alpha1.ObjectRef, before, now *keptWorkload) {
	if !rolls(ref.Kind) {
		return
	}
	if before != nil && before.UID != now.UID {
		w.templates.forget(before.UID)
	}
	changed := w.templates.note(now.UID, now.template, now.full, w.opts.Now())
	switch {
	case changed, before == nil && !now.full:
		w.crashes.queue.AddAfter(ref, nextLook(0))
	case now.late && (before == nil || !before.late):
		w.crashes.queue.Add(ref)
	case len(w.crashes.get(ref)) > 0 && before != nil && before.full != now.full:
		w.crashes.queue.Add(ref)
	}
}

// appliedBy is the group of the labels by which Flux's objects mark what they apply.
var appliedBy = map[string]string{
	"Kustomization": "kustomize.toolkit.fluxcd.io", "HelmRelease": "helm.toolkit.fluxcd.io",
}

// nudgeRollouts looks at the workloads of a Flux object that are not available, as far as the watch knows.
func (w *Watcher) nudgeRollouts(ref v1alpha1.ObjectRef) {
	group, ok := appliedBy[ref.Kind]
	if !ok {
		return
	}
	for _, kind := range []string{kinds.Deployment, kinds.StatefulSet, kinds.DaemonSet} {
		for _, inf := range w.informers[kind] {
			for _, obj := range inf.GetStore().List() {
				wl, ok := obj.(*keptWorkload)
				if ok && !wl.full && wl.appliedBy(group, ref.Namespace, ref.Name) {
					w.crashes.queue.Add(refOfWorkload(kind, wl))
				}
			}
		}
	}
}

// mayBeOver wakes what a Rollback tells of a workload's configuration, where it tells something: it is over once the
// pods have run for a while.
func (w *Watcher) mayBeOver(ref v1alpha1.ObjectRef) bool {
	about := workloadKey(ref.Namespace, ref.Kind, ref.Name)
	tells := w.tells(about)
	if tells {
		w.queue.Add(about)
	}
	return tells
}

// settles is after how long a workload is looked at again about which nothing is to be done yet.
func (w *Watcher) settles(seen *observed) time.Duration {
	incomplete := slices.ContainsFunc(seen.judged, func(j trigger.Judgement) bool { return !j.Complete })
	if incomplete && w.soonTold(seen) {
		return settlesWithin
	}
	return unsettledFor
}

// failsOn is after how long a workload is looked at again that fails. Where all that is missing is a second node, more
// pods of it tell soon, and not every start of theirs has an event.
func (w *Watcher) failsOn(seen *observed) time.Duration {
	if slices.ContainsFunc(seen.judged, trigger.Judgement.Spreads) && w.soonTold(seen) {
		return settlesWithin
	}
	return failingFor
}

// soonTold reports whether the pods of a new revision are still in their first starts, and few others are.
func (w *Watcher) soonTold(seen *observed) bool {
	rev := seen.facts.New
	return rev != nil && w.opts.Now().Sub(rev.Made) < youngFor && w.crashes.queue.Len() < fewUnsettled
}

// Nudge enqueues what concerns an object that somebody says has changed. It is for hints from outside the API server:
// all that counts is read live.
func (w *Watcher) Nudge(ref v1alpha1.ObjectRef) {
	w.wakeConcerned(ref.Kind)(&metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name})
	w.nudgeRollouts(ref)
	if group, ok := applyingGroups[ref.Kind]; ok {
		w.queue.Add(applyKey(group, ref))
	}
}
