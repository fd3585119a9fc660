package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// The pure steps, and the ones that one read or one request fills. suspect, target and change have files of their own.

func (e *Engine) fillWaiting(_ context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	var until *v1alpha1.Time
	switch {
	case !step.Until.IsZero():
		t := v1alpha1.NewTime(step.Until)
		until = &t
	case step.Wait > lookAgain:
		t := v1alpha1.NewTime(w.Now.Add(step.Wait).Truncate(time.Second))
		until = &t
	}
	rb.Status.Waiting = waitingFor(rb, step.Why, until, w.Now)
	if rb.Status.Waiting != nil {
		rb.Status.Waiting.Barred, rb.Status.Waiting.Refused = step.Barred, string(step.Refused)
	}
	switch s := &rb.Status; {
	case step.Question != nil:
		s.Question = step.Question
	case step.Barred != "" || s.Verdict != nil || s.Ended():
		s.Question = nil
	}
	if now := podsOf(w); rb.Status.Verdict == nil && !rb.Status.Ended() && now != nil {
		rb.Status.Pods = now
	}
	return nil
}

func (e *Engine) fillFailures(ctx context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	workloads := len(s.Workloads())
	for _, f := range w.failures() {
		f.ID, f.Message = f.Identity(), cut(text.Mask(f.Message), 1024)
		i := slices.IndexFunc(s.Failures, func(o v1alpha1.Failure) bool { return sameFailure(o, f) })
		switch {
		case i >= 0 && saysMore(f.Cause, s.Failures[i].Cause):
			// The better words count, the first sight stays.
			f.Since = s.Failures[i].Since
			s.Failures[i] = f
		case i >= 0 && driftMoved(f, s.Failures[i]):
			s.Failures[i].Drift, s.Failures[i].Message = f.Drift, f.Message
		case i >= 0 && (rolloutMoved(f, s.Failures[i]) || applyMoved(f, s.Failures[i]) ||
			canaryMoved(f, s.Failures[i])):
			f.ID, f.Since = s.Failures[i].ID, s.Failures[i].Since
			s.Failures[i] = f
		case i < 0 && len(s.Failures) < v1alpha1.MaxFailures:
			s.Failures = append(s.Failures, f)
		case i < 0:
			s.MoreFailures++
		}
	}
	if now := podsOf(w); now != nil {
		s.Pods = now
	}
	if s.Suspect != nil && len(s.Workloads()) > workloads {
		return e.addPlaces(ctx, w, step, rb)
	}
	return nil
}

func (e *Engine) fillVerdict(ctx context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	s.Verdict = &step.Verdict
	s.Waiting, s.Question = nil, nil
	if step.Verdict.Source != v1alpha1.VerdictByPolicy || s.Target == nil || s.Target.BadProved || asksRegistry(w) {
		return nil
	}
	// What was in doubt when the target was chosen kept the policy from deciding, and does so no more.
	p, _, err := w.fault(ctx, s.Target)
	s.Target.BadProved = p.Finding == FindingAbsent
	return err
}

// fillLapse withdraws a verdict: people are asked anew.
func (e *Engine) fillLapse(_ context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	s.Lapsed = append(s.Lapsed, v1alpha1.Lapse{Verdict: *s.Verdict, At: v1alpha1.NewTime(w.Now), Why: sentence(step.Why)})
	s.Verdict, s.Waiting = nil, nil
	return nil
}

// fillFromCommit takes over a revert that the branch already carries: this Rollback's own, saved too late, or a
// sibling's.
func (e *Engine) fillFromCommit(_ context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	t := step.Commit
	c := &v1alpha1.Change{Commit: t.Commit, Branch: rb.Status.Suspect.Branch, At: v1alpha1.NewTime(t.When)}
	if !slices.Contains(t.Rollbacks, w.Self) && len(t.Rollbacks) > 0 {
		c.By = t.Rollbacks[0]
	}
	// The hold follows the revert, in the same push: it shares a Rollback with it.
	for _, h := range w.Branch.Commits {
		if h.Kind == TrailerHold &&
			slices.ContainsFunc(h.Rollbacks, func(r string) bool { return slices.Contains(t.Rollbacks, r) }) {
			c.Hold, c.Policies = h.Commit, h.Policies
		}
	}
	if c.Hold != "" {
		c.Policies = markersOf(rb.Status.Suspect)
		for i, n := range rb.Status.Suspect.Places {
			h, held := w.Branch.Held[int32(i)]
			if !held {
				continue
			}
			rb.Status.Holds = append(rb.Status.Holds, v1alpha1.Hold{Place: n.Identity()})
			if c.Lift != v1alpha1.LiftManual {
				c.Lift = h.Lift
			}
		}
	}
	rb.Status.Change = c
	rb.Status.Waiting = nil
	return nil
}

func (e *Engine) fillLanded(_ context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	rb.Status.Landed = &v1alpha1.Landed{
		Commit: orElse(w.Branch.HoldsTarget, rb.Status.Change.Commit),
		At:     v1alpha1.NewTime(w.Now),
	}
	return nil
}

// deletePod deletes one pod; its controller makes it anew from the good template.
func (e *Engine) deletePod(ctx context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	if no, ok := shut(e.gate(ctx, &w.Rollback, &rules{}, true)); ok {
		return no
	}
	if err := e.Pods.Delete(ctx, w.Rollback.Namespace, step.Pod); err != nil {
		return fmt.Errorf("delete pod %s: %w", step.Pod.Name, err)
	}
	rb.Status.Waiting = waitingFor(rb, step.Why, nil, w.Now)
	return nil
}

