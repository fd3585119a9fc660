package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// chapter is one step of the story: what is waited for, and the line that is printed when it was observed.
type chapter struct {
	until func(context.Context) (said string, ok bool, err error)
	limit time.Duration
}

// tell goes through the chapters; each must be observed, in the cluster and in Git, for the next to begin.
func (w *world) tell(ctx context.Context, chapters ...chapter) error {
	for _, c := range chapters {
		if err := w.await(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) await(ctx context.Context, c chapter) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		said, ok, err := c.until(ctx)
		if ok {
			w.say("%s", said)
			return nil
		}
		switch {
		case ctx.Err() != nil: // what the time ran out for was said before
		case err != nil:
			last = err.Error()
		default:
			last = said
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not observed within %s: %s", c.limit, last)
		case <-w.sidecarDone():
			return errors.New("the sidecar ended by itself: see its log")
		case <-w.fluxDone():
			return errors.New("a controller of Flux ended by itself: see its log")
		case <-tick.C:
		}
	}
}

func (w *world) sidecarDone() <-chan struct{} {
	if w.sidecar == nil {
		return nil
	}
	return w.sidecar.Done()
}

func (w *world) fluxDone() <-chan struct{} {
	for _, p := range w.flux.Processes() {
		select {
		case <-p.Done():
			return p.Done()
		default:
		}
	}
	return nil
}

const (
	ns  = "production"
	app = "backend"
)

func (w *world) image(of, tag string) string { return w.registry.Host() + "/" + of + ":" + tag }

// fileSays waits for the tip to hold a text in an app's file.
func (w *world) fileSays(of, text, line string) chapter {
	return chapter{limit: 3 * time.Minute, until: func(context.Context) (string, bool, error) {
		out, err := git(w.bare, "show", "main:apps/"+ns+"/"+of+".yaml")
		hash, _ := git(w.bare, "log", "-1", "--format=%h %an", "main")
		return fmt.Sprintf(line, hash), strings.Contains(out, text), err
	}}
}

// podWaits waits for the kubelet's words about an image.
func (w *world) podWaits(image string) chapter {
	return chapter{limit: 3 * time.Minute, until: func(ctx context.Context) (string, bool, error) {
		var pods corev1.PodList
		if err := w.client.List(ctx, &pods, client.InNamespace(ns), client.MatchingLabels{"app": app}); err != nil {
			return "", false, err
		}
		for _, p := range pods.Items {
			for _, c := range p.Status.ContainerStatuses {
				if c.Image == image && c.State.Waiting != nil && strings.Contains(c.State.Waiting.Reason, "Pull") {
					return fmt.Sprintf("pods fail: %s: %s", c.State.Waiting.Reason, c.State.Waiting.Message), true, nil
				}
			}
		}
		return "no pod waits for " + image, false, nil
	}}
}

// running waits for an app's Deployment to run an image, completely.
func (w *world) running(of, image, line string) chapter {
	return chapter{limit: 5 * time.Minute, until: func(ctx context.Context) (string, bool, error) {
		var d appsv1.Deployment
		if err := w.client.Get(ctx, client.ObjectKey{Namespace: ns, Name: of}, &d); err != nil {
			return "", false, err
		}
		got := d.Spec.Template.Spec.Containers[0].Image
		n := *d.Spec.Replicas
		done := got == image && d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == n &&
			d.Status.AvailableReplicas == n && d.Status.Replicas == n
		return fmt.Sprintf(line, got), done, nil
	}}
}

// rollback waits for the record of an image to say something.
func (w *world) rollback(image string, says func(*v1alpha1.RollbackStatus) (string, bool)) chapter {
	return chapter{limit: 5 * time.Minute, until: func(ctx context.Context) (string, bool, error) {
		var list v1alpha1.RollbackList
		if err := w.client.List(ctx, &list, client.InNamespace(ns)); err != nil {
			return "", false, err
		}
		for i := range list.Items {
			if list.Items[i].Spec.Subject.Name == image {
				said, ok := says(&list.Items[i].Status)
				return said, ok, nil
			}
		}
		return "no Rollback of " + image, false, nil
	}}
}

// selected waits for the ImagePolicy to select a tag: then image automation would write it.
func (w *world) selected(tag, line string) chapter {
	return chapter{limit: 2 * time.Minute, until: func(ctx context.Context) (string, bool, error) {
		var p reflectorv1.ImagePolicy
		if err := w.client.Get(ctx, client.ObjectKey{Namespace: ns, Name: app}, &p); err != nil {
			return "", false, err
		}
		return line, p.Status.LatestRef != nil && p.Status.LatestRef.Tag == tag, nil
	}}
}

