package watcher

import (
	"strings"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/watcher/drift"
)

// keptWorkload is what is kept of an object with a pod template: its labels, and the few containers of few workloads
// whose image is not Flux's any more. Templates and managedFields, which are most of it, are read once and dropped.
//
// There may be ten thousand of them, so that it takes less than metav1.PartialObjectMetadata: docs/benchmarks.md.
type keptWorkload struct {
	// Object answers for all that is not kept: with nothing.
	metav1.Object
	Name, ResourceVersion string
	UID                   types.UID
	namespace             unique.Handle[string]
	labels                marks
	suspects              []drift.Container
	// template is a hash of its pod template, full says that all pods of it are available, late that it took longer than
	// the workload's own deadline.
	template   uint64
	full, late bool
}

var nothingKept metav1.Object = &metav1.ObjectMeta{}

// keep takes what is kept of an object's own data.
func keep(o metav1.Object) keptWorkload {
	return keptWorkload{
		Object: nothingKept, namespace: unique.Make(o.GetNamespace()), Name: o.GetName(), UID: o.GetUID(),
		ResourceVersion: o.GetResourceVersion(), labels: marksOf(o.GetLabels(), o.GetName()),
	}
}

// GetNamespace is metav1.Object's.
func (k *keptWorkload) GetNamespace() string { return k.namespace.Value() }

// GetName is metav1.Object's.
func (k *keptWorkload) GetName() string { return k.Name }

// GetUID is metav1.Object's.
func (k *keptWorkload) GetUID() types.UID { return k.UID }

// GetResourceVersion is metav1.Object's.
func (k *keptWorkload) GetResourceVersion() string { return k.ResourceVersion }

// GetLabels is metav1.Object's: a map of one's own.
func (k *keptWorkload) GetLabels() map[string]string {
	if len(k.labels) == 0 {
		return nil
	}
	out := make(map[string]string, len(k.labels))
	for _, m := range k.labels {
		out[m.key.Value()] = m.said(k.Name)
	}
	return out
}

// appliedBy reports whether the labels say that an object of Flux applied it, by the group of that object's labels.
func (k *keptWorkload) appliedBy(group, namespace, name string) bool {
	found := 0
	for _, m := range k.labels {
		key, ok := strings.CutPrefix(m.key.Value(), group)
		if said := m.said(k.Name); ok && (key == "/name" && said == name || key == "/namespace" && said == namespace) {
			found++
		}
	}
	return found == 2
}

// marks are labels. Most of their texts are those of all other objects too: they are there once as long as anybody has
// a handle, so that it is handles that are kept.
type marks []mark

// mark is one label. It has no value of its own where that is the object's name, as most values are that no other
// object has.
type mark struct{ key, value unique.Handle[string] }

func marksOf(labels map[string]string, name string) marks {
	out := make(marks, 0, len(labels))
	for key, value := range labels {
		m := mark{key: unique.Make(key)}
		if value != name {
			m.value = unique.Make(value)
		}
		out = append(out, m)
	}
	return out
}

// said is the value of a label of an object of that name.
func (m mark) said(name string) string {
	if m.value == (unique.Handle[string]{}) {
		return name
	}
	return m.value.Value()
}
