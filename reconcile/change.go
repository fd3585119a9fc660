package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// fillChange pushes the revert and the hold, together with those of every other Rollback that is allowed on the same
// source. Those siblings find their own trailer on the branch and fill their change from it.
func (e *Engine) fillChange(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	if err := e.stillProved(ctx, w); err != nil {
		return err
	}
	landing, err := e.land(ctx, w, true)
	if e.proposes(ctx, w, err) {
		e.wantPullRequest(rb, err)
		return nil
	}
	if err != nil {
		return err
	}
	rb.Status.Change, rb.Status.Holds = landing.Change, landing.Holds
	rb.Status.Change.Overtaken = e.overtaken(ctx, w, landing.Change.Commit)
	rb.Status.Waiting = nil
	return nil
}

// overtaken says what forbids a push since it was sent, so that whoever turned the kill switch learns what was under
// way.
func (e *Engine) overtaken(ctx context.Context, w *World, commit string) v1alpha1.Bar {
	err := e.gate(ctx, &w.Rollback, &rules{}, false)
	bar := barOf(err)
	if bar == "" || bar == v1alpha1.BarUnreadable || bar == v1alpha1.BarMaxAge {
		return ""
	}
	e.Log.Warn("pushed, and forbidden meanwhile: the push was under way", "rollback",
		w.Rollback.Namespace+"/"+w.Rollback.Name,
		"commit", commit, "barred", bar, "why", err)
	return bar
}

// landAgain pushes a revert that a force push lost. The change stays what it was; landed says what stands now.
func (e *Engine) landAgain(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	if err := e.stillProved(ctx, w); err != nil {
		return err
	}
	landing, err := e.land(ctx, w, false)
	if err != nil {
		return err
	}
	rb.Status.Landed = &v1alpha1.Landed{
		Commit: landing.Change.Commit, At: v1alpha1.NewTime(e.Now()), Again: landings(&rb.Status) + 1,
	}
	return nil
}

// land pushes, and gives what became of this Rollback.
func (e *Engine) land(ctx context.Context, w *World, siblings bool) (Landing, error) {
	s := &w.Rollback.Status
	origin, err := e.Flux.Reopen(ctx, w.Rollback.Namespace, *s.Suspect, w.Policy.Source, time.Time{})
	if err != nil {
		return Landing{}, fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	shared := &batch{elsewhere: w.Elsewhere}
	reverts := []Revert{e.revert(ctx, w.Rollback, shared)}
	if siblings {
		more, err := e.siblings(ctx, w, origin.Source, shared, v1alpha1.DeliveryPullRequest)
		if err != nil {
			return Landing{}, err
		}
		reverts = append(reverts, more...)
	}
	landings, err := e.Git.Land(ctx, origin.Source, reverts)
	if err != nil {
		return Landing{}, fmt.Errorf("push %s: %w", s.Suspect.Branch, err)
	}
	return landings[0], e.unlanded(landings[0].Err, s.Suspect.Commit)
}

// unlanded says what becomes of a revert that was left out; nil for one that was not.
func (e *Engine) unlanded(err error, suspect string) error {
	var later *waitUntil
	if no, ok := shut(err); ok {
		return no
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &later):
		return &RetryAfter{After: max(later.until.Sub(e.Now()), time.Second), Err: err}
	case errors.Is(err, errReverted), errors.Is(err, ErrSuperseded):
		// The tip moved while we asked: decide again, on what it says now.
		return ErrConflict
	}
	return fmt.Errorf("revert %s: %w", text.Short(suspect), err)
}

// siblings are the other Rollbacks that may be reverted on the same source right now, with the same credentials. A list
// that is a moment old does no harm: what it says of them is immutable, and permit is asked on the tip. Those are left
// out whose policies have them delivered in the other way.
func (e *Engine) siblings(ctx context.Context, w *World, src Source, shared *batch, other v1alpha1.Delivery,
) ([]Revert, error) {
	open, err := e.Records.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("list open Rollbacks: %w", err)
	}
	var out []Revert
	for i := range open {
		o := &open[i]
		s := &o.Status
		// An earlier Rollback of the same image has ended, also where the list does not say so yet.
		same := o.Namespace == w.Rollback.Namespace && o.Spec.Subject.Name == w.Rollback.Spec.Subject.Name
		if same || s.Ended() || s.Verdict == nil || s.Verdict.Answer != v1alpha1.Approve || s.Change != nil {
			continue
		}
		if s.Suspect.Source == w.Rollback.Status.Suspect.Source && fresh(s.Target, w.Now) &&
			!e.delivered(ctx, o, other) && e.pushedWith(ctx, w, o, src) {
			out = append(out, e.revert(ctx, *o, shared))
		}
	}
	return out, nil
}

