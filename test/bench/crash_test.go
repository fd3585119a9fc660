package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// BenchmarkCrashToQuestion takes the time from the status that makes the evidence of a crash complete, which is that of
// the second restart and has no event, to the question on the Rollback.
func BenchmarkCrashToQuestion(b *testing.B) {
	s := newStage(b, 30+warmUp)
	p := &v1alpha1.RollbackPolicy{}
	s.must(s.client.Get(b.Context(), client.ObjectKey{Namespace: s.fleet.Namespace(env), Name: "apps"}, p))
	p.Spec.Triggers = []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerRollout, Mode: v1alpha1.ModeApprove, GracePeriod: &metav1.Duration{}}}
	s.must(s.client.Update(b.Context(), p))
	s.start(s.release("sidecar"))
	for b.Loop() {
		took := s.crashes()
		times(b, took)
		b.ReportMetric(float64(len(took)), "crashes")
	}
	load(b)
}

// crashes has one app after another crash, and says how long after its second restart a person was asked.
func (s *stage) crashes() []time.Duration {
	s.b.Helper()
	ctx := s.b.Context()
	var took []time.Duration
	for i, app := range s.fleet.Apps {
		s.writeBack([]string{app}, false)
		s.apply(fleet.Tag(env, 1), app)
		pod := s.kubelet.await(s.b, app)
		for restarts := range int32(3) {
			s.must(s.kubelet.crash(ctx, pod, restarts))
			if restarts < 2 {
				// The run and the wait after it: neither is a multiple of how often Backstop looks.
				time.Sleep(time.Duration(1100+137*(i%7)) * time.Millisecond)
			}
		}
		complete := time.Now()
		s.until("the question about "+app, func() error { return s.asksAbout(ctx, app) })
		if i >= warmUp {
			took = append(took, time.Since(complete))
		}
		s.apply(fleet.Tag(env, 0), app)
	}
	return took
}

// asksAbout is an error unless a person is asked about an app's image.
func (s *stage) asksAbout(ctx context.Context, app string) error {
	var all v1alpha1.RollbackList
	if err := s.client.List(ctx, &all, client.InNamespace(s.fleet.Namespace(env))); err != nil {
		return err
	}
	for _, r := range all.Items {
		if r.Spec.Subject.Name == s.fleet.Image(app, fleet.Tag(env, 1)) && r.Status.Question != nil {
			return nil
		}
	}
	return fmt.Errorf("nobody is asked")
}

// crash writes what a kubelet writes when it has started a container again, and the event of the back-off before that.
func (k *kubelet) crash(ctx context.Context, pod *corev1.Pod, restarts int32) error {
	pod = pod.DeepCopy()
	c := pod.Spec.Containers[0]
	now := metav1.Now()
	pod.ResourceVersion = ""
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
	status := corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: c.Image, RestartCount: restarts,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}
	if restarts > 0 {
		status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1,
			StartedAt: metav1.NewTime(now.Add(-time.Second)), FinishedAt: now}
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	if restarts == 1 {
		_, err := k.client.CoreV1().Events(pod.Namespace).Create(ctx, &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{GenerateName: pod.Name + ".", Namespace: pod.Namespace}, Reason: "BackOff", Type: corev1.EventTypeWarning,
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
			LastTimestamp:  now, Count: 1, Message: "Back-off restarting failed container " + c.Name,
		}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("write the event: %w", err)
		}
	}
	_, err := k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	k.mu.Lock()
	delete(k.waiting, c.Name)
	k.mu.Unlock()
	return err
}
