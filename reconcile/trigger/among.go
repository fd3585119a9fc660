package trigger

import (
	"context"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
)

// among has a trigger look for its failures among the pods that use an image, and those of a workload. more adds what
// else it goes by, such as what proves that all is well again.
func among(t v1alpha1.TriggerType, more func(o *reconcile.Observation, pods *reconcile.PodsSeen),
) func(context.Context, *reconcile.Look) (reconcile.Observation, error) {
	return func(ctx context.Context, l *reconcile.Look) (reconcile.Observation, error) {
		_, ofWorkload := workload.Of(l.Key.Subject.Kind)
		if l.Key.Image() == "" && !(ofWorkload && t == v1alpha1.TriggerRollout) {
			return reconcile.Observation{}, nil
		}
		pods, err := l.Pods(ctx)
		if err != nil {
			return reconcile.Observation{}, err
		}
		o := reconcile.Observation{
			Failures: pods.Of(t), Unnamed: pods.Unnamed, Labels: pods.Labels, Preferences: pods.Preferences,
		}
		more(&o, &pods)
		return o, nil
	}
}

// recovered ends what a trigger saw where something is seen to be well again. An image that no Git says was put in by
// hand, and is over when nobody asks for it any more.
func recovered(w *reconcile.World, t v1alpha1.TriggerType, words string) *reconcile.Ending {
	s, now := &w.Rollback.Status, w.Seen[t]
	switch {
	case s.Ended() && s.Outcome.Result == v1alpha1.ResultSourceNotFound && now.Unnamed != "":
		return &reconcile.Ending{Result: v1alpha1.ResultRecovered,
			Sentence: reconcile.NeverInGit(now.Unnamed, w.Rollback.Spec.Subject)}
	case now.Over != "":
		return &reconcile.Ending{Result: v1alpha1.ResultRecovered, Sentence: now.Over + " " + words}
	}
	return nil
}
