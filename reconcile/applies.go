package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// What Flux cannot apply is about a Flux object and no image: the commit is found by rendering, and people are told.
// Where files of the commit may go back they are asked; else the record ends with that until the object applies again.

// Applies reads the Flux objects that apply what Git says.
type Applies interface {
	// Applier reads a Kustomization or a HelmRelease; nil where the key is about an object of another kind.
	Applier(ctx context.Context, key Key) (*Applier, error)
	// Blame finds the commit at which what fails broke. A Refusal says why none can be looked for. with is as in Origin.
	Blame(ctx context.Context, key Key, f v1alpha1.Failure, with *types.NamespacedName) (Blamed, error)
	// Undo reads what is to be kept of what was applied well, and gives the proof that taking the suspect's files back
	// keeps it. A Refusal says why there is none.
	Undo(ctx context.Context, key Key, f v1alpha1.Failure, s v1alpha1.Suspect, with *types.NamespacedName,
	) (UndoProof, error)
}

// Applier is a Kustomization or a HelmRelease as it says that it is now.
type Applier struct {
	// Ref of the object, its UID and its labels.
	Ref    v1alpha1.ObjectRef
	UID    types.UID
	Labels map[string]string
	// Says is what its annotation RollbackAnnotation says; empty where it has none. Wishes are that and what its namespace
	// says.
	Says   string
	Wishes map[string]Wish
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
	// Files of the suspect that may go back, and SharedBy who else applies them; none where it is only told.
	Files    []v1alpha1.Node
	SharedBy []v1alpha1.ObjectRef
}

const (
	// tellBy is how long the source of what Flux cannot apply may not be readable before it is told without a commit.
	tellBy = 10 * time.Minute
	// maxChangedBy is how many commits are told that changed what fails.
	maxChangedBy = 3
)

// applierGroups are the API versions of the kinds that apply.
var applierGroups = map[string]string{
	"Kustomization": "kustomize.toolkit.fluxcd.io/v1", "HelmRelease": "helm.toolkit.fluxcd.io/v2",
}

// owners are what policies select by, and what the objects themselves say: workloads, and Flux objects that apply.
func (e *Engine) owners(ctx context.Context, ns string, of []v1alpha1.Workload) (Owners, error) {
	applies := func(w v1alpha1.Workload) bool { return applierGroups[w.Kind] != "" && e.Applies != nil }
	out, err := e.Pods.Owners(ctx, ns, slices.DeleteFunc(slices.Clone(of), applies))
	if err != nil {
		return out, fmt.Errorf("read the workloads: %w", err)
	}
	for _, w := range of {
		if !applies(w) {
			continue
		}
		a, err := e.Applies.Applier(ctx, Key{Namespace: ns, Subject: v1alpha1.Subject{
			APIVersion: applierGroups[w.Kind], Kind: w.Kind, Name: w.Name,
		}})
		if err != nil {
			return out, fmt.Errorf("read %s: %w", w, err)
		}
		if a == nil || a.Gone {
			continue
		}
		if out.Wishes == nil {
			out.Wishes = map[string]Wish{}
		}
		out.Labels[w.String()], out.Wishes[w.String()] = a.Labels, Wish{Annotation: a.Says}
	}
	return out, nil
}

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
	f := applyOf(s)
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
	c := found.Suspect
	if c == nil {
		f.Apply.Unblamed = cut(orElse(found.Why, "nothing in Git tells"), 512)
		step := end(w, v1alpha1.ResultReportedOnly, "%s: %s; no commit is blamed: %s", form.Spec.Subject, f.Cause.Words(),
			f.Apply.Unblamed)
		return e.fillOutcome(ctx, w, step, form)
	}
	s.Suspect = &v1alpha1.Suspect{
		Source: found.Source, Branch: found.Branch, Applier: found.By, Commit: c.Commit, Parent: c.Parent,
		Subject: cut(c.Subject, 250), Author: cut(c.Author, 200), When: v1alpha1.NewTime(c.When), Nodes: []v1alpha1.Node{},
	}
	says, barred := cannotApply(form), mayWrite(w.Policy, s, w.Now)
	if len(found.Files) > 0 && e.Try != nil && barred == nil {
		s.Suspect.Nodes, s.Suspect.SharedBy = found.Files,
			found.SharedBy[:min(len(found.SharedBy), v1alpha1.MaxSharers)]
		s.Waiting = nil
		return nil
	}
	if bar := barOf(barred); len(found.Files) > 0 && (bar == v1alpha1.BarAuthors || bar == v1alpha1.BarMaxAge) {
		says += ". Nothing is asked: " + barred.Error()
	}
	return e.fillOutcome(ctx, w, end(w, v1alpha1.ResultReportedOnly, "%s", says), form)
}

// cannotApply says what Flux cannot apply since when, and what a person may do about it.
func cannotApply(form *v1alpha1.Rollback) string {
	s := &form.Status
	words := v1alpha1.CauseUnknown.Words()
	if f := applyOf(s); f != nil {
		words = f.Cause.Words()
	}
	return fmt.Sprintf("%s: %s since %s (%s): correct it there, or revert the commit", form.Spec.Subject, words,
		short(s.Suspect.Commit), s.Suspect.Branch)
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
