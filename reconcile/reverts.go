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

// revert is a form's wish, to be planned on whatever tip a push would replace.
func (e *Engine) revert(ctx context.Context, form v1alpha1.Rollback, shared *batch) Revert {
	s := &form.Status
	cooldown, release := e.terms(ctx, &form)
	shared.rules.concern(&form)
	c := claim{
		form: &form, self: e.Cluster + "/" + form.Namespace + "/" + form.Name, uid: e.ClusterUID, now: e.Now(),
		budget: e.Ceiling.Budget, cooldown: cooldown, batch: shared,
		gate: func() error { return e.gate(ctx, &form, &shared.rules, false) },
	}
	out := Revert{
		Rollback: c.self, Cluster: e.ClusterUID, Image: form.Spec.Subject.Name, Suspect: *s.Suspect, Target: *s.Target,
		Hold: true, Release: release, Permit: c.permit, Still: c.gate,
		Since: lookback(c.now, c.cooldown, c.budget.Per),
	}
	for _, f := range s.Failures {
		out.Failures = append(out.Failures, StoryFailure{f.Workload.String(), string(f.Cause), f.Message})
	}
	for _, wl := range s.Workloads() {
		out.Workloads = append(out.Workloads, e.Cluster+"/"+form.Namespace+"/"+wl.String())
	}
	if s.Suspect.ByFiles() {
		e.proving(ctx, &form, &out)
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
func (e *Engine) terms(ctx context.Context, form *v1alpha1.Rollback) (time.Duration, v1alpha1.ReleaseMode) {
	if v := form.Status.Verdict; v != nil {
		return v.Cooldown.Duration, v.Release
	}
	p, err := e.PolicyOf(ctx, form)
	if err != nil {
		// The stricter one, until it can be read.
		return 0, v1alpha1.ReleaseManual
	}
	return p.Cooldown, p.Release
}

// sourceRef is the GitRepository that a form's policies name to push with; nil where none does. Most clusters have no
// policy that names one, and then nothing else is read.
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
func (e *Engine) proving(ctx context.Context, form *v1alpha1.Rollback, r *Revert) {
	s := &form.Status
	r.Subject = form.Spec.Subject.Kind + "/" + form.Namespace + "/" + form.Spec.Subject.Name
	r.Image, r.Hold = "", false
	proof, err := e.undoProof(ctx, form)
	r.undo = proof
	if err != nil {
		r.undo = func(context.Context, fs.FS, fs.FS) ([]v1alpha1.ObjectRef, error) { return nil, err }
	}
	commit := text.Short(s.Suspect.Commit)
	r.Proof = func(ctx context.Context, tip, after fs.FS) error {
		if _, err := r.undo(ctx, tip, after); err != nil {
			return fmt.Errorf("take the files of %s back: %w", commit, err)
		}
		return nil
	}
}

func (e *Engine) undoProof(ctx context.Context, form *v1alpha1.Rollback) (UndoProof, error) {
	f := applyOf(&form.Status)
	if e.Applies == nil || f == nil {
		return nil, Refuse("nothing proves here what a revert leaves")
	}
	with, err := e.sourceRef(ctx, form)
	if err != nil {
		return nil, err
	}
	return e.Applies.Undo(ctx, KeyOf(form), *f, *form.Status.Suspect, with)
}
