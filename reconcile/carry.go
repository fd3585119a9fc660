package reconcile

import (
	"context"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// What is only looked up is saved together: nothing is done to Git, Flux or the cluster by it, so that a crash loses a
// few reads. Hundreds of Rollbacks at once would else write each answer, and wake each other by it.
//
//	failures ─► suspect ─► target ─► verdict        one save
//	   └─ waits, stumbles, or looks for longer than Engine.SaveAfter: what is known until then is saved
//	adopted change ─► landed                        one save
//
// The save has the resourceVersion that was read before the first of them, so that whoever wrote meanwhile is heard.

// carries reports whether a step only looked something up, so that the next save may have it too.
func carries(step Step) bool {
	switch step.Do {
	case DoFailures, DoSuspect, DoTarget, DoAdopt:
		return true
	case DoRequest:
		return step.Ask == nil
	default:
		return false
	}
}

// acts reports whether a step does something to Git, a provider, Flux or the cluster: what is known is saved before it.
// It names every effect, so that a new one has to be thought of here.
func acts(step Step) bool {
	switch step.Do {
	case DoChange, DoPullRequest, DoMerge, DoDisarm, DoClose, DoMerged, DoLandAgain, DoForward, DoDisown, DoDeletePod,
		DoLift, DoReturning:
		return true
	case DoRequest:
		return step.Ask != nil
	case DoWait, DoFailures, DoSuspect, DoTarget, DoReport, DoVerdict, DoLapse, DoAdopt, DoLanded, DoOutcome, DoLifted:
	}
	return false
}

// saved is the Rollback as the API server has it.
func (w *World) saved() *v1alpha1.Rollback {
	if w.known != nil {
		return w.known
	}
	return &w.Rollback
}

// newest is the Rollback as the walk has it, or else as the API server does.
func (e *Engine) newest(ctx context.Context, key Key, g *glance) (*v1alpha1.Rollback, error) {
	if g.carried.form != nil {
		return g.carried.form, nil
	}
	return e.Records.Latest(ctx, key)
}

// filling runs what looks something up. Where that takes long, what was found out before is saved meanwhile: people
// read it, and other Rollbacks wait for it.
func (e *Engine) filling(ctx context.Context, w *World, rb *v1alpha1.Rollback, fill func() error) error {
	if w.known == nil || e.SaveAfter <= 0 {
		return fill()
	}
	known := w.Rollback.DeepCopy()
	failed := make(chan error, 1)
	timer := time.AfterFunc(e.SaveAfter, func() { failed <- e.save(ctx, w.known, known) })
	err := fill()
	if timer.Stop() {
		return err
	}
	if serr := <-failed; serr != nil {
		return serr
	}
	w.known, w.Rollback.ResourceVersion, rb.ResourceVersion = known, known.ResourceVersion, known.ResourceVersion
	return err
}
