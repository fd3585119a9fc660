package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BehaviourLabel of an image's config holds a Behaviour as JSON. An image without it runs well for ever.
const BehaviourLabel = "test.backstop.dev/behaviour"

// Behaviour is what a container of an image does once it is started. The times in its status are forged: they say how
// long a run would have lasted, and nobody waits for it.
type Behaviour struct {
	// Exit code with which each run ends, after RunsFor; RunsFor zero is at once. Times is how often, zero for always.
	Exit    int32         `json:"exit,omitempty"`
	RunsFor time.Duration `json:"runsFor,omitempty"`
	Times   int           `json:"times,omitempty"`
	// Ends means that each run ends, also with exit code 0.
	Ends bool `json:"ends,omitempty"`
	// Reason in place of Error or Completed, such as OOMKilled. StartError ends a run before it began.
	Reason string `json:"reason,omitempty"`
	// Message that it leaves.
	Message string `json:"message,omitempty"`
	// NeverReady runs, and its readiness probe never passes.
	NeverReady bool `json:"neverReady,omitempty"`
	// AsRoot means that the image says no user, and so runs as root.
	AsRoot bool `json:"asRoot,omitempty"`
	// Node on which alone it behaves so; empty for all.
	Node string `json:"node,omitempty"`
}

// life is a container that behaves.
type life struct {
	Behaviour
	// next is when it does something.
	next time.Time
	runs int
}

const (
	// moment is how long a run really lasts: long enough for a controller to see it run.
	moment = 400 * time.Millisecond
	// waits and mostWait are how long a container is let wait before it is started again; a kubelet takes 10 s and 5 min.
	waits    = 500 * time.Millisecond
	mostWait = 8 * time.Second
)

// behaves reads what an image's config says; nil where it runs well.
func behaves(config []byte) *Behaviour {
	var c struct {
		Config struct{ Labels map[string]string }
	}
	var out Behaviour
	said := ""
	if json.Unmarshal(config, &c) == nil {
		said = c.Config.Labels[BehaviourLabel]
	}
	if said == "" || json.Unmarshal([]byte(said), &out) != nil {
		return nil
	}
	return &out
}

// live takes a container on that behaves, and reports when to look again.
func (s *standIn) live(ctx context.Context, pod *corev1.Pod, status *corev1.ContainerStatus, l *life) time.Duration {
	now := time.Now()
	if rest := l.next.Sub(now); rest > 0 {
		return rest
	}
	ends := (l.Exit != 0 || l.Ends || l.Reason != "") && (l.Times == 0 || l.runs <= l.Times)
	switch {
	case status.State.Running != nil && !ends:
		return 0
	case status.State.Running != nil:
		return s.end(ctx, pod, status, l, now)
	}
	l.runs++
	if status.LastTerminationState.Terminated != nil {
		status.RestartCount++
	}
	if l.Reason == "StartError" && (l.Times == 0 || l.runs <= l.Times) {
		return s.end(ctx, pod, status, l, now)
	}
	started := true
	begun := now
	if l.runs > l.Times && l.Times > 0 {
		// It runs well from now on, and has for a while.
		begun = now.Add(-5 * time.Minute)
	}
	status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(begun)}}
	status.Ready, status.Started = !l.NeverReady, &started
	l.next = now.Add(moment)
	return moment
}

// endsItself reports whether the runs of a container end by themselves.
func (s *standIn) endsItself(pod *corev1.Pod, container string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.pods[pod.UID]
	if m == nil || m.lives[container] == nil {
		return false
	}
	l := m.lives[container]
	return l.Times == 0 || l.runs <= l.Times
}

// end ends a run, and lets the container wait.
func (s *standIn) end(ctx context.Context, pod *corev1.Pod, status *corev1.ContainerStatus, l *life, now time.Time,
) time.Duration {
	reason := l.Reason
	if reason == "" {
		reason = "Error"
		if l.Exit == 0 {
			reason = "Completed"
		}
	}
	started := false
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: l.Exit, Reason: reason, Message: l.Message, StartedAt: metav1.NewTime(now.Add(-l.RunsFor)),
		FinishedAt: metav1.NewTime(now), ContainerID: status.ContainerID,
	}}
	status.Ready, status.Started = false, &started
	if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
		status.State = ended
		l.next = now.Add(time.Hour)
		return 0
	}
	status.LastTerminationState = ended
	wait := min(waits<<min(l.runs, 10), mostWait)
	status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
		Reason:  "CrashLoopBackOff",
		Message: backOff(pod, status.Name),
	}}
	s.tellBackOff(ctx, pod, status.Name, now)
	l.next = now.Add(wait)
	return wait
}

