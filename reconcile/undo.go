package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// What Flux cannot apply, and what keeps a revision from becoming ready, goes back by files: those of the blamed commit
// that what fails depends on. Nothing of it is taken for granted: what would be pushed is rendered on the very tip that
// the push replaces.
//
//	report ──suspect with files──► target ──proved on the tip──► a person ──► push, proved again on its tip
//	      └─ no files: told              └─ refused, typed: told

// notUndone is why files do not go back.
type notUndone struct {
	v1alpha1.Doubt
	refusal error
}

func (e *notUndone) Error() string { return e.Message }
func (e *notUndone) Unwrap() error { return e.refusal }

// NotUndone refuses to revert files, for a reason that has a name.
func NotUndone(why v1alpha1.DoubtType, format string, args ...any) error {
	err := Refuse(format, args...)
	return &notUndone{v1alpha1.Doubt{Type: why, Message: sentence(err.Error())}, err}
}

// DoubtOf is the reason in a refusal to revert files; nil where it names none.
func DoubtOf(err error) *v1alpha1.Doubt {
	var no *notUndone
	if errors.As(err, &no) {
		return &no.Doubt
	}
	return nil
}

// doubtIn is the reason in a refusal to revert files.
func doubtIn(err error) *v1alpha1.Doubt {
	if d := DoubtOf(err); d != nil {
		return d
	}
	why, _ := AsRefusal(err)
	return &v1alpha1.Doubt{Type: v1alpha1.DoubtNotComparable, Message: sentence(why)}
}

// fillUndo proves on the tip what reverting the suspect's files leaves.
func (e *Engine) fillUndo(ctx context.Context, w *World, origin Origin, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	at := v1alpha1.NewTime(w.Now)
	t := &v1alpha1.Target{At: at, Proved: true, BadProved: true}
	for i, n := range s.Suspect.Places {
		t.Values = append(t.Values, v1alpha1.PlaceValue{Index: int32(i), Value: n.Former})
	}
	if trail, ok := commitOf(w); ok && stand(s, w.Branch).bad == 0 {
		t.Proof = sentence("chosen by the revert " + text.Short(trail.Commit))
		s.Target = t
		return nil
	}
	t.Proof = sentence(undoLeaves(rb))
	try := *rb.DeepCopy()
	try.Status.Target = t
	r := e.revert(ctx, try, &batch{})
	r.Permit, r.Still = nil, nil
	err := e.tries(ctx, origin.Source, r, &t.Also)
	_, refused := AsRefusal(err)
	switch {
	case refused:
		d := doubtIn(err)
		t = &v1alpha1.Target{At: at, Refused: d, Proof: d.Message}
	case err != nil:
		return fmt.Errorf("render what reverting the files of %s leaves: %w", text.Short(s.Suspect.Commit), err)
	}
	s.Target = t
	return nil
}

// undoLeaves describes what is proved.
func undoLeaves(rb *v1alpha1.Rollback) string {
	then := "the files can be built again"
	f := searchedFor(rb)
	switch {
	case f == nil:
	case f.Apply == nil:
		then = "what Git says of the pods of " + f.Workload.String() + " is what ran well before"
	case f.Workload.Kind == "HelmRelease":
		then = f.Workload.String() + " and its values are what was released well before"
		if f.Cause == v1alpha1.CauseReleaseHook || f.Cause == v1alpha1.CauseObjectRefused {
			then += ", to which Helm upgrades what it changed meanwhile"
		}
	case f.Apply.Object != nil && f.Cause != v1alpha1.CauseNotBuilt:
		then = f.Apply.Object.String() + " is what was applied well before"
	}
	return then + ", and Flux deletes nothing"
}

// tries plans a revert on the tip without a push.
func (e *Engine) tries(ctx context.Context, src Source, r Revert, also *[]v1alpha1.ObjectRef) error {
	if e.Try == nil {
		return Refuse("nothing renders here what a revert leaves")
	}
	proof := r.undo
	if proof == nil {
		return Refuse("nothing proves here what a revert leaves")
	}
	r.Proof = func(ctx context.Context, tip, after fs.FS) error {
		all, err := proof(ctx, tip, after)
		*also = all[:min(len(all), maxAlso)]
		return err
	}
	return e.Try(ctx, src, r)
}

// maxAlso is how many objects are told that change too.
const maxAlso = 8
