package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Flux is asked for a reconcile one object at a time, from the source down, each only when it can do something with it:
//
//	GitRepository ──artifact holds the commit──► Kustomization ──applied──► HelmRelease
//	asked at once                                asked if it is late        asked if nothing else would tell it
//
// An object at work is never asked: where Flux's gate CancelHealthCheckOnNewRevision is on, that cancels its health
// check. A canceled check of a release counts as a failed upgrade, after which nothing but a new spec is tried.

// hearsWithin is how long after it could begin an object is left alone that hears of the commit by itself.
const hearsWithin = 3 * time.Second

// wanted is since when Flux should apply the wanted image, and the token of the request. The token is made of what is
// saved, so that a walk that is cut short asks for the same thing again.
func wanted(s *v1alpha1.RollbackStatus) (since time.Time, token string) {
	switch {
	case s.Landed == nil && s.Verdict != nil:
		since = s.Verdict.At.Time
		return since, tokenOf(since)
	case s.Landed == nil:
		return time.Time{}, ""
	}
	since = s.Landed.At.Time
	token = tokenOf(since)
	if c := s.Change; c != nil && c.Commit == s.Landed.Commit && c.At.Time.Before(since) {
		// One push carries many reverts: what a sibling asked for after it serves all of them.
		since = c.At.Time
	}
	return since, token
}

func tokenOf(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// due is when a stop is to be asked; false for never, as it looks now.
func (s Stop) due(since time.Time) (time.Time, bool) {
	if !s.Reached || s.Taken || s.Busy || s.Barred {
		return time.Time{}, false
	}
	if at, err := time.Parse(time.RFC3339Nano, s.Token); err == nil && !at.Before(since) && !s.Handled {
		// Somebody else asked already, and it has not got round to it.
		return time.Time{}, false
	}
	if s.Deaf {
		return time.Time{}, true
	}
	return s.Since.Add(hearsWithin), true
}

// nextStop says which stop is asked next; nil for none, with how long it is until one is due (zero: when something
// changes).
func nextStop(w *World) (*Stop, time.Duration) {
	if w.Rollout == nil || full(&w.Rollback.Status) {
		return nil, 0
	}
	since, token := wanted(&w.Rollback.Status)
	var rest time.Duration
	for i := range w.Rollout.Way {
		s := &w.Rollout.Way[i]
		switch at, ok := s.due(since); {
		case askedAlready(&w.Rollback.Status, s.Object):
		case s.Token == token:
			// It was asked, and the record does not say so yet.
			return s, 0
		case !ok:
		case !w.Now.Before(at):
			return s, 0
		case rest == 0 || at.Sub(w.Now) < rest:
			rest = at.Sub(w.Now)
		}
	}
	return nil, rest
}

// opened reports that the record of what is asked was begun, for what is wanted now.
func opened(s *v1alpha1.RollbackStatus) bool {
	return s.Request != nil && (s.Landed == nil || !s.Request.At.Before(&s.Landed.At))
}

// full reports that the record takes no more objects that were asked: Flux gets round to the others by itself.
func full(s *v1alpha1.RollbackStatus) bool {
	return opened(s) && len(s.Request.Asked) >= v1alpha1.MaxAsked
}

func askedAlready(s *v1alpha1.RollbackStatus, o v1alpha1.ObjectRef) bool {
	return opened(s) &&
		slices.ContainsFunc(s.Request.Asked, func(a v1alpha1.AskedObject) bool { return a.ObjectRef == o })
}

// request asks the next stop, or begins the record of what is asked; false when neither is to be done.
func request(w *World, why string) (Step, bool) {
	next, _ := nextStop(w)
	switch {
	case next != nil:
		return Step{Do: DoRequest, Ask: next, Why: "asking " + next.Object.String() + why}, true
	case !opened(&w.Rollback.Status):
		return Step{Do: DoRequest, Why: "asking Flux" + why}, true
	}
	return Step{}, false
}

// untilDue looks again as soon as a stop is due.
func untilDue(w *World, step Step) Step {
	_, asks := nextStop(w)
	_, goes := nextForward(w)
	for _, rest := range []time.Duration{asks, goes} {
		if step.Do == DoWait && rest > 0 {
			step.Wait = min(step.Wait, rest)
		}
	}
	return step
}

// fillRequest asks one object, if one is to be asked, and writes down what was asked so far.
func (e *Engine) fillRequest(ctx context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	_, token := wanted(s)
	if !opened(s) {
		s.Request = &v1alpha1.Request{Token: token, Objects: []v1alpha1.ObjectRef{}, At: v1alpha1.NewTime(w.Now)}
	}
	if w.Rollout != nil {
		s.Request.Objects = []v1alpha1.ObjectRef{}
		for _, stop := range w.Rollout.Way {
			s.Request.Objects = append(s.Request.Objects, stop.Object)
		}
	}
	if step.Ask == nil {
		return nil
	}
	if err := e.Flux.Ask(ctx, *step.Ask, token); err != nil {
		return fmt.Errorf("ask Flux to reconcile: %w", err)
	}
	s.Request.Asked = append(s.Request.Asked, v1alpha1.AskedObject{
		ObjectRef: step.Ask.Object, At: v1alpha1.NewTime(w.Now),
	})
	return nil
}
