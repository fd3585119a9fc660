package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/backstop-dev/backstop/test/fleet"
)

// kubelet runs pods of good images at once, lets deleted pods go, and keeps pods of bad images for the benchmark to
// fail.
type kubelet struct {
	s      *stage
	client kubernetes.Interface

	mu sync.Mutex
	// waiting are the pods of bad images by app.
	waiting map[string]*corev1.Pod
	came    chan struct{}
}

// newKubelet watches the fleet's pods until the benchmark ends.
func newKubelet(s *stage) *kubelet {
	config := rest.CopyConfig(s.plane.Config)
	config.ContentType = runtime.ContentTypeProtobuf
	c, err := kubernetes.NewForConfig(config)
	s.must(err)
	k := &kubelet{s: s, client: c, waiting: map[string]*corev1.Pod{}, came: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	w, err := c.CoreV1().Pods(s.fleet.Namespace(env)).Watch(ctx, metav1.ListOptions{})
	s.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range w.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || event.Type == "DELETED" {
				continue
			}
			if err := k.sync(ctx, pod); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				s.b.Errorf("the kubelet stand-in: %v", err)
			}
		}
	}()
	s.b.Cleanup(func() {
		cancel()
		w.Stop()
		<-done
	})
	return k
}

func (k *kubelet) sync(ctx context.Context, pod *corev1.Pod) error {
	c := pod.Spec.Containers[0]
	switch {
	case pod.DeletionTimestamp != nil:
		now := int64(0)
		return k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	case len(pod.Status.ContainerStatuses) > 0:
		return nil
	case !strings.HasSuffix(c.Image, ":"+fleet.Tag(env, 0)):
		k.mu.Lock()
		k.waiting[c.Name] = pod
		k.mu.Unlock()
		select {
		case k.came <- struct{}{}:
		default:
		}
		return nil
	}
	_, err := k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, running(pod), metav1.UpdateOptions{})
	return err
}

// running is a pod whose first container runs.
func running(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	now := metav1.Now()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.StartTime = &now
	pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
	}
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image, Ready: true,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return pod
}

// await waits for an app's pod of a bad image.
func (k *kubelet) await(b *testing.B, app string) *corev1.Pod {
	b.Helper()
	late := time.After(time.Minute)
	for {
		k.mu.Lock()
		pod := k.waiting[app]
		k.mu.Unlock()
		if pod != nil {
			return pod
		}
		select {
		case <-k.came:
		case <-time.After(100 * time.Millisecond):
		case <-late:
			b.Fatalf("no pod of the bad image of %s came", app)
		}
	}
}

// fail writes what a kubelet writes for an image that does not exist, and gives the moment before it did.
func (k *kubelet) fail(ctx context.Context, pod *corev1.Pod) (time.Time, error) {
	pod = pod.DeepCopy()
	c := pod.Spec.Containers[0]
	pod.ResourceVersion = "" // whatever it is by now: a kubelet patches
	pod.Status.Phase = corev1.PodPending
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: c.Name, Image: c.Image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "ErrImagePull",
			Message: fmt.Sprintf("rpc error: code = NotFound desc = failed to pull and unpack image %[1]q: "+
				"failed to resolve reference %[1]q: %[1]s: not found", c.Image),
		}},
	}}
	start := time.Now()
	_, err := k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	k.mu.Lock()
	delete(k.waiting, c.Name)
	k.mu.Unlock()
	return start, err
}
