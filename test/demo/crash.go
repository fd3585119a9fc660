package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/node"
)

// front is the app that crashes. It has no readiness probe, as most have none.
const front = "frontend"

// crash is the third story: an image that can be pulled and whose process ends as it starts. Each new pod counts as
// available for a moment, so that the rollout takes both old pods away, and a person decides.
func (w *world) crash(ctx context.Context) error {
	good, bad := tag(ns, "1.0.0", 0), tag(ns, "1.1.0", 300)
	w.say("pushing %s of %s to the registry: it can be pulled, and its process ends as it starts", bad, front)
	if _, err := w.registry.PushLabelled(front, bad, map[string]string{
		node.BehaviourLabel: `{"exit": 1, "message": "panic: no route to the cache"}`,
	}); err != nil {
		return err
	}
	err := w.tell(ctx,
		w.fileSays(front, bad+" #", "written back: image automation committed it (%s)"),
		w.oldPodsGone(w.image(front, good), w.image(front, bad)),
		w.rollback(w.image(front, bad), func(s *v1alpha1.RollbackStatus) (string, bool) {
			if s.Target == nil || s.Target.Image == "" {
				return s.Phase, false
			}
			return fmt.Sprintf("blamed: %.7s, and Git goes back to %s: %s", s.Suspect.Commit, s.Target.Image, s.Target.Proof),
				true
		}),
	)
	if err != nil {
		return err
	}
	approved, err := w.approval(ctx, w.image(front, bad))
	if err != nil {
		return err
	}
	if !approved {
		return w.tell(ctx, w.isRecord(w.image(front, bad)))
	}
	return w.tell(ctx, w.reverted(front, good, bad)...)
}

// oldPodsGone waits until no pod of the app runs the good image any more, and one with the bad image has crashed.
func (w *world) oldPodsGone(good, bad string) chapter {
	return chapter{limit: 3 * time.Minute, until: func(ctx context.Context) (string, bool, error) {
		var pods corev1.PodList
		if err := w.client.List(ctx, &pods, client.InNamespace(ns), client.MatchingLabels{"app": front}); err != nil {
			return "", false, err
		}
		old, crashed := 0, ""
		for _, p := range pods.Items {
			for _, c := range p.Status.ContainerStatuses {
				if p.DeletionTimestamp == nil && c.Image == good {
					old++
				}
				if end := c.LastTerminationState.Terminated; c.Image == bad && end != nil && c.RestartCount > 0 {
					crashed = fmt.Sprintf("exit code %d, %s", end.ExitCode, strings.TrimSpace(end.Message))
				}
			}
		}
		return fmt.Sprintf("pods crash (%s), and %d of the 2 old ones are left", crashed, old), old == 0 && crashed != "", nil
	}}
}
