package watcher

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// observations turns failing pods into keys. The image of a key is the one in the template of the pod's owner. Reading
// it takes a request to the API server, so workers do it and not the handlers. What a pod's containers were found to
// ask for is remembered as long as the pod is Pending: it is what is enqueued when it goes.
type observations struct {
	queue workqueue.TypedRateLimitingInterface[types.NamespacedName]
	mu    sync.Mutex
	seen  map[types.NamespacedName]seenPod
}

// seenPod is a pod that was seen waiting for an image, with the template's images by container.
type seenPod struct {
	uid    types.UID
	images map[string]string
	// workload is KIND/NAME of its owner; empty before that was read.
	workload string
	// unsure means that the owner did not know the pod's revision: it may be about to.
	unsure bool
}

func newObservations(q workqueue.TypedRateLimitingInterface[types.NamespacedName]) *observations {
	return &observations{queue: q, seen: map[types.NamespacedName]seenPod{}}
}

// see enqueues a pod if it waits for an image or did. The many pods that are merely starting cost nothing.
func (s *observations) see(ref types.NamespacedName, uid types.UID, waits bool) {
	s.mu.Lock()
	_, known := s.seen[ref]
	if waits && !known {
		// Noted before the worker has looked, so that a pod that goes in between is cleaned up after.
		s.seen[ref] = seenPod{uid: uid}
	}
	s.mu.Unlock()
	if waits || known {
		s.queue.Add(ref)
	}
}

func (s *observations) get(ref types.NamespacedName) seenPod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[ref]
}

// count reports how many pods of a namespace wait for an image.
func (s *observations) count(namespace string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ref := range s.seen {
		if ref.Namespace == namespace {
			n++
		}
	}
	return n
}

// in copies what is known of the pods of a namespace. A seenPod's map is never written again.
func (s *observations) in(namespace string) map[types.NamespacedName]seenPod {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[types.NamespacedName]seenPod{}
	for ref, p := range s.seen {
		if ref.Namespace == namespace {
			out[ref] = p
		}
	}
	return out
}

func (s *observations) set(ref types.NamespacedName, p seenPod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[ref] = p
}

func (s *observations) forget(ref types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, ref)
}