// delivered reports whether a Rollback's policies have it delivered in a way, and no other. Where that cannot be told
// it is left to itself.
func (e *Engine) delivered(ctx context.Context, o *v1alpha1.Rollback, way v1alpha1.Delivery) bool {
	all, _, err := e.Records.Policies(ctx, o.Namespace)
	if err != nil {
		return true
	}
	// Most clusters have none that says so, and then nothing else is read.
	if !slices.ContainsFunc(all, func(p v1alpha1.RollbackPolicy) bool { return p.Spec.Delivery == way }) {
		return false
	}
	p, err := e.PolicyOf(ctx, o)
	return err != nil || p.Delivery == way
}

// pushedWith reports whether another Rollback is pushed with the very same access: it may be of another namespace, or
// of a policy that names another GitRepository. Where that cannot be told it pushes by itself.
func (e *Engine) pushedWith(ctx context.Context, w *World, o *v1alpha1.Rollback, src Source) bool {
	with, err := e.sourceRef(ctx, o)
	if err != nil {
		return false
	}
	origin, err := e.Flux.Reopen(ctx, o.Namespace, *o.Status.Suspect, with, w.since)
	return err == nil && origin.Source.ReadOnly == "" && origin.Source.Name == src.Name &&
		origin.Source.Pushes() == src.Pushes() && origin.Source.AuthorName == src.AuthorName
}

// stillProved renews a proof of the target that is older than five minutes, and asks for one where another's revert
// chose the target: the branch held that already, and nothing was asked.
func (e *Engine) stillProved(ctx context.Context, w *World) error {
	s := &w.Rollback.Status
	if fresh(s.Target, w.Now) && s.Verdict.Source != v1alpha1.VerdictByBranch || s.Suspect.ByFiles() {
		// What files leave is proved on the tip that the push replaces.
		return nil
	}
	p, err := e.prove(ctx, w, &w.Rollback, Former{Image: s.Target.Image, Values: s.Target.Values})
	if err != nil {
		return err
	}
	switch {
	case p.Finding == FindingPresent:
		return nil
	case p.Finding == FindingUnproved && s.Verdict.Source == v1alpha1.VerdictByPerson:
		// A person decided knowing that the registry proves nothing.
		return nil
	}
	return fmt.Errorf("%w: %s", errNotProved, p.Sentence)
}

// fresh reports whether a proof may still be acted upon.
func fresh(t *v1alpha1.Target, now time.Time) bool { return now.Sub(t.At.Time) < proofLasts }

var errNotProved = errors.New("the target is not proved any more")

// proposes reports whether a push that was refused becomes a pull request: where the branch wants one, and where it
// wants signed commits, and the provider signs those of a pull request's branch.
func (e *Engine) proposes(ctx context.Context, w *World, err error) bool {
	if e.Forges == nil || w.Policy.Delivery != v1alpha1.DeliveryAuto {
		return false
	}
	kind := KindOf(err)
	return kind == FaultWantsPullRequest || kind == FaultWantsSignature && e.signs(ctx, w)
}

// signs reports whether the provider signs what is put on a branch of Backstop's. What cannot be told is no: a person
// reads the server's words then.
func (e *Engine) signs(ctx context.Context, w *World) bool {
	origin, err := e.Flux.Reopen(ctx, w.Rollback.Namespace, *w.Rollback.Status.Suspect, w.Policy.Source, time.Time{})
	if err != nil {
		return false
	}
	forge, err := e.provider(ctx, w, origin.Source)
	if err != nil {
		return false
	}
	_, signs := signedBy(ctx, forge, origin.Source)
	return signs
}

// wantPullRequest writes down that the branch takes no push, in the server's words.
func (e *Engine) wantPullRequest(rb *v1alpha1.Rollback, err error) {
	rb.Status.PullRequest = &v1alpha1.PullRequest{Because: brief(err.Error()), At: v1alpha1.NewTime(e.Now())}
	rb.Status.Waiting = nil
}
