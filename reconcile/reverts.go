package reconcile

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// revert is a Rollback's wish, to be planned on whatever tip a push would replace.
func (e *Engine) revert(ctx context.Context, rb v1alpha1.Rollback, shared *batch) Revert {
	s := &rb.Status
	cooldown, lift := e.terms(ctx, &rb)
	shared.rules.concern(&rb)
	c := restraint{
		rb: &rb, self: e.Cluster + "/" + rb.Namespace + "/" + rb.Name, uid: e.ClusterUID, now: e.Now(),
		budget: e.Ceiling.Budget, cooldown: cooldown, batch: shared,
		gate: func() error { return e.gate(ctx, &rb, &shared.rules, false) },
	}
	out := Revert{
		Rollback: c.self, Cluster: e.ClusterUID, Image: rb.Spec.Subject.Name, Suspect: *s.Suspect, Target: *s.Target,
		Hold: true, Lift: lift, Permit: c.permit, Still: c.gate,
		Since: lookback(c.now, c.cooldown, c.budget.Per),
	}
	for _, f := range s.Failures {
		out.Failures = append(out.Failures, StoryFailure{f.Workload.String(), string(f.Cause), f.Message})
	}
	for _, wl := range s.Workloads() {
		out.Workloads = append(out.Workloads, e.Cluster+"/"+rb.Namespace+"/"+wl.String())
	}
	if s.Suspect.ByFiles() {
		e.proving(ctx, &rb, &out)
	}
	if s.Verdict != nil && s.Verdict.Source == v1alpha1.VerdictByPerson {
		out.Trailers = []string{"Approved-by: " + cut(s.Verdict.By, 200)}
		if s.Verdict.Why != "" {
			out.Trailers = append(out.Trailers, "Approved-because: "+cut(s.Verdict.Why, 500))
		}
	}
	return out
}

// terms are how long a revert leaves its workloads alone, and what lifts its hold: as the verdict says, or the policy
// where a pull request comes first.
func (e *Engine) terms(ctx context.Context, rb *v1alpha1.Rollback) (time.Duration, v1alpha1.LiftMode) {
	if v := rb.Status.Verdict; v != nil {
		return v.Cooldown.Duration, v.Lift
	}
	p, err := e.PolicyOf(ctx, rb)
	if err != nil {
		// The stricter one, until it can be read.
		return 0, v1alpha1.LiftManual
	}
	return p.Cooldown, p.Lift
}

// sourceRef is the GitRepository that a Rollback's policies name to push with; nil where none does. Most clusters have
// no policy that names one, and then nothing else is read.
func (e *Engine) sourceRef(ctx context.Context, o *v1alpha1.Rollback) (*types.NamespacedName, error) {
	all, _, err := e.Records.Policies(ctx, o.Namespace)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	if !slices.ContainsFunc(all, func(p v1alpha1.RollbackPolicy) bool { return p.Spec.SourceRef != nil }) {
		return nil, nil
	}
	p, err := e.PolicyOf(ctx, o)
	return p.Source, err
}

// proving gives a revert of files what proves it on every tip. What cannot be proved is refused there.
func (e *Engine) proving(ctx context.Context, rb *v1alpha1.Rollback, r *Revert) {
	s := &rb.Status
	r.Subject = rb.Spec.Subject.Kind + "/" + rb.Namespace + "/" + rb.Spec.Subject.Name
	r.Image, r.Hold = "", false
	proof, err := e.undoProof(ctx, rb)
	r.undo = proof
	if err != nil {
		r.undo = func(context.Context, fs.FS, fs.FS) ([]v1alpha1.ObjectRef, error) { return nil, err }
	}
	commit := text.Short(s.Suspect.Commit)
	r.Proof = func(ctx context.Context, tip, after fs.FS) error {
		if _, err := r.undo(ctx, tip, after); err != nil {
			return fmt.Errorf("revert the files of %s: %w", commit, err)
		}
		return nil
	}
}

func (e *Engine) undoProof(ctx context.Context, rb *v1alpha1.Rollback) (UndoProof, error) {
	f := searchedFor(rb)
	if e.Applies == nil || f == nil {
		return nil, Refuse("nothing proves here what a revert leaves")
	}
	with, err := e.sourceRef(ctx, rb)
	if err != nil {
		return nil, err
	}
	return e.Applies.Undo(ctx, KeyOf(rb), *f, *rb.Status.Suspect, with)
}
