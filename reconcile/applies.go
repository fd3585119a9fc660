package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// What Flux cannot apply, and a revision that its configuration keeps from becoming ready, is about an object and no
// image: the commit is found by rendering, and people are told. Where files of the commit may go back they are asked;
// else the record ends with that until the object is well again.

const (
	// tellBy is how long the source of what Flux cannot apply may not be readable before it is told without a commit.
	tellBy = 10 * time.Minute
	// maxChangedBy is how many commits are told that changed what fails.
	maxChangedBy = 3
)

// reportStep tells what Flux cannot apply. What it does not say right now, since it is at work on it, may be over.
func reportStep(w *World) Step {
	if len(w.failures()) == 0 {
		return Step{Do: DoWait, Wait: proveAgain,
			Why: w.Rollback.Spec.Subject.String() + " says neither that it fails nor that it is ready"}
	}
	return Step{Do: DoReport, Why: "looking for the commit that broke it"}
}

// fillReport looks for the commit, and ends the Rollback with what was found.
func (e *Engine) fillReport(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	f := searchedFor(rb)
	if f == nil || e.Applies == nil {
		return Refuse("%s: nothing of it is recorded that can be told", rb.Spec.Subject)
	}
	changedBy, unblamed := searchOf(s, f)
	found, err := e.blameApply(ctx, w, f)
	why, refused := AsRefusal(err)
	late := !w.Now.Before(rb.CreationTimestamp.Add(tellBy))
	switch {
	case err == nil:
	case refused && (late || !KindOf(err).Heals()):
		found = Blamed{Why: why}
	case late:
		found = Blamed{Why: "Git could not be read: " + err.Error()}
	default:
		return err
	}
	for _, c := range found.ChangedBy[:min(len(found.ChangedBy), maxChangedBy)] {
		*changedBy = append(*changedBy, v1alpha1.RelatedCommit{
			Commit: c.Commit, Subject: cut(c.Subject, 250), Author: cut(c.Author, 120),
		})
	}
	c := found.Suspect
	if c == nil {
		*unblamed = brief(orElse(found.Why, "nothing in Git tells"))
		step := end(w, v1alpha1.ResultReportedOnly, "%s: %s; no commit is blamed: %s", rb.Spec.Subject, f.Cause.Words(),
			*unblamed)
		return e.fillOutcome(ctx, w, step, rb)
	}
	s.Suspect = &v1alpha1.Suspect{
		Source: found.Source, Branch: found.Branch, Reconciler: found.By, Commit: c.Commit, Parent: c.Parent,
		Subject: cut(c.Subject, 250), Author: cut(c.Author, 200), When: v1alpha1.NewTime(c.When), Places: []v1alpha1.Place{},
	}
	says, barred := brokenBy(rb), mayWrite(w.Policy, s, w.Now)
	if len(found.Files) > 0 && e.Try != nil && barred == nil && len(found.SharedWith) <= v1alpha1.MaxSharers {
		s.Suspect.Places, s.Suspect.SharedWith = found.Files, found.SharedWith
		identify(s.Suspect.Places)
		s.Suspect.SharedBy = found.SharedBy[:min(len(found.SharedBy), v1alpha1.MaxSharers)]
		s.Waiting = nil
		return nil
	}
	if bar := barOf(barred); len(found.Files) > 0 && (bar == v1alpha1.BarAuthors || bar == v1alpha1.BarMaxAge) {
		says += ". Nothing is asked: " + barred.Error()
	}
	return e.fillOutcome(ctx, w, end(w, v1alpha1.ResultReportedOnly, "%s", says), rb)
}

// searchOf is where the record keeps what was found in Git for a failure.
func searchOf(s *v1alpha1.RollbackStatus, f *v1alpha1.Failure) (changedBy *[]v1alpha1.RelatedCommit, unblamed *string) {
	if f.Apply != nil {
		return &f.Apply.ChangedBy, &f.Apply.Unblamed
	}
	if s.Search == nil {
		s.Search = &v1alpha1.Search{}
	}
	return &s.Search.ChangedBy, &s.Search.Unblamed
}

// brokenBy says what fails since when, and what a person may do about it.
func brokenBy(rb *v1alpha1.Rollback) string {
	s := &rb.Status
	words := v1alpha1.CauseUnknown.Words()
	if f := searchedFor(rb); f != nil {
		words = f.Cause.Words()
	}
	return fmt.Sprintf("%s: %s since %s (%s): correct it there, or revert the commit", rb.Spec.Subject, words,
		text.Short(s.Suspect.Commit), s.Suspect.Branch)
}

// blameApply looks in Git only for what Git may have brought.
func (e *Engine) blameApply(ctx context.Context, w *World, f *v1alpha1.Failure) (Blamed, error) {
	switch {
	case f.Apply == nil:
	case f.Apply.Unblamed != "":
		return Blamed{Why: f.Apply.Unblamed}, nil
	case f.Cause.Fault() != v1alpha1.FaultConfig:
		return Blamed{Why: "that need not come from Git"}, nil
	}
	return e.Applies.Blame(ctx, KeyOf(&w.Rollback), *f, w.Policy.Source)
}
