package watcher

import (
	"sync"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// lastFound is what the last look at each workload found, for as long as there is something: it is what is enqueued
// when it is over.
type lastFound[T any] struct {
	mu   sync.Mutex
	seen map[v1alpha1.ObjectRef][]T
}

func (f *lastFound[T]) get(ref v1alpha1.ObjectRef) []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[ref]
}

func (f *lastFound[T]) set(ref v1alpha1.ObjectRef, what []T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(what) == 0 {
		delete(f.seen, ref)
		return
	}
	if f.seen == nil {
		f.seen = map[v1alpha1.ObjectRef][]T{}
	}
	f.seen[ref] = what
}

// workloads are those of which something was found that is asked for.
func (f *lastFound[T]) workloads(asked func(v1alpha1.ObjectRef, []T) bool) []v1alpha1.Workload {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []v1alpha1.Workload
	for ref, what := range f.seen {
		if asked(ref, what) {
			out = append(out, v1alpha1.Workload{Kind: ref.Kind, Name: ref.Name})
		}
	}
	return out
}
