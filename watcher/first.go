package watcher

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/watcher/classify"
)

// mostRemembered bounds the first errors: at a kilobyte each they stay under ten megabytes.
const mostRemembered = 8192

// FirstErrors remembers what the kubelet said first about each container that waits for its image, and when. Older
// kubelets hide the reason behind a bare "Back-off pulling image" seconds later. What is remembered of a pod goes
// with the pod; a restart forgets, which is why a Rollback records it.
type FirstErrors struct {
	now   func() time.Time
	mu    sync.Mutex
	pods  map[types.UID]map[string]v1alpha1.Failure
	count int
}

func newFirstErrors(now func() time.Time) *FirstErrors {
	return &FirstErrors{now: now, pods: map[types.UID]map[string]v1alpha1.Failure{}}
}

// note remembers the messages of a pod's waiting containers that tell more than the remembered ones.
func (f *FirstErrors) note(pod types.UID, all []waiting) {
	if len(all) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range all {
		before, ok := f.pods[pod][w.name]
		switch {
		case ok:
			f.pods[pod][w.name] = classify.Better(before, w.failure(before.Since))
			continue
		case f.count >= mostRemembered:
			continue
		case f.pods[pod] == nil:
			f.pods[pod] = map[string]v1alpha1.Failure{}
		}
		f.pods[pod][w.name] = w.failure(micro(f.now()))
		f.count++
	}
}

// recall gives what is remembered of a waiting container together with what it says now.
func (f *FirstErrors) recall(pod types.UID, w waiting, now time.Time) v1alpha1.Failure {
	fresh := w.failure(micro(now))
	if f == nil {
		return fresh
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before, ok := f.pods[pod][w.name]
	if !ok {
		return fresh
	}
	return classify.Better(before, fresh)
}

// forget drops a pod.
func (f *FirstErrors) forget(pod types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count -= len(f.pods[pod])
	delete(f.pods, pod)
}

// waiting is a container that waits for its image, or an image volume that a container waits for.
type waiting struct {
	name, image string
	cause       v1alpha1.Cause
	message     string
}

func (w waiting) failure(since v1alpha1.Time) v1alpha1.Failure {
	return v1alpha1.Failure{
		Trigger: v1alpha1.TriggerImagePull, Container: w.name, Cause: w.cause, Message: w.message, Since: since,
	}
}

// waitingFor lists the containers of a pod that wait for images: init containers and sidecars count like others. A
// debug container is a person's own, of which Git knows nothing.
func waitingFor(pod *corev1.Pod) []waiting {
	return waitingWhere(pod, func(string, string) bool { return true })
}

// waitingWhere is waitingFor for what is wanted, by its name and the pod's image. It asks that first: of hundreds of
// pods that fail at once, each look wants but its own.
func waitingWhere(pod *corev1.Pod, want func(name, image string) bool) []waiting {
	var out []waiting
	for _, statuses := range statusesOf(pod) {
		for i := range statuses {
			s := &statuses[i]
			if s.State.Waiting == nil {
				continue
			}
			name, image, told := subject(pod, s)
			if !want(name, image) {
				continue
			}
			if cause, ok := classify.Of(s.State.Waiting.Reason, s.State.Waiting.Message, image); ok {
				if !told {
					cause = v1alpha1.CauseUnknown
				}
				out = append(out, waiting{
					name: name, image: image, cause: cause, message: classify.Words(s.State.Waiting.Message),
				})
			}
		}
	}
	return out
}

// micro is a time as the API server keeps it: what is compared with its record later must not be finer.
func micro(t time.Time) v1alpha1.Time { return v1alpha1.NewTime(t.Truncate(time.Microsecond)) }

// statusesOf are the statuses of a pod's containers: init containers and sidecars, and the others.
func statusesOf(pod *corev1.Pod) [2][]corev1.ContainerStatus {
	return [2][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses}
}
