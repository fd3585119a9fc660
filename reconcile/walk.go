package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// maxSteps bounds one walk. A Rollback has ten steps; conflicts start it over.
const maxSteps = 64

// Walk takes a key along the line until it must wait, and says when to look again at the latest (zero: when something
// wakes it). An error means: again, with back-off.
func (e *Engine) Walk(ctx context.Context, key Key) (time.Duration, error) {
	g := glance{since: e.woken(key)}
	for range maxSteps {
		if e.Stopping != nil && e.Stopping() {
			return time.Second, nil
		}
		w, err := e.gather(ctx, key, &g)
		if err != nil {
			return 0, fmt.Errorf("gather %s: %w", key, err)
		}
		if w == nil {
			return 0, nil
		}
		step := decide(*w)
		err = e.take(ctx, key, w, step, &g)
		g.took(step.Do, e.Now(), err)
		switch {
		case errors.Is(err, ErrConflict):
			continue
		case errors.Is(err, errFull):
			return fullAgain, nil
		case err != nil:
			return e.stumble(ctx, w, step, err)
		case w.Rollback.Name == "":
			// What fails at the same time is opened first, so that all of it is known when the first is reverted.
			return time.Millisecond, nil
		case step.Do == DoWait, step.Do == DoDeletePod:
			return step.Wait, nil
		}
	}
	return time.Second, nil
}

// take does the one effect of a step and saves what it filled in, or lets a later save have it too.
func (e *Engine) take(ctx context.Context, key Key, w *World, step Step, g *glance) error {
	rb := w.Rollback.DeepCopy()
	switch {
	case rb.Name == "":
		return e.open(ctx, key, w)
	case step.Brief:
		return nil
	case w.known != nil && acts(step):
		// What it is done for is saved first.
		g.carried = carried{}
		return e.save(ctx, w.known, rb)
	}
	if step.Do != DoWait {
		e.Log.Info("step", "rollback", rb.Namespace+"/"+rb.Name, "do", step.Do, "why", step.Why)
	}
	fill := map[Effect]func(context.Context, *World, Step, *v1alpha1.Rollback) error{
		DoWait:        e.fillWaiting,
		DoFailures:    e.fillFailures,
		DoSuspect:     e.fillSuspect,
		DoTarget:      e.fillTarget,
		DoReport:      e.fillReport,
		DoVerdict:     e.fillVerdict,
		DoLapse:       e.fillLapse,
		DoChange:      e.fillChange,
		DoAdopt:       e.fillFromCommit,
		DoPullRequest: e.fillPullRequest,
		DoMerge:       e.fillMerge,
		DoDisarm:      e.fillDisarm,
		DoClose:       e.fillClose,
		DoMerged:      e.fillMerged,
		DoLanded:      e.fillLanded,
		DoLandAgain:   e.landAgain,
		DoReturning:   e.fillReturning,
		DoRequest:     e.fillRequest,
		DoForward:     e.fillForward,
		DoDisown:      e.fillDisown,
		DoDeletePod:   e.deletePod,
		DoOutcome:     e.fillOutcome,
		DoLift:        e.fillLift,
		DoLifted:      e.fillLifted,
	}[step.Do]
	if err := e.filling(ctx, w, rb, func() error { return fill(ctx, w, step, rb) }); err != nil {
		return err
	}
	if w.Remediated != nil && !w.Rollback.Status.Ended() {
		rb.Status.Remediated = w.Remediated
	}
	if carries(step) {
		g.carried = carried{form: rb, saved: w.saved()}
		return nil
	}
	g.carried = carried{}
	return e.save(ctx, w.saved(), rb)
}

// open creates the Rollback of a key, or the next one after an ended one.
func (e *Engine) open(ctx context.Context, key Key, w *World) error {
	if w.former != nil && w.former.Status.Question != nil {
		// Nobody reads its answers any more.
		rb := w.former.DeepCopy()
		rb.Status.Question = nil
		if err := e.save(ctx, w.former, rb); err != nil {
			return err
		}
	}
	if err := e.room(key); err != nil {
		return err
	}
	next := NewRollback(key, w.Rollback.Spec.OpenedFor, Ordinal(&w.Rollback)+1)
	if err := e.Records.Create(ctx, next); err != nil {
		return fmt.Errorf("open %s: %w", next.Name, err)
	}
	e.Log.Info("opened", "rollback", next.Namespace+"/"+next.Name, "subject", key.Subject)
	return nil
}

// stumble records why an effect failed. A refusal ends the Rollback, since only a person can help, unless it is about
// access, which comes back; that and anything else is tried again.
func (e *Engine) stumble(ctx context.Context, w *World, step Step, err error) (time.Duration, error) {
	rb := w.Rollback.DeepCopy()
	log := e.Log.With("rollback", rb.Namespace+"/"+rb.Name, "do", step.Do)
	heals := KindOf(err).Heals()
	if why, refused := AsRefusal(err); refused && !heals {
		log.Warn("refused", "why", why)
		return 0, e.refused(ctx, w, step, KindOf(err), why)
	}
	rb.Status.Waiting = waitingFor(rb, fmt.Sprintf("%s: %s; trying again", step.Why, err), nil, e.Now())
	rb.Status.Waiting.Barred, rb.Status.Waiting.Refused = barOf(err), string(KindOf(err))
	if serr := e.save(ctx, w.saved(), rb); serr != nil && !errors.Is(serr, ErrConflict) {
		return 0, errors.Join(err, serr)
	}
	var after *RetryAfter
	if !errors.As(err, &after) {
		after, _ = shut(err)
	}
	if after != nil {
		log.Info("will try again", "after", after.After, "why", err)
		return after.After, nil //nolint:nilerr // the status tells the error, and it is tried again
	}
	if heals {
		after := accessIn(&w.Rollback.Status, e.Now())
		log.Warn("no access for now", "kind", KindOf(err), "after", after, "why", err)
		return after, nil
	}
	return 0, err
}

// refused ends a Rollback whose effect a peer refused for good. A Rollback at rest stays as it is: its hold goes on
// standing.
func (e *Engine) refused(ctx context.Context, w *World, step Step, kind FaultKind, why string) error {
	rb := w.Rollback.DeepCopy()
	result := v1alpha1.ResultFailed
	if step.Do == DoSuspect {
		var err error
		if result, why, err = e.noSource(ctx, w, why); err != nil {
			return err
		}
	}
	if rb.Status.Ended() {
		if rb.Status.HoldStands() {
			why = "the hold stands: " + why
		}
		rb.Status.Waiting = waitingFor(rb, why, nil, e.Now())
		rb.Status.Waiting.Refused = string(kind)
	} else {
		ending := end(w, result, "%s", why)
		ending.Outcome.Reason = string(kind)
		if err := e.fillOutcome(ctx, w, ending, rb); err != nil {
			return err
		}
	}
	err := e.save(ctx, w.saved(), rb)
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}