// fillLift takes the holds away that are due and asks the automation to run; where the branch takes no push, or the
// policy wants none, by pull request. The record says that it is lifted once none stands.
func (e *Engine) fillLift(ctx context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	if s.LiftPullRequest != nil && (w.Lifting != nil || missedLift(w)) {
		return e.followLift(ctx, w, rb)
	}
	origin, err := e.Flux.Reopen(ctx, w.Rollback.Namespace, *s.Suspect, w.Policy.Source, time.Time{})
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	lift := Lift{
		Roots: append([]Root{origin.Root}, origin.Others...), By: step.By, Rollback: w.Self, Cluster: e.ClusterUID,
		Permit: func() error { return e.gate(ctx, &w.Rollback, &rules{}, true) },
	}
	// All holds of a step are lifted by the same word.
	if d := w.Rollback.LiftWish(); d.Names(s.Suspect.Places[step.Holds[0]].Identity()) {
		lift.Person, lift.Because = true, d.Reason
	}
	together, policies := liftAt(w, lift, step.Holds), policiesAt(w.Branch, step.Holds)
	together.Policy, together.And = policies[0], policies[1:]
	for _, policy := range policies {
		together.Image = orElse(together.Image, w.Selections[policy].Image)
	}
	if w.Policy.Delivery == v1alpha1.DeliveryPullRequest {
		return e.proposeLift(ctx, w, rb, together, becausePolicy)
	}
	held, _ := holdsNow(w)
	all := len(step.Holds) == len(held)
	var last v1alpha1.Lifted
	for _, lift.Policy = range policies {
		of := func(i int32) bool { return w.Branch.Held[i].Policy != lift.Policy }
		mine := slices.DeleteFunc(slices.Clone(step.Holds), of)
		lift = liftAt(w, lift, mine)
		lift.Image = w.Selections[lift.Policy].Image
		if !lift.Person {
			lift.By = byNewer(w.Selections[lift.Policy])
		}
		commit, err := e.Git.Lift(ctx, origin.Source, lift)
		if all && e.proposes(ctx, w, err) {
			return e.proposeLift(ctx, w, rb, together, err.Error())
		}
		if err := e.notLifted(ctx, w, lift, commit, err); err != nil {
			return err
		}
		last = v1alpha1.Lifted{Commit: commit, Image: lift.Image, By: lift.By, At: v1alpha1.NewTime(e.Now())}
		markLifted(s, mine, last.By)
	}
	s.Waiting = nil
	if all {
		s.Lifted = &last
	}
	return e.wakeAutomation(ctx, w, origin, policies)
}

// notLifted says why a push lifted nothing; nil where it did.
func (e *Engine) notLifted(ctx context.Context, w *World, l Lift, commit string, err error) error {
	if later, ok := shut(err); ok {
		return later
	}
	switch {
	case e.proposes(ctx, w, err):
		// What is due later would have to wait for this pull request.
		return &RetryAfter{After: restAgain, Err: err}
	case err != nil:
		return fmt.Errorf("lift the hold of %s: %w", l.Policy, err)
	case commit == "":
		// Somebody was faster, which the next look tells, or the hold is not where it was.
		return &RetryAfter{After: proveAgain, Err: fmt.Errorf("the hold on %s is not found", l.Policy)}
	}
	return nil
}

// liftAt narrows a lift to the holds at some places, as they were looked at: by the time of the push another Rollback's
// may stand there.
func liftAt(w *World, l Lift, at []int32) Lift {
	l.Places, l.Not = placesAt(w.Rollback.Status.Suspect, at), notAt(w.Branch, at)
	return l
}

// policiesAt are the policies that the tip holds off at some places, each once.
func policiesAt(b *Branch, at []int32) []string {
	var out []string
	for _, i := range at {
		if p := b.Held[i].Policy; !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func placesAt(s *v1alpha1.Suspect, at []int32) []v1alpha1.Place {
	var out []v1alpha1.Place
	for _, i := range at {
		out = append(out, s.Places[i])
	}
	return out
}

// wakeAutomation asks the automations of the lifted policies to run; a failure only costs time, their interval comes
// anyway.
func (e *Engine) wakeAutomation(ctx context.Context, w *World, origin Origin, policies []string) error {
	var who []v1alpha1.ObjectRef
	for _, p := range origin.Policies {
		if p.Automation != nil && slices.Contains(policies, p.Name) && !slices.Contains(who, *p.Automation) {
			who = append(who, *p.Automation)
		}
	}
	if len(who) == 0 {
		return nil
	}
	if err := e.Flux.Request(ctx, who, e.Now().UTC().Format(time.RFC3339Nano)); err != nil {
		e.Log.Warn("ask the automation to run", "rollback", w.Self, "error", err)
	}
	return nil
}

// markLifted writes down that the holds on places are lifted.
func markLifted(s *v1alpha1.RollbackStatus, at []int32, by string) {
	for _, i := range at {
		for k := range s.Holds {
			if h := &s.Holds[k]; h.Place == s.Suspect.Places[i].Identity() && h.LiftedBy == "" {
				h.LiftedBy = cut(by, 80)
			}
		}
	}
}

func (e *Engine) fillLifted(_ context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	s, by := &rb.Status, v1alpha1.Lifted{By: step.By, At: v1alpha1.NewTime(w.Now)}
	markLifted(s, step.Holds, step.By)
	if !slices.ContainsFunc(s.Holds, func(h v1alpha1.Hold) bool { return h.LiftedBy == "" }) {
		s.Lifted = &by
	}
	s.Waiting = nil
	return nil
}
