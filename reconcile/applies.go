package reconcile

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// What Flux cannot apply is about a Flux object and no image: the commit is found by rendering, people are told, and
// the record ends with that until the object applies again.

// Applies reads the Flux objects that apply what Git says.
type Applies interface {
	// Applier reads a Kustomization or a HelmRelease; nil where the key is about an object of another kind.
	Applier(ctx context.Context, key Key) (*Applier, error)
	// Blame finds the commit at which what fails broke. A Refusal says why none can be looked for. with is as in Origin.
	Blame(ctx context.Context, key Key, f v1alpha1.Failure, with *types.NamespacedName) (Blamed, error)
}

// Applier is a Kustomization or a HelmRelease as it says that it is now.
type Applier struct {
	// Ref of the object, its UID and its labels.
	Ref    v1alpha1.ObjectRef
	UID    types.UID
	Labels map[string]string
	// Gone says that it does not exist.
	Gone bool
	// Idle says that nothing can be told of it now: it is suspended, is being deleted or at work, or has not looked at its
	// newest spec.
	Idle bool
	// Ready says that what it attempted last is applied.
	Ready bool
	// Failed is the condition that says why it is not; nil where none does.
	Failed *Condition
	// Revision that was attempted last, and LastApplied that was applied last without an error.
	Revision, LastApplied string
	// Unchanged says why nothing in Git can have broken it; empty where something may have.
	Unchanged string
}

// Condition is why something is not ready, in another controller's words.
type Condition struct {
	Reason, Message string
	// At is since when it says so.
	At time.Time
}

// PastCommit is a commit as people know it.
type PastCommit struct {
	// Commit and Parent are full hashes; Parent is the first one.
	Commit, Parent string
	// Subject, Author and When are as the commit says. The first two are data.
	Subject, Author string
	When            time.Time
}

// Blamed is what a search for the commit that broke something found.
type Blamed struct {
	// Source and Branch that were searched, and By who applies them.
	Source v1alpha1.ObjectRef
	Branch string
	By     v1alpha1.ObjectRef
	// Suspect is the one commit that did it; nil where none can be named.
	Suspect *PastCommit
	// ChangedBy are the commits at which what fails changed, oldest first.
	ChangedBy []PastCommit
	// Why says why no single commit is named; empty where one is.
	Why string
}

const (
	// tellBy is how long the source of what Flux cannot apply may not be readable before it is told without a commit.
	tellBy = 10 * time.Minute
	// maxChangedBy is how many commits are told that changed what fails.
	maxChangedBy = 3
)

// report tells what Flux cannot apply. What it does not say right now, since it is at work on it, may be over.
func report(w *World) Step {
	if len(w.failures()) == 0 {
		return Step{Do: DoWait, Wait: proveAgain,
			Why: w.Form.Spec.Subject.String() + " says neither that it fails nor that it is ready"}
	}
	return Step{Do: DoReport, Why: "looking for the commit that Flux cannot apply"}
}

// fillReport looks for the commit, and ends the form with what was found.
func (e *Engine) fillReport(ctx context.Context, w *World, _ Step, form *v1alpha1.Rollback) error {
	s := &form.Status
	var f *v1alpha1.Failure
	for i := range s.Failures {
		if s.Failures[i].Apply != nil {
			f = &s.Failures[i]
		}
	}
	if f == nil || e.Applies == nil {
		return Refuse("%s: nothing of it is recorded that can be told", form.Spec.Subject)
	}
	found, err := e.blameApply(ctx, w, f)
	why, refused := AsRefusal(err)
	late := !w.Now.Before(form.CreationTimestamp.Add(tellBy))
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
		f.Apply.ChangedBy = append(f.Apply.ChangedBy, v1alpha1.RelatedCommit{
			Commit: c.Commit, Subject: cut(c.Subject, 250), Author: cut(c.Author, 200),
		})
	}
	says := fmt.Sprintf("%s: %s", form.Spec.Subject, f.Cause.Words())
	if c := found.Suspect; c != nil {
		s.Suspect = &v1alpha1.Suspect{
			Source: found.Source, Branch: found.Branch, Applier: found.By, Commit: c.Commit, Parent: c.Parent,
			Subject: cut(c.Subject, 250), Author: cut(c.Author, 200), When: v1alpha1.NewTime(c.When), Nodes: []v1alpha1.Node{},
		}
		says += fmt.Sprintf(" since %s (%s): correct it there, or revert the commit", short(c.Commit), found.Branch)
	} else {
		f.Apply.Unblamed = cut(orElse(found.Why, "nothing in Git tells"), 512)
		says += "; no commit is blamed: " + f.Apply.Unblamed
	}
	step := end(w, v1alpha1.ResultReportedOnly, "%s", says)
	return e.fillOutcome(ctx, w, step, form)
}

// blameApply looks in Git only for what Git may have brought.
func (e *Engine) blameApply(ctx context.Context, w *World, f *v1alpha1.Failure) (Blamed, error) {
	switch {
	case f.Apply.Unblamed != "":
		return Blamed{Why: f.Apply.Unblamed}, nil
	case f.Cause.Fault() != v1alpha1.FaultConfig:
		return Blamed{Why: "that need not come from Git"}, nil
	}
	return e.Applies.Blame(ctx, KeyOf(&w.Form), *f, w.Policy.Source)
}

// applyMoved says that a look tells something else of what Flux cannot apply than was recorded.
func applyMoved(now, before v1alpha1.Failure) bool {
	a, b := now.Apply, before.Apply
	return a != nil && b != nil && (a.Reason != b.Reason || a.Revision != b.Revision)
}