func backOff(pod *corev1.Pod, container string) string {
	return fmt.Sprintf("back-off 10s restarting failed container=%s pod=%s_%s(%s)", container, pod.Name, pod.Namespace,
		pod.UID)
}

// tellBackOff writes the event that a kubelet does, or counts it up.
func (s *standIn) tellBackOff(ctx context.Context, pod *corev1.Pod, container string, now time.Time) {
	events := s.client.CoreV1().Events(pod.Namespace)
	name := fmt.Sprintf("%s.%s", pod.Name, container)
	old, err := events.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		old.Count++
		old.LastTimestamp = metav1.NewTime(now)
		_, err = events.Update(ctx, old, metav1.UpdateOptions{})
	} else if apierrors.IsNotFound(err) {
		_, err = events.Create(ctx, &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: pod.Namespace},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name,
				UID: pod.UID, FieldPath: "spec.containers{" + container + "}"},
			Reason: "BackOff", Type: corev1.EventTypeWarning, Count: 1,
			Message: fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", container, pod.Name,
				pod.Namespace, pod.UID),
			FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now),
			Source: corev1.EventSource{Component: "kubelet", Host: pod.Spec.NodeName},
		}, metav1.CreateOptions{})
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Debug("event", "pod", pod.Name, "error", err)
	}
}

// refusesRoot reports whether a kubelet refuses a container because its image runs as root.
func refusesRoot(pod *corev1.Pod, c *corev1.Container, b *Behaviour) bool {
	forbidden := false
	if s := pod.Spec.SecurityContext; s != nil && s.RunAsNonRoot != nil {
		forbidden = *s.RunAsNonRoot
	}
	if s := c.SecurityContext; s != nil && s.RunAsNonRoot != nil {
		forbidden = *s.RunAsNonRoot
	}
	return forbidden && b != nil && b.AsRoot
}

// lacks reports which ConfigMap or Secret a container needs and has not, as a kubelet does; empty where it has all.
func (s *standIn) lacks(ctx context.Context, namespace string, c corev1.Container) (string, error) {
	type need struct{ kind, name, key string }
	var needs []need
	required := func(optional *bool) bool { return optional == nil || !*optional }
	for _, from := range c.EnvFrom {
		if r := from.ConfigMapRef; r != nil && required(r.Optional) {
			needs = append(needs, need{"configmap", r.Name, ""})
		}
		if r := from.SecretRef; r != nil && required(r.Optional) {
			needs = append(needs, need{"secret", r.Name, ""})
		}
	}
	for _, env := range c.Env {
		if env.ValueFrom == nil {
			continue
		}
		if r := env.ValueFrom.ConfigMapKeyRef; r != nil && required(r.Optional) {
			needs = append(needs, need{"configmap", r.Name, r.Key})
		}
		if r := env.ValueFrom.SecretKeyRef; r != nil && required(r.Optional) {
			needs = append(needs, need{"secret", r.Name, r.Key})
		}
	}
	for _, n := range needs {
		keys, err := s.keysOf(ctx, namespace, n.kind, n.name)
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Sprintf("%s %q not found", n.kind, n.name), nil
		case err != nil:
			return "", fmt.Errorf("read %s %s: %w", n.kind, n.name, err)
		case n.key != "" && !slices.Contains(keys, n.key):
			return fmt.Sprintf("couldn't find key %s in %s %s/%s", n.key, map[string]string{
				"secret": "Secret", "configmap": "ConfigMap"}[n.kind], namespace, n.name), nil
		}
	}
	return "", nil
}

// keysOf are the keys of a Secret or ConfigMap.
func (s *standIn) keysOf(ctx context.Context, namespace, kind, name string) ([]string, error) {
	if kind == "secret" {
		o, err := s.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return slices.Collect(maps.Keys(o.Data)), nil
	}
	o, err := s.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(o.Data)), nil
}
