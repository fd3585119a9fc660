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
// There are ten thousand of them: this is a third of the memory that metav1.PartialObjectMetadata takes.
type keptWorkload struct {
	// Object answers for all that is not kept: with nothing.
	metav1.Object
	Namespace, Name, ResourceVersion string
	UID                              types.UID
	labels                           marks
	suspects                         []drift.Container
	// template is a hash of its pod template, full says that all pods of it are available, late that it took longer than
	// the workload's own deadline.
	template   uint64
	full, late bool
}

var nothingKept metav1.Object = &metav1.ObjectMeta{}

// keep takes what is kept of an object's own data.
func keep(o metav1.Object) keptWorkload {
	return keptWorkload{
		Object: nothingKept, Namespace: unique.Make(o.GetNamespace()).Value(), Name: o.GetName(), UID: o.GetUID(),
		ResourceVersion: o.GetResourceVersion(), labels: marksOf(o.GetLabels(), o.GetName()),
	}
}

// GetNamespace is metav1.Object's.
func (k *keptWorkload) GetNamespace() string { return k.Namespace }

// GetName is metav1.Object's.
func (k *keptWorkload) GetName() string { return k.Name }

// GetUID is metav1.Object's.
func (k *keptWorkload) GetUID() types.UID { return k.UID }

// GetResourceVersion is metav1.Object's.
func (k *keptWorkload) GetResourceVersion() string { return k.ResourceVersion }

// GetLabels is metav1.Object's: a map of one's own.
func (k *keptWorkload) GetLabels() map[string]string { return k.labels.all() }

// marks are labels. Most of their texts are those of all other objects too, and there once.
type marks []mark

type mark struct{ key, value string }

// marksOf keeps labels. A value that has the object's own name, as most do that no other object has, is that name.
func marksOf(labels map[string]string, name string) marks {
	out := make(marks, 0, len(labels))
	for key, value := range labels {
		m := mark{key: unique.Make(key).Value(), value: name}
		if value != name {
			m.value = unique.Make(value).Value()
		}
		out = append(out, m)
	}
	return out
}

func (m marks) all() map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for _, one := range m {
		out[one.key] = one.value
	}
	return out
}

// madeBy reports whether the labels say that an object of Flux applied it, by the group of that object's labels.
func (m marks) madeBy(group, namespace, name string) bool {
	found := 0
	for _, one := range m {
		key, ok := strings.CutPrefix(one.key, group)
		if ok && (key == "/name" && one.value == name || key == "/namespace" && one.value == namespace) {
			found++
		}
	}
	return found == 2
}