// story is the main job, from a bad push to the lifted hold, a rollback by hand that is adopted, and an image that
// crashes.
func (w *world) story(ctx context.Context) error {
	good, bad, newer := tag(ns, "1.0.0", 0), tag(ns, "1.1.0", 100), tag(ns, "1.2.0", 200)
	w.say("waiting for Flux to apply three environments")
	if err := w.tell(ctx, w.running(app, w.image(app, good), "applied: production/backend runs %s")); err != nil {
		return err
	}
	w.say("pushing %s to the registry: built for arm64, the nodes are amd64", bad)
	if _, err := w.registry.PushIndex(app, bad, "linux/arm64"); err != nil {
		return err
	}
	if err := w.tell(ctx, w.goesWrong(bad)...); err != nil {
		return err
	}
	if w.forge != nil {
		if err := w.tell(ctx, w.opened(w.image(app, bad))); err != nil {
			return err
		}
	}
	approved, err := w.approval(ctx, w.image(app, bad))
	if err != nil {
		return err
	}
	if !approved {
		return w.tell(ctx, w.isRecord(w.image(app, bad)))
	}
	if err := w.tell(ctx, w.reverted(app, good, bad)...); err != nil {
		return err
	}
	if err := w.holdsOut(ctx, good, 15*time.Second); err != nil {
		return err
	}
	w.say("pushing %s to the registry: this one runs", newer)
	if _, err := w.registry.PushImage(app, newer, "linux/amd64"); err != nil {
		return err
	}
	if err := w.tell(ctx, w.selected(newer, "selected: the policy wants "+newer)); err != nil {
		return err
	}
	if w.forge != nil {
		if err := w.lifting(ctx, w.image(app, bad)); err != nil {
			return err
		}
	}
	if err := w.goesOn(ctx, bad, newer); err != nil {
		return err
	}
	if w.forge != nil {
		// What comes after that is the same without a provider.
		return nil
	}
	if err := w.undo(ctx, good, newer); err != nil {
		return err
	}
	return w.crash(ctx)
}

// goesOn is the lifted hold, and image automation that writes the newer image back.
func (w *world) goesOn(ctx context.Context, bad, newer string) error {
	return w.tell(ctx,
		w.rollback(w.image(app, bad), func(s *v1alpha1.RollbackStatus) (string, bool) {
			if s.Lifted == nil {
				return "the hold stands", false
			}
			if s.Lifted.Commit == "" {
				return "hold lifted by " + s.Lifted.By, true
			}
			return fmt.Sprintf("hold lifted: %.7s, by %s", s.Lifted.Commit, s.Lifted.By), true
		}),
		w.fileSays(app, newer+` # {"$imagepolicy"`, "written back: image automation goes on (%s)"),
		w.running(app, w.image(app, newer), "rolled out: production/backend runs %s"),
	)
}

// goesWrong is the way of a bad image into the cluster, and of Backstop to the commit that brought it in.
func (w *world) goesWrong(bad string) []chapter {
	return []chapter{
		w.fileSays(app, bad+" #", "written back: image automation committed it (%s)"),
		w.podWaits(w.image(app, bad)),
		w.rollback(w.image(app, bad), func(s *v1alpha1.RollbackStatus) (string, bool) {
			if s.Suspect == nil {
				return s.Phase, false
			}
			return fmt.Sprintf("blamed: %.7s, written by %v, changed %s", s.Suspect.Commit, s.Suspect.Automation,
				s.Suspect.Places[0].File), true
		}),
		w.rollback(w.image(app, bad), func(s *v1alpha1.RollbackStatus) (string, bool) {
			if s.Target == nil {
				return s.Phase, false
			}
			return "proved: " + s.Target.Proof, true
		}),
	}
}

// reverted is what an approval leads to.
func (w *world) reverted(of, good, bad string) []chapter {
	return []chapter{
		w.rollback(w.image(of, bad), func(s *v1alpha1.RollbackStatus) (string, bool) {
			if s.Change == nil {
				return s.Phase, false
			}
			if pr := s.PullRequest; pr != nil {
				return fmt.Sprintf("merged by %s: %s, as %.7s with the hold, allowed by %s", pr.By, pr.URL, s.Change.Commit,
					s.Verdict.By), true
			}
			return fmt.Sprintf("reverted and held in one push: %.7s, %.7s, allowed by %s", s.Change.Commit, s.Change.Hold,
				s.Verdict.By), true
		}),
		w.fileSays(of, good+" # backstop:hold", "Git says so (%s)"),
		w.running(of, w.image(of, good), "applied: production/"+of+" runs %s again"),
		w.rollback(w.image(of, bad), func(s *v1alpha1.RollbackStatus) (string, bool) {
			if s.Outcome == nil {
				return s.Phase, false
			}
			return fmt.Sprintf("%s: %s", strings.ToLower(string(s.Outcome.Result)), s.Outcome.Message),
				s.Outcome.Result == v1alpha1.ResultVerified
		}),
		w.isRecord(w.image(of, bad)),
	}
}

// holdsOut watches the branch for longer than image automation's interval: nobody may write the bad tag again.
func (w *world) holdsOut(ctx context.Context, good string, d time.Duration) error {
	w.say("watching image automation for %s: its policy still selects the bad tag", d)
	before, err := git(w.bare, "rev-parse", "main")
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
	}
	after, err := git(w.bare, "rev-parse", "main")
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("the branch moved from %s to %s while it was held", before, after)
	}
	return w.tell(ctx, w.fileSays(app, good+" # backstop:hold", "held: nobody wrote the bad tag again (%s)"))
}
