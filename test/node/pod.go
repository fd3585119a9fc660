package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// memory is what the stand-in knows of a pod beside its status: the pulls that failed, and the containers that behave,
// by container.
type memory struct {
	pulls map[string]*failure
	lives map[string]*life
}

// failure is a pull that failed.
type failure struct {
	reason, message string
	count           int
	// backoff and retry are when ErrImagePull gives way to ImagePullBackOff, and when it is pulled again.
	backoff, retry time.Time
}

// pullError is a failure that is not a pull's, such as a name that does not parse.
type pullError struct{ reason, message string }

func (e *pullError) Error() string { return e.message }

// care takes a bound pod as far as it can be taken now.
func (s *standIn) care(ctx context.Context, pod *corev1.Pod) (time.Duration, error) {
	now := time.Now()
	was := pod.Status.DeepCopy()
	if pod.Status.StartTime == nil {
		begin(pod, now)
		_, err := s.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return 0, err // its change brings it back
	}
	again := time.Duration(0)
	soonest := func(d time.Duration) {
		if d > 0 && (again == 0 || d < again) {
			again = d
		}
	}
	ready := true
	for i, c := range pod.Spec.InitContainers {
		status := &pod.Status.InitContainerStatuses[i]
		soonest(s.run(ctx, pod, c, status))
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		if sidecar && status.State.Running != nil {
			continue
		}
		if status.State.Running != nil && !s.endsItself(pod, c.Name) {
			finish(status, time.Now())
			status.Ready = true // as a kubelet says of an init container that has done its work
		}
		if status.State.Terminated == nil {
			ready = false
			break
		}
	}
	if ready {
		for i, c := range pod.Spec.Containers {
			soonest(s.run(ctx, pod, c, &pod.Status.ContainerStatuses[i]))
		}
		if pod.Spec.RestartPolicy != corev1.RestartPolicyAlways {
			soonest(s.finishJob(pod))
		}
	}
	conclude(pod, ready)
	if equality.Semantic.DeepEqual(was, &pod.Status) {
		return again, nil
	}
	for _, c := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		if w := c.State.Waiting; w != nil && w.Message != "" {
			s.Log.Debug("pod waits", "pod", pod.Namespace+"/"+pod.Name, "container", c.Name, "reason", w.Reason, "message",
				w.Message)
		}
	}
	_, err := s.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return again, err
}

// run pulls a container's image if it is due and starts the container if it can. It reports when to look again.
func (s *standIn) run(ctx context.Context, pod *corev1.Pod, c corev1.Container, status *corev1.ContainerStatus,
) time.Duration {
	s.mu.Lock()
	m := s.pods[pod.UID]
	if m == nil {
		m = &memory{pulls: map[string]*failure{}, lives: map[string]*life{}}
		s.pods[pod.UID] = m
	}
	s.mu.Unlock()
	if l := m.lives[c.Name]; l != nil {
		return s.live(ctx, pod, status, l)
	}
	if status.State.Waiting == nil || status.LastTerminationState.Terminated != nil {
		return 0
	}
	now, failed := time.Now(), m.pulls[c.Name]
	if failed != nil && now.Before(failed.retry) {
		return s.report(status, c.Image, failed, now)
	}
	got, err := s.pullFor(ctx, pod, c)
	now = time.Now()
	if err != nil {
		if failed == nil {
			failed = &failure{}
			m.pulls[c.Name] = failed
		}
		s.failed(failed, err, now)
		return s.report(status, c.Image, failed, now)
	}
	delete(m.pulls, c.Name)
	status.Image, status.ImageID = got.ref, got.repo+"@"+got.digest
	status.ContainerID = "containerd://" + digestOf([]byte(string(pod.UID) + c.Name))[len("sha256:"):]
	if got.alien {
		crash(pod, status, now)
		return 0
	}
	lacks, err := s.lacks(ctx, pod.Namespace, c)
	if refusesRoot(pod, &c, got.behaviour) {
		lacks = "container has runAsNonRoot and image will run as root"
	}
	if err != nil || lacks != "" {
		if lacks != "" {
			status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
				Reason: "CreateContainerConfigError", Message: lacks}}
		}
		return time.Second
	}
	if b := got.behaviour; b != nil && (b.Node == "" || b.Node == pod.Spec.NodeName) {
		l := &life{Behaviour: *b}
		m.lives[c.Name] = l
		return s.live(ctx, pod, status, l)
	}
	started := true
	status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now)}}
	status.Ready, status.Started = true, &started
	return 0
}

// failed takes down one more failure and when to try again.
func (s *standIn) failed(f *failure, err error, now time.Time) {
	f.reason, f.message = "ErrImagePull", err.Error()
	var other *pullError
	if errors.As(err, &other) {
		f.reason = other.reason
	}
	wait := min(s.FirstBackoff<<min(f.count, 20), s.MaxBackoff)
	f.count++
	f.backoff, f.retry = now.Add(min(s.FirstBackoff, wait)/2), now.Add(wait)
}

// report writes a failure into a status: the error first, then the back-off.
func (s *standIn) report(status *corev1.ContainerStatus, image string, f *failure, now time.Time) time.Duration {
	waiting := &corev1.ContainerStateWaiting{Reason: f.reason, Message: f.message}
	status.State = corev1.ContainerState{Waiting: waiting}
	if f.reason != "ErrImagePull" {
		return f.retry.Sub(now)
	}
	if now.Before(f.backoff) {
		return f.backoff.Sub(now)
	}
	waiting.Reason, waiting.Message = "ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q", image)
	if s.Wording != Old {
		waiting.Message += ": " + f.reason + ": " + f.message
	}
	return f.retry.Sub(now)
}

// pullFor pulls an image with the pod's pull secrets.
func (s *standIn) pullFor(ctx context.Context, pod *corev1.Pod, c corev1.Container) (pulled, error) {
	named, err := reference.ParseDockerRef(c.Image)
	if err != nil {
		return pulled{}, &pullError{"InvalidImageName", fmt.Sprintf(
			"Failed to apply default image tag %q: couldn't parse image name %q: %v", c.Image, c.Image, err)}
	}
	if c.ImagePullPolicy == corev1.PullNever {
		return pulled{}, &pullError{"ErrImageNeverPull", fmt.Sprintf(
			"Container image %q is not present with pull policy of Never", c.Image)}
	}
	platform, err := s.platform(ctx, pod.Spec.NodeName)
	if err != nil {
		return pulled{}, err
	}
	logins, err := s.logins(ctx, pod, named)
	if err != nil {
		return pulled{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.PullTimeout)
	defer cancel()
	var got pulled
	for _, as := range logins {
		if got, err = s.puller.pull(ctx, named, platform, as); err == nil {
			break
		}
	}
	return got, err
}

// logins are what the pod's pull secrets hold for an image. Secrets that are missing or broken are passed over, as a
// kubelet does.
func (s *standIn) logins(ctx context.Context, pod *corev1.Pod, named reference.Named) ([]login, error) {
	var all []login
	for _, ref := range pod.Spec.ImagePullSecrets {
		secret, err := s.client.CoreV1().Secrets(pod.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the pull secret %s: %w", ref.Name, err)
		}
		as, ok, err := loginFor(secret.Data[corev1.DockerConfigJsonKey], named)
		if err != nil {
			s.Log.Warn("pull secret", "namespace", pod.Namespace, "secret", ref.Name, "error", err)
			continue
		}
		if ok {
			all = append(all, as)
		}
	}
	if len(all) == 0 {
		all = []login{{}} // nobody
	}
	return all, nil
}
